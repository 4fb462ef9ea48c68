#!/usr/bin/env bash
# From nothing to a model that reads what the one in the package cannot: renders lines in a calligraphic face, which
# vi-small reads half wrong, fine-tunes vi-small on them, and shows what was read before and after. A few minutes on
# two CPU cores; beside other work on them, OMP_NUM_THREADS=1 is faster.
#
#   examples/from_scratch.sh [WORK_FOLDER]      STEPS=600 LINES_TO_RENDER=1200
#
# With lines of your own in place of the rendered ones: examples/finetune.sh. From random weights: examples/speedrun.sh.
set -euo pipefail
export PYTHONUTF8=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$(mktemp -d "${TMPDIR:-/tmp}/vocr-from-scratch.XXXXXX")}
steps=${STEPS:-600}
lines=${LINES_TO_RENDER:-1200}
face=$root/examples/calligraphy

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
scores() { run "$@" | grep -E '^\$|lines$|│ (CER|lines right) '; } # the two lines that matter here; --json has all

echo "Working in $work"
cd "$work"

# Lines to learn, and others to measure on; a twentieth of the former is kept to choose the best step by.
run synth lines --count "$lines" --seed 1 --strength 0.2 --fonts "$face" --preview preview.png
run synth unseen --count 200 --seed 2 --strength 0.2 --fonts "$face"
run build-lmdb lines/labels.tsv train.lmdb --valid-share 0.05

# What vi-small makes of them.
scores eval unseen --model vi-small --json before.json
run infer unseen --model vi-small --out before.tsv

# Fine-tuning, shortened: few steps, and small ones. A longer run goes with the plan as it is.
run autoconf --data train.lmdb --init vi-small --no-probe --out config.yaml
run train config.yaml --out run --init vi-small --max-steps "$steps" --set batch.pixels=100000 --set optim.lr=2e-3 \
  --set schedule.warmup_steps=20 --set optim.ema_decay=0.98 --set data.workers=0

# What the new model makes of them.
model=run/checkpoints/best.safetensors
scores eval unseen --model "$model" --json after.json
run infer unseen --model "$model" --out after.tsv

printf '\nThree of the lines that no training saw:\n'
paste <(cut -f 2 unseen/labels.tsv) <(cut -f 2 before.tsv) <(cut -f 2 after.tsv) |
  awk -F '\t' 'length($1) > 20 && shown++ < 3 { printf "\n  label   %s\n  before  %s\n  after   %s\n", $1, $2, $3 }'
printf '\nEverything is in %s: lines/, preview.png, config.yaml, run/, before.json, after.json\n' "$work"
printf 'Read with it: vocr infer IMAGES --model %s/%s\n' "$work" "$model"
