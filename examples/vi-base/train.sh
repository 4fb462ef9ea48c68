#!/usr/bin/env bash
# Makes vi-base of vi-small: gives it more layers, which change nothing at first, trains them on rendered lines, exports and
# calibrates.
#
#   examples/vi-base/train.sh TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]      MINUTES=104 LINES=64
#
# TEXT_FOLDER: *.txt, a paragraph a line. FONT_FOLDERs: fonts that cover Vietnamese, such as examples/vi-small/fonts.sh
# fetches; families kept for testing must not lie there. examples/vi-small/train.sh names Debian's packages of fonts.
# MINUTES: of training; when they are over, the rate has fallen. LINES: of a step. A run that was cut off goes on.
set -euo pipefail
export PYTHONUTF8=1

text=$(realpath "${1:?name a folder of text}")
shift
work=runs/vi-base
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
[ -e "$work/grown.safetensors" ] ||
  "$vocr" export vi-small "$work/grown.safetensors" --grow 'blocks=[0,2,4]' --grow column_blocks=4 \
    --grow attention_layers=4

# rendered WEIGHT STRENGTH SEED: an entry of data.train
rendered() {
  cat <<YAML
    - weight: $1
      synth:
        text: ["$text"]
        text_share: 0.55
        fonts: ["$system"$(printf ', "%s"' "${fonts[@]}")]
        font_weights:
          {liberation serif: 24, tinos: 20, freeserif: 15, liberation sans: 6, arimo: 6, cousine: 4,
           liberation mono: 3, bellota: 0, lexend: 0, big shoulders: 0, encode sans: 0, cherry bomb: 0}
        strength: $2
        seed: $3
YAML
}

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
  rendered 6 1 1047
  rendered 9 0.5 1048
  rendered 5 0 1049
} >"$work/config.yaml"
more=(--init "$work/grown.safetensors")
[ -e "$work/run/checkpoints/last.pt" ] && more=(--resume)
# Memory in large pages.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$vocr" train "$work/config.yaml" --out "$work/run" "${more[@]}"

"$vocr" export "$work/run/checkpoints/best.safetensors" "$work/vi-base.safetensors" --dtype fp16
"$vocr" export "$work/vi-base.safetensors" "$work/vi-base.int8.onnx" --calibrate "$work/valid-1.lmdb"
"$vocr" calibrate "$work/vi-base.safetensors" "$work"/valid-{0,0.5,1}.lmdb --lm vi
ls -l "$work"/vi-base.*
