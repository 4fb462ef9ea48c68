#!/usr/bin/env bash
# Makes vi-base, a deeper model, of vi-small: gives it more layers, which change nothing at first, trains them on rendered lines
# in two runs, of which the second goes on from the first, takes the mean of what both came to, exports and calibrates it.
#
#   examples/vi-small/grow.sh TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]
#                             MINUTES=104 MORE_MINUTES=122 LINES=64 START=vi-small
#
# TEXT_FOLDER and FONT_FOLDERs as for train.sh. MINUTES, MORE_MINUTES: of each run; when they are over, the rate has fallen.
# LINES: of a step. START: what gets more layers; the shipped vi-base came of the vi-small before today's, with which the
# stage MIXED of distil.sh ends.
set -euo pipefail
export PYTHONUTF8=1
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

take_folders runs/vi-base "$@"
validation_lines
[ -e "$work/grown.safetensors" ] ||
  "$vocr" export "${START:-vi-small}" "$work/grown.safetensors" --grow 'blocks=[0,2,4]' --grow column_blocks=4 \
    --grow attention_layers=4

# run NAME INIT RATE DECAY_SHARE MINUTES SEED: trains from the weights INIT.
run() {
  {
    cat <<YAML
model: {family: ctc, channels: [32, 48, 128], blocks: [0, 2, 4], column_blocks: 4, attention_layers: 4,
        column_outputs: 2, dropout: 0.0}  # every line is new: nothing to overfit
batch: {pixels: 3000000, max_lines: ${LINES:-64}, bucket_px: 32}
optim: {name: muon, lr: $3, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: wsd, decay_share: $4, warmup_steps: ${WARMUP:-200}, final_lr_share: 0.02}
train: {max_steps: ${STEPS:-1000000}, max_minutes: $5, log_every_steps: 100, checkpoint_every_minutes: 5}
validate: {every_steps: ${VALIDATE:-500}}
data:
  workers: 2
  valid: ["$work/valid-0.5.lmdb"]
  train:
YAML
    rendered 6 1 "${6}47" 0.55
    rendered 9 0.5 "${6}48" 0.55
    rendered 5 0 "${6}49" 0.55
  } >"$work/$1.yaml"
  train_or_go_on "$1" "$2"
}

first=$work/run/checkpoints/best.safetensors more=$work/more/checkpoints/best.safetensors
run run "$work/grown.safetensors" 1.5e-3 0.4 "${MINUTES:-104}" 10
run more "$first" 1.2e-3 0.5 "${MORE_MINUTES:-122}" 20
"$vocr" export "$first" "$work/mean.safetensors" --average "$more"
finish vi-base "$work/mean.safetensors" --lm vi
