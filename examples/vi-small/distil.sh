#!/usr/bin/env bash
# Makes vi-small of a larger reader of lines: prunes its channels and halves its columns, trains what is left on rendered
# lines with the larger one as its teacher, exports and calibrates.
#
#   examples/vi-small/distil.sh TEACHER TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]      STEPS=11400 LINES=64
#
# TEACHER: a ctc model file with channels 32-64-128, such as train.sh makes. TEXT_FOLDER and FONT_FOLDERs as for train.sh.
# LINES: of a step. The shipped weights took 11,400 steps; the run was cut off and resumed several times, and its last 1,700
# steps, of a falling rate, were decided on when it stood at 9,703: DECAY=0.15 says the same from the beginning.
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
[ -e "$work/valid.lmdb" ] || "$vocr" synth "$work/valid.lmdb" --count "${VALID_LINES:-600}" --seed 99 --strength 1 \
  --text "$text" --fonts "${fonts[0]}"
[ -e "$work/pruned.safetensors" ] ||
  "$vocr" export "$teacher" "$work/pruned.safetensors" --prune 'channels=[32,48,128]' --prune column_outputs=2

cat >"$work/config.yaml" <<YAML
model: {family: ctc, channels: [32, 48, 128], column_outputs: 2, dropout: 0.0}  # every line is new: nothing to overfit
data:
  workers: 1
  valid: ["$work/valid.lmdb"]
  train:
    - synth:
        text: ["$text"]
        text_share: 0.7
        fonts: ["$system"$(printf ', "%s"' "${fonts[@]}")]
        font_weights:
          {liberation serif: 24, tinos: 20, freeserif: 15, liberation sans: 6, arimo: 6, cousine: 4,
           liberation mono: 3, bellota: 0, lexend: 0, big shoulders: 0, encode sans: 0, cherry bomb: 0}
        strength: 1.0
        seed: 7
batch: {pixels: 3000000, max_lines: ${LINES:-64}, bucket_px: 32}
optim: {name: muon, lr: 3.0e-3, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: wsd, decay_share: ${DECAY:-0.15}, warmup_steps: ${WARMUP:-200}, final_lr_share: 0.02}
train:
  max_steps: ${STEPS:-11400}
  teacher: "$teacher"
  teacher_weight: 0.5
  teacher_lines: right  # where the teacher errs, the label alone is learned
  log_every_steps: 100
  checkpoint_every_minutes: 5
validate: {every_steps: ${VALIDATE:-500}, max_lines: 600}
YAML

more=(--init "$work/pruned.safetensors")
[ -e "$work/run/checkpoints/last.pt" ] && more=(--resume)
# Memory in large pages.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$vocr" train "$work/config.yaml" --out "$work/run" "${more[@]}"
"$vocr" export "$work/run/checkpoints/best.safetensors" "$work/vi-small.safetensors" --dtype fp16
"$vocr" export "$work/vi-small.safetensors" "$work/vi-small.int8.onnx" --calibrate "$work/valid.lmdb"
"$vocr" calibrate "$work/vi-small.safetensors" "$work/valid.lmdb"
ls -l "$work"/vi-small.*
