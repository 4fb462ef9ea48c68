#!/usr/bin/env bash
# From nothing to a measured recogniser: render lines, store them, plan, train, score, read, measure speed.
# On a CPU in under ten minutes. So short a training shows the way; it makes no good model.
#
#   examples/from_scratch.sh [WORK_FOLDER]      MINUTES=4 LINES_TO_RENDER=2000
set -euo pipefail
export PYTHONUTF8=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$(mktemp -d "${TMPDIR:-/tmp}/vocr-from-scratch.XXXXXX")}
minutes=${MINUTES:-4}
lines=${LINES_TO_RENDER:-2000}

vocr=$root/.venv/bin/vocr
[ -x "$vocr" ] || vocr=$(command -v vocr) || { echo "No vocr here. Remedy: make setup" >&2; exit 1; }
mkdir -p "$work"
if [ -n "$(ls -A "$work")" ]; then
  echo "$work is not empty. Remedy: name a new folder." >&2
  exit 1
fi

run() {
  if [ -t 1 ]; then printf '\n\033[1m$ vocr %s\033[0m\n' "$*"; else printf '\n$ vocr %s\n' "$*"; fi
  "$vocr" "$@"
}

echo "Working in $work"
run synth "$work/lines" --count "$lines" --fonts "$root/examples/fonts" --seed 1 --preview "$work/preview.png"
run build-lmdb "$work/lines/labels.tsv" "$work/train.lmdb" --valid-share 0.1 --bad-lines "$work/bad-lines.tsv"
run autoconf --data "$work/train.lmdb" --out "$work/config.yaml"
run train "$work/config.yaml" --out "$work/run" --max-minutes "$minutes"

model=$work/run/checkpoints/best.safetensors
run eval "$work/train.lmdb-valid" --model "$model" --json "$work/scores.json"
run synth "$work/unseen" --count 12 --fonts "$root/examples/fonts" --seed 2
run infer "$work/unseen" --model "$model"
run bench infer --model "$model" --data "$work/train.lmdb-valid" --limit 100 --json "$work/bench.json"

printf '\nEverything is in %s: the lines, preview.png, config.yaml, run/, scores.json, bench.json\n' "$work"
