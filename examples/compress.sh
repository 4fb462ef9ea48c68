#!/usr/bin/env bash
# A smaller model from a larger one: prunes it, trains what is left on rendered lines with the larger one as the
# teacher, and measures both: CER on labelled sets, int8 too where the `onnx` extra is installed, and speed.
#
#   examples/compress.sh SET... [--model vi-small] [--out runs/compress] [--minutes 30] [--share 0.5]
#                        [OPTION OF vocr train]...
#
# SET: an LMDB, an annotation file, or a folder with labels.tsv; speed is measured on the first. --share: how much
# of the weights goes. Lines are rendered from generated text in the fonts of the examples; from others with
#   --set 'data.train=[{synth: {text: [FOLDER], fonts: [FOLDER], font_weights: {liberation serif: 24}}}]'
set -euo pipefail
export PYTHONUTF8=1

sets=()
while (($#)) && [[ $1 != --* ]]; do sets+=("$1") && shift; done
: "${sets[0]:?name a labelled set}"
model=vi-small out=runs/compress minutes=30 share=0.5 options=()
while (($#)); do
  case $1 in
    --model) model=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --minutes) minutes=$2 && shift 2 ;;
    --share) share=$2 && shift 2 ;;
    *) options+=("$1") && shift ;;
  esac
done
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vocr=$root/.venv/bin/vocr
[ -x "$vocr" ] || vocr=$(command -v vocr) || { echo "No vocr here. Remedy: make setup" >&2; exit 1; }
fonts=$root/examples/fonts
pruned=$out/pruned.safetensors
small=$out/small.safetensors
start=(--init "$pruned")
[ -e "$out/run/checkpoints/last.pt" ] && start=(--resume)
mkdir -p "$out"

measure() { # MODEL in a PRECISION as NAME; exit code 3: some image cannot be read
  for index in "${!sets[@]}"; do
    "$vocr" eval "${sets[index]}" --model "$1" --precision "$2" --json "$out/$index.$2.$3.json" || [ $? = 3 ]
  done
  "$vocr" bench infer --model "$1" --data "${sets[0]}" --precision "$2" --limit 500 --json "$out/$2.$3.bench.json"
}

[ -e "$pruned" ] || "$vocr" export "$model" "$pruned" --prune "$share"
[ -e "$out/valid.lmdb" ] || "$vocr" synth "$out/valid.lmdb" --count 400 --seed 99 --fonts "$fonts"
[ -e "$out/config.yaml" ] ||
  "$vocr" autoconf --model "$pruned" --fonts "$fonts" --no-probe --out "$out/config.yaml"
# Memory in large pages; the clock ends the run.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  "$vocr" train "$out/config.yaml" --valid "$out/valid.lmdb" --teacher "$model" --out "$out/run" \
  --max-steps 1000000 --max-minutes "$minutes" --set batch.pixels=600000 --set optim.lr=1.5e-3 \
  --set optim.ema_decay=0.998 --set schedule.warmup_steps=100 --set schedule.final_lr_share=0.02 \
  "${start[@]}" "${options[@]}"
"$vocr" export "$out/run/checkpoints/best.safetensors" "$small" --dtype fp16

measure "$model" fp32 large
measure "$small" fp32 small
if [ "$model" = vi-small ] && "$vocr" export "$small" "$out/small.int8.onnx"; then
  measure "$model" int8 large
  measure "$small" int8 small
fi
