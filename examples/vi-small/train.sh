#!/usr/bin/env bash
# Makes vi-small, the embedded model, on rendered lines alone: renders a validation set, trains, exports.
#
#   examples/vi-small/train.sh TEXT_FOLDER FONT_FOLDER [WORK_FOLDER]      MINUTES=35
#
# TEXT_FOLDER: *.txt, a paragraph a line. FONT_FOLDER: fonts that cover Vietnamese; families kept for testing
# must not lie there. Besides it, these Debian packages were installed: fonts-liberation2 fonts-croscore
# fonts-freefont-ttf fonts-dejavu fonts-noto-core fonts-crosextra-carlito fonts-linuxlibertine fonts-ebgaramond
# fonts-sil-gentiumplus fonts-sil-charis fonts-cmu fonts-gfs-didot fonts-junicode fonts-vollkorn
# fonts-open-sans fonts-roboto-unhinted fonts-lato fonts-inter fonts-manrope fonts-quicksand
# fonts-roboto-slab fonts-mplus fonts-cantarell fonts-agave
set -euo pipefail

text=$(realpath "${1:?name a folder of text}")
fonts=$(realpath "${2:?name a folder of fonts}")
work=${3:-runs/vi-small}
minutes=${MINUTES:-35}
system=/usr/share/fonts
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
vocr=$root/.venv/bin/vocr

mkdir -p "$work"
[ -e "$work/valid.lmdb" ] || "$vocr" synth "$work/valid.lmdb" --count 600 --seed 99 --strength 0.92 \
  --text "$text" --fonts "$fonts" --fonts "$system/truetype/liberation2"

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
        fonts: ["$system", "$fonts"]
        font_weights:
          {liberation serif: 22, tinos: 18, freeserif: 14, liberation sans: 6, arimo: 6, cousine: 3,
           liberation mono: 3, bellota: 0, lexend: 0, big shoulders: 0}
        strength: 0.92
        seed: 1
batch: {pixels: 600000, max_lines: 128, bucket_px: 32}
optim: {lr: 2.0e-3, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: cosine, warmup_steps: 400, final_lr_share: 0.03}
train: {max_steps: 100000, max_minutes: $minutes, log_every_steps: 100, checkpoint_every_minutes: 4}
validate: {every_steps: 1500, max_lines: 600}
YAML

resume=()
[ -e "$work/run/checkpoints/last.pt" ] && resume=(--resume)
"$vocr" train "$work/config.yaml" --out "$work/run" "${resume[@]}"
"$vocr" export "$work/run/checkpoints/best.safetensors" "$work/vi-small.safetensors" --dtype fp16
"$vocr" export "$work/vi-small.safetensors" "$work/vi-small.int8.onnx"
ls -l "$work"/vi-small.*
