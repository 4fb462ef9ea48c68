#!/usr/bin/env bash
# Makes the reader of lines that vi-small was distilled from (distil.sh), on rendered lines alone: renders a validation
# set, trains, exports. It was vi-small itself until 2026-11-29.
#
#   examples/vi-small/train.sh TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]      MINUTES=140 RATE=2.0e-3 INIT=MODEL
#
# The teacher's weights came about in two runs: 32 minutes, then INIT=the model of the first MINUTES=106 RATE=1.2e-3.
#
# TEXT_FOLDER: *.txt, a paragraph a line. FONT_FOLDERs: fonts that cover Vietnamese, such as fonts.sh fetches;
# families kept for testing must not lie there. Besides them, these Debian packages were installed:
# fonts-liberation2 fonts-croscore fonts-freefont-ttf fonts-dejavu fonts-noto-core fonts-crosextra-carlito
# fonts-linuxlibertine fonts-ebgaramond fonts-sil-gentiumplus fonts-sil-charis fonts-cmu fonts-gfs-didot
# fonts-junicode fonts-vollkorn fonts-open-sans fonts-roboto-unhinted fonts-lato fonts-inter fonts-manrope
# fonts-quicksand fonts-roboto-slab fonts-mplus fonts-cantarell fonts-agave
set -euo pipefail
export PYTHONUTF8=1
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

take_folders runs/vi-small "$@"
[ -e "$work/valid.lmdb" ] || "$vocr" synth "$work/valid.lmdb" --count 600 --seed 99 --strength 0.92 \
  --text "$text" --fonts "${fonts[0]}" --fonts "${VALID_FONTS:-$system/truetype/liberation2}"

# Its characters are those of today's vi-small, 48 signs more than the default charset has.
characters=$("$vocr" inspect vi-small --quiet --json - |
  python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["facts"]["charset"]["all"]))')
{
  cat <<YAML
model: {family: ctc, dropout: 0.0}  # every line is new: nothing to overfit
charset: {characters: $characters}
batch: {pixels: 600000, max_lines: 128, bucket_px: 32}
optim: {lr: ${RATE:-2.0e-3}, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: cosine, warmup_steps: 400, final_lr_share: 0.03}
train: {max_steps: ${STEPS:-100000}, max_minutes: ${MINUTES:-140}, log_every_steps: 100, checkpoint_every_minutes: 4}
validate: {every_steps: 1500, max_lines: 600}
data:
  workers: 2
  valid: ["$work/valid.lmdb"]
  train:
YAML
  rendered 1 0.92 7 0.75
} >"$work/run.yaml"
train_or_go_on run "${INIT:-}"
"$vocr" export "$work/run/checkpoints/best.safetensors" "$work/vi-small.safetensors" --dtype fp16
"$vocr" export "$work/vi-small.safetensors" "$work/vi-small.int8.onnx"
ls -l "$work"/vi-small.*
