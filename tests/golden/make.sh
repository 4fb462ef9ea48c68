#!/usr/bin/env bash
# Makes the golden files anew, with the build that lies two folders up. Only when a format changes on purpose:
# what they are for is that files of an older build still work. PYTHON names the interpreter.
set -euo pipefail
golden=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$golden/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$root VOCR_CACHE_DIR=$work/user-cache OMP_NUM_THREADS=1
PYTHON=${PYTHON:-$root/.venv/bin/python}
vocr() { "$PYTHON" -m vocr_cli "$@"; }
interrupted() { "$PYTHON" "$golden/interrupt.py" "$1" "$2" "$3" "$PYTHON" -m vocr_cli "${@:4}" || true; }
merged() { # two settings files, one laid over the other section by section
  "$PYTHON" - "$@" <<'P'
import sys, yaml
tree = {}
for file in sys.argv[1:]:
    for section, values in yaml.safe_load(open(file, encoding="utf-8")).items():
        tree[section] = {**tree.get(section, {}), **values}
print(yaml.safe_dump(tree, allow_unicode=True))
P
}
cd "$work"
cp -r "$golden/lines" .
mkdir fonts && cp "$root/examples/fonts/BeVietnam-Regular.ttf" fonts/

# A model that has learnt the four lines by heart, and smaller forms of it.
merged "$golden"/configs/{ctc,model}.yaml > model.yaml
vocr train model.yaml --out model --device cpu
cp model/checkpoints/best.safetensors model.safetensors
vocr export model.safetensors pruned.safetensors --prune "blocks=[0,0,0]"
vocr export model.safetensors model.int8.onnx --calibrate lines/labels.tsv
vocr eval lines/labels.tsv --model model.safetensors --precision fp32 --device cpu || true
for name in model pruned; do
  vocr infer lines --model $name.safetensors --precision fp32 --device cpu > readings-$name.tsv
done

vocr infer lines --model model.safetensors --precision int8 --device cpu > readings-int8.tsv

# Databases, and one whose build hung at its third image until Ctrl-C.
vocr build-lmdb lines/labels.tsv lmdb-vietocr --workers 1
vocr build-lmdb lines/labels.tsv lmdb-clovaai --layout clovaai --workers 1
vocr build-lmdb lines/labels.tsv lmdb-fit --fit vi-small --workers 1
mv lines/08.png 08.png && mkfifo lines/08.png
interrupted INT '.lmdb-half.tmp-*/data.mdb' '' build-lmdb lines/labels.tsv lmdb-half --workers 1
rm lines/08.png && mv 08.png lines/
mv .lmdb-half.tmp-* lmdb-half
rm -f lmdb-*/lock.mdb

# Training runs: each undisturbed, and cut off at a step by Ctrl-C or a kill.
run() { # NAME SIGNAL STEP OPTION...
  local name=$1 signal=$2 step=$3
  vocr train "$name.yaml" --out "undisturbed-$name" --device cpu "${@:4}" || [ $? -eq 3 ]
  interrupted "$signal" "run-$name/events.jsonl" "\"StepDone\", \"step\": $step," \
    train "$name.yaml" --out "run-$name" --device cpu "${@:4}"
  cp "undisturbed-$name/events.jsonl" "run-$name/undisturbed.jsonl"
  rm -f "run-$name/curves.png"
}
merged "$golden"/configs/{ctc,adamw}.yaml > adamw.yaml
merged "$golden"/configs/{ctc,muon}.yaml > muon.yaml
cp "$golden/configs/vietocr.yaml" .
run adamw INT 53 --init model.safetensors
run muon KILL 15
vocr train vietocr.yaml --out start --device cpu --max-steps 1
vocr export start/checkpoints/best.safetensors start.safetensors --dtype fp16 # a frozen backbone of half the size
run vietocr INT 5 --init start.safetensors

# A cache of vi-small's readings, and these.
vocr infer lines --precision fp32 --device cpu --cache cache > readings-vi-small.tsv
rm -f cache/lock.mdb

# A list of inputs, cut off by a kill behind its first section of 8,192 lines. A cache makes it fast.
"$PYTHON" - > names.txt <<'P'
for number in range(30_000):
    print("lines/missing.png" if number % 1_000 == 7 else f"lines/{('03', '22', '17', '08')[number % 4]}.png")
P
vocr infer lines --model model.safetensors --precision fp32 --device cpu --cache warm > /dev/null
interrupted KILL 'out.tsv.partial.json' '"lines": 8192' infer --from-file names.txt --model model.safetensors \
  --precision fp32 --device cpu --cache warm --out out.tsv --errors bad.tsv
mkdir half-read
gzip -9n < out.tsv.partial > half-read/out.tsv.partial.gz
cp out.tsv.partial.json bad.tsv.partial half-read/

vocr autoconf --data lmdb-vietocr --no-probe --device cpu --out autoconf.yaml
# Reading 2,000 lines and more with --precision auto times the number formats, where the CPU has several.
grep -v missing names.txt | sed -n 1,2000p > many.txt
vocr infer --from-file many.txt --model model.safetensors --device cpu --cache warm > /dev/null
sed "s,$work/,/of-another-machine/," user-cache/precision.json > precision.json

keep=(model.safetensors pruned.safetensors model.int8.onnx readings-*.tsv lmdb-* run-* cache half-read
  autoconf.yaml precision.json)
tar --sort=name --owner=0 --group=0 --numeric-owner -c "${keep[@]}" | xz -9e > "$golden/files.tar.xz"
git -C "$root" rev-parse HEAD > "$golden/COMMIT"
"$PYTHON" -c "import torch; print(torch.__version__)" > "$golden/TORCH"
