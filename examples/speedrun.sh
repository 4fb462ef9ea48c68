#!/usr/bin/env bash
# How fast from nothing to CER 1 %? Trains from random weights on lines rendered as training goes, in the
# system's fonts, until clean lines in three families that it never saw are read with CER <= 1 %; then scores
# it on 1,000 other lines in those. The leaderboard is benchmarks/LEADERBOARD.md.
#
#   examples/speedrun.sh [WORK_FOLDER] [--set KEY=VALUE]...      TARGET=0.01
#
# Text comes from the built-in generator, so all that is needed are fonts. On Debian and Ubuntu, these:
#   apt-get install fonts-dejavu fonts-liberation2 fonts-croscore fonts-crosextra-carlito fonts-freefont-ttf \
#     fonts-noto-core fonts-noto-mono fonts-open-sans fonts-roboto-unhinted fonts-lato fonts-inter
# --set changes the recipe, as `vocr train` has it.
set -euo pipefail
export PYTHONUTF8=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vocr=$root/.venv/bin/vocr
[ -x "$vocr" ] || { echo "No vocr here. Remedy: make setup" >&2; exit 1; }
work=runs/speedrun
if (($#)) && [[ $1 != --* ]]; then
  work=$1
  shift
fi
system=/usr/share/fonts
[ "$(fc-list ':lang=vi' family 2>/dev/null | sort -u | wc -l)" -ge 8 ] || {
  echo "Too few fonts that cover Vietnamese. Remedy: the apt-get line at the top of $0" >&2
  exit 1
}
mkdir -p "$work"
for set in valid:500:98 test:1000:99; do
  IFS=: read -r name count seed <<<"$set"
  [ -e "$work/$name/labels.tsv" ] ||
    "$vocr" synth "$work/$name" --count "$count" --seed "$seed" --strength 0 --fonts "$root/examples/fonts"
done

cat >"$work/config.yaml" <<YAML
model: {family: ctc, dropout: 0.0}  # every line is new: nothing to overfit
data:
  workers: 1
  valid: ["$work/valid/labels.tsv"]
  train:
    - synth:
        text_share: 0
        fonts: ["$system"]
        font_weights: {be vietnam: 0, gelasio: 0, ibm plex mono: 0}  # what is read must be unseen
        strength: 0
        seed: 1
batch: {pixels: 300000, max_lines: 64, bucket_px: 32}
optim: {name: muon, lr: 4.0e-3, weight_decay: 0.01, ema_decay: 0.99}
schedule: {name: cosine, warmup_steps: 100, final_lr_share: 0.05}
train: {max_steps: 3000, max_minutes: 20, log_every_steps: 50}
validate: {every_steps: 200, target_cer: ${TARGET:-0.01}}
YAML

rm -rf "$work/run"
began=$(date +%s)
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  "$vocr" train "$work/config.yaml" --out "$work/run" "$@"
seconds=$(($(date +%s) - began))
"$vocr" eval "$work/test/labels.tsv" --model "$work/run/checkpoints/best.safetensors" --json "$work/scores.json"
printf '\n%d min %02d s from random weights\n' $((seconds / 60)) $((seconds % 60))
