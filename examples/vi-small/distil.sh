#!/usr/bin/env bash
# Makes vi-small of a larger reader of lines: prunes its channels and halves its columns, trains what is left on rendered
# lines with the larger one as its teacher, first on degraded lines, then on clean and degraded ones, exports and calibrates.
#
#   examples/vi-small/distil.sh TEACHER TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]      STEPS=11400 MIXED=5250 LINES=64
#
# TEACHER: a ctc model file with channels 32-64-128, such as train.sh makes. TEXT_FOLDER and FONT_FOLDERs as for train.sh.
# STEPS: on degraded lines; MIXED: on both kinds. LINES: of a step. The shipped weights came about like this, in pieces that
# were cut off and resumed; between the two stages they took 2,300 steps more on another mix, and the mean of both ends. The
# first 2,250 steps of the second stage had strengths 1, 0.5 and 0 as 1:1:2, text for seven lines in ten, and a renderer
# without crops at the height of capitals, words with other marks and rules between words.
set -euo pipefail
export PYTHONUTF8=1

teacher=$(realpath "${1:?name the model file of the teacher}")
text=$(realpath "${2:?name a folder of text}")
shift 2
work=runs/vi-small-distilled
fonts=()
while (($#)); do
  if [ "$1" = --out ]; then
    work=$2
    shift 2
  else
    fonts+=("$(realpath "$1")")
    shift
  fi
done
: "${fonts[0]:?name a folder of fonts}"
system=${SYSTEM_FONTS:-/usr/share/fonts}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
vocr=$root/.venv/bin/vocr
[ -x "$vocr" ] || vocr=vocr

mkdir -p "$work"
for strength in 0 0.5 1; do # to choose the best checkpoint by, and to calibrate on
  [ -e "$work/valid-$strength.lmdb" ] || "$vocr" synth "$work/valid-$strength.lmdb" --count "${VALID_LINES:-800}" \
    --seed 99 --strength "$strength" --text "$text" --fonts "${fonts[0]}"
done
[ -e "$work/pruned.safetensors" ] ||
  "$vocr" export "$teacher" "$work/pruned.safetensors" --prune 'channels=[32,48,128]' --prune column_outputs=2

# rendered WEIGHT STRENGTH SEED TEXT_SHARE: an entry of data.train
rendered() {
  cat <<YAML
    - weight: $1
      synth:
        text: ["$text"]
        text_share: $4
        fonts: ["$system"$(printf ', "%s"' "${fonts[@]}")]
        font_weights:
          {liberation serif: 24, tinos: 20, freeserif: 15, liberation sans: 6, arimo: 6, cousine: 4,
           liberation mono: 3, bellota: 0, lexend: 0, big shoulders: 0, encode sans: 0, cherry bomb: 0}
        strength: $2
        seed: $3
YAML
}

# stage NAME INIT STEPS RATE DECAY_SHARE TEACHER_WEIGHT VALID, the entries of data.train on stdin
stage() {
  cat >"$work/$1.yaml" <<YAML
model: {family: ctc, channels: [32, 48, 128], column_outputs: 2, dropout: 0.0}  # every line is new: nothing to overfit
batch: {pixels: 3000000, max_lines: ${LINES:-64}, bucket_px: 32}
optim: {name: muon, lr: $4, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: wsd, decay_share: $5, warmup_steps: ${WARMUP:-200}, final_lr_share: 0.02}
train:
  max_steps: $3
  teacher: "$teacher"
  teacher_weight: $6
  teacher_lines: right  # where the teacher errs, the label alone is learned
  log_every_steps: 100
  checkpoint_every_minutes: 5
validate: {every_steps: ${VALIDATE:-500}, max_lines: 600}
data:
  workers: 2
  valid: ["$work/$7"]
  train:
$(cat)
YAML
  local more=(--init "$2")
  [ -e "$work/$1/checkpoints/last.pt" ] && more=(--resume)
  # Memory in large pages.
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$vocr" train "$work/$1.yaml" --out "$work/$1" "${more[@]}"
}

rendered 1 1 7 0.7 |
  stage degraded "$work/pruned.safetensors" "${STEPS:-11400}" 3.0e-3 0.15 0.5 valid-1.lmdb
{ rendered 6 1 47 0.55 && rendered 9 0.5 48 0.55 && rendered 5 0 49 0.55; } |
  stage mixed "$work/degraded/checkpoints/best.safetensors" "${MIXED:-5250}" 1.5e-3 0.34 0.4 valid-0.5.lmdb

"$vocr" export "$work/mixed/checkpoints/best.safetensors" "$work/vi-small.safetensors" --dtype fp16
"$vocr" export "$work/vi-small.safetensors" "$work/vi-small.int8.onnx" --calibrate "$work/valid-1.lmdb"
"$vocr" calibrate "$work/vi-small.safetensors" "$work"/valid-{0,0.5,1}.lmdb
ls -l "$work"/vi-small.*
