#!/usr/bin/env bash
# Makes a deeper model of vi-small: gives it more layers, which change nothing at first, trains them on rendered lines, exports
# and calibrates.
#
#   examples/vi-small/grow.sh TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]      MINUTES=104 LINES=64
#
# TEXT_FOLDER and FONT_FOLDERs as for train.sh. MINUTES: of training; when they are over, the rate has fallen. LINES: of a step.
set -euo pipefail
export PYTHONUTF8=1
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

take_folders runs/vi-base "$@"
validation_lines
[ -e "$work/grown.safetensors" ] ||
  "$vocr" export vi-small "$work/grown.safetensors" --grow 'blocks=[0,2,4]' --grow column_blocks=4 \
    --grow attention_layers=4

{
  cat <<YAML
model: {family: ctc, channels: [32, 48, 128], blocks: [0, 2, 4], column_blocks: 4, attention_layers: 4,
        column_outputs: 2, dropout: 0.0}  # every line is new: nothing to overfit
batch: {pixels: 3000000, max_lines: ${LINES:-64}, bucket_px: 32}
optim: {name: muon, lr: 1.5e-3, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: wsd, decay_share: 0.4, warmup_steps: ${WARMUP:-200}, final_lr_share: 0.02}
train: {max_steps: ${STEPS:-1000000}, max_minutes: ${MINUTES:-104}, log_every_steps: 100, checkpoint_every_minutes: 5}
validate: {every_steps: ${VALIDATE:-500}, max_lines: 600}
data:
  workers: 2
  valid: ["$work/valid-0.5.lmdb"]
  train:
YAML
  rendered 6 1 1047 0.55
  rendered 9 0.5 1048 0.55
  rendered 5 0 1049 0.55
} >"$work/run.yaml"
train_or_go_on run "$work/grown.safetensors"
finish vi-base "$work/run/checkpoints/best.safetensors" --lm vi
