#!/bin/sh
# The whole comparison with VietOCR: environment, rendered lines, two trained models, readings, scores, timings.
#   benchmarks/peers/vietocr/run.sh [FOLDER]     MINUTES=20 LINES_TO_RENDER=4000 THREADS=2 PYTHON=python3.11
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "${1:-runs/peers/vietocr}"
folder=$(cd "${1:-runs/peers/vietocr}" && pwd)
minutes=${MINUTES:-20}
lines=${LINES_TO_RENDER:-4000}
threads=${THREADS:-2}
export OMP_NUM_THREADS="$threads"

vocr=$root/.venv/bin/vocr
peer=$folder/venv/bin/python
test -x "$vocr" || { echo "No vocr here. Remedy: make setup" >&2; exit 1; }
"$here/setup.sh" "$folder"

# Two plain families, clean lines: what is compared is the reading, not how well it was learned.
mkdir -p "$folder/fonts" "$folder/results"
cp "$root"/examples/fonts/BeVietnam-Regular.ttf "$root"/examples/fonts/Gelasio-Regular.ttf "$folder/fonts"
render() { # NAME TEXT COUNT SEED
  test -e "$folder/data/$1/labels.tsv" ||
    "$vocr" synth "$folder/data/$1" --text "$folder/$2.txt" --text-share 1 --fonts "$folder/fonts" --strength 0 \
      --count "$3" --seed "$4"
}
"$peer" "$here/texts.py" "$folder"
render words words "$lines" 1
render lines lines "$lines" 2
render test lines 500 3

for model in vgg_seq2seq vgg_transformer; do
  test -e "$folder/weights/${model}_232.pth" || {
    MINUTES="$minutes" "$peer" "$here/train.py" "$folder" "$model" words
    MINUTES="$minutes" "$peer" "$here/train.py" "$folder" "$model" lines
  }
  "$peer" "$here/train.py" "$folder" "$model" full
  for name in "$model" "full_$model"; do
    test -e "$folder/weights/$name.int8.onnx" ||
      "$vocr" export "$folder/weights/$name.pth" "$folder/weights/$name.int8.onnx" --config "$folder/configs/$name.yml"
  done
  "$peer" "$here/readings.py" "$folder/weights/$model.pth" "$folder/configs/$model.yml" "$folder/data/test" \
    "$folder/results/vietocr_$model.json"
done

failed=0
"$vocr" build-lmdb "$folder/data/test/labels.tsv" "$folder/ours.lmdb" --overwrite
"$peer" "$here/lmdb_check.py" "$folder/ours.lmdb" "$folder/data/test" "$folder/data/test/labels.tsv" || failed=1
for part in texts beam speed lengths; do
  "$root/.venv/bin/python" "$here/compare.py" "$folder" "$part" --threads "$threads" || failed=1
done
"$peer" "$here/plot.py" "$folder/results/lengths.json" "$folder/results/lengths.png"
exit "$failed"
