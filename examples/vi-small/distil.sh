#!/usr/bin/env bash
# Makes vi-small of a larger reader of lines: prunes its channels and halves its columns, trains what is left on rendered
# lines with the larger one as its teacher, first on degraded lines, then on clean and degraded ones, then with a deeper
# model as the teacher, exports and calibrates.
#
#   examples/vi-small/distil.sh TEACHER TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]
#                               STEPS=11400 MIXED=5250 AGAIN=8865 MINUTES=76 DEEPER=vi-base LINES=64
#
# TEACHER: a ctc model file with channels 32-64-128, such as train.sh makes. TEXT_FOLDER and FONT_FOLDERs as for train.sh.
# STEPS: on degraded lines; MIXED: on both kinds; AGAIN, or MINUTES if they are over sooner: with DEEPER as the teacher, such as
# grow.sh makes of the weights that MIXED ends with. LINES: of a step. The shipped weights came about like this, in pieces that
# were cut off and resumed; between the two stages they took 2,300 steps more on another mix, and the mean of both ends. The
# first 2,250 steps of the second stage had strengths 1, 0.5 and 0 as 1:1:2, text for seven lines in ten, and a renderer
# without crops at the height of capitals, words with other marks and rules between words.
set -euo pipefail
export PYTHONUTF8=1
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

teacher=$(realpath "${1:?name the model file of the teacher}")
shift
take_folders runs/vi-small-distilled "$@"
validation_lines
[ -e "$work/pruned.safetensors" ] ||
  "$vocr" export "$teacher" "$work/pruned.safetensors" --prune 'channels=[32,48,128]' --prune column_outputs=2

# stage NAME INIT "STEPS[, MORE SETTINGS OF train]" RATE DECAY_SHARE TEACHER_WEIGHT VALID, the entries of data.train on stdin
stage() {
  cat >"$work/$1.yaml" <<YAML
model: {family: ctc, channels: [32, 48, 128], column_outputs: 2, dropout: 0.0}  # every line is new: nothing to overfit
batch: {pixels: 3000000, max_lines: ${LINES:-64}, bucket_px: 32}
optim: {name: muon, lr: $4, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: wsd, decay_share: $5, warmup_steps: ${WARMUP:-200}, final_lr_share: 0.02}
train: {max_steps: $3, log_every_steps: 100, checkpoint_every_minutes: 5,
        teacher: "$teacher", teacher_weight: $6, teacher_lines: right}  # where the teacher errs, the label alone is learned
validate: {every_steps: ${VALIDATE:-500}, max_lines: 600}
data:
  workers: 2
  valid: ["$work/$7"]
  train:
$(cat)
YAML
  train_or_go_on "$1" "$2"
}

rendered 1 1 7 0.7 |
  stage degraded "$work/pruned.safetensors" "${STEPS:-11400}" 3.0e-3 0.15 0.5 valid-1.lmdb
{ rendered 6 1 47 0.55 && rendered 9 0.5 48 0.55 && rendered 5 0 49 0.55; } |
  stage mixed "$work/degraded/checkpoints/best.safetensors" "${MIXED:-5250}" 1.5e-3 0.34 0.4 valid-0.5.lmdb
teacher=${DEEPER:-vi-base}
{ rendered 6 1 7077 0.55 && rendered 9 0.5 7078 0.55 && rendered 5 0 7079 0.55; } |
  stage deeper "$work/mixed/checkpoints/best.safetensors" "${AGAIN:-8865}, max_minutes: ${MINUTES:-76}" \
    1.5e-3 0.5 0.5 valid-0.5.lmdb

finish vi-small "$work/deeper/checkpoints/best.safetensors" --lm vi
