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

text=$(realpath "${1:?name a folder of text}")
shift
work=runs/vi-small
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
minutes=${MINUTES:-140}
system=/usr/share/fonts
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
vocr=$root/.venv/bin/vocr

mkdir -p "$work"
[ -e "$work/valid.lmdb" ] || "$vocr" synth "$work/valid.lmdb" --count 600 --seed 99 --strength 0.92 \
  --text "$text" --fonts "${fonts[0]}" --fonts "$system/truetype/liberation2"

# Documents are set in Times and Arial more than in all other families together, so their free likenesses
# weigh more. The weight 0 keeps families out whose relatives are used for testing.
cat >"$work/config.yaml" <<YAML
model: {family: ctc, dropout: 0.0}  # every line is new: nothing to overfit
data:
  workers: 2
  valid: ["$work/valid.lmdb"]
  train:
    - synth:
        text: ["$text"]
        text_share: 0.75
        fonts: ["$system"$(printf ', "%s"' "${fonts[@]}")]
        font_weights:
          {liberation serif: 24, tinos: 20, freeserif: 15, liberation sans: 6, arimo: 6, cousine: 4,
           liberation mono: 3, bellota: 0, lexend: 0, big shoulders: 0, encode sans: 0}
        strength: 0.92
        seed: 7
batch: {pixels: 600000, max_lines: 128, bucket_px: 32}
optim: {lr: ${RATE:-2.0e-3}, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: cosine, warmup_steps: 400, final_lr_share: 0.03}
train: {max_steps: 100000, max_minutes: $minutes, log_every_steps: 100, checkpoint_every_minutes: 4}
validate: {every_steps: 1500, max_lines: 600}
YAML

more=()
[ -n "${INIT:-}" ] && more=(--init "$INIT")
[ -e "$work/run/checkpoints/last.pt" ] && more=(--resume)
# Memory in large pages.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  "$vocr" train "$work/config.yaml" --out "$work/run" "${more[@]}"
"$vocr" export "$work/run/checkpoints/best.safetensors" "$work/vi-small.safetensors" --dtype fp16
"$vocr" export "$work/vi-small.safetensors" "$work/vi-small.int8.onnx"
ls -l "$work"/vi-small.*
