#!/usr/bin/env bash
# Makes vi-base of vi-small: grows it (the deeper model computes the same at first), trains it on clean and degraded rendered
# lines, exports and calibrates.
#
#   examples/vi-base/train.sh TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]      STEPS=5000 LINES=64 INIT=vi-small
#
# TEXT_FOLDER and FONT_FOLDERs as for ../vi-small/train.sh. STEPS: of the training; the rate falls over the last three tenths.
# Run again with the same WORK_FOLDER, it goes on where it was cut off.
set -euo pipefail
export PYTHONUTF8=1
. "$(dirname "${BASH_SOURCE[0]}")/../vi-small/stages.sh"

arguments runs/vi-base "$@"
render_valid
[ -e "$work/grown.safetensors" ] ||
  "$vocr" export "${INIT:-vi-small}" "$work/grown.safetensors" \
    --grow 'blocks=[0,2,4]' --grow column_blocks=3 --grow attention_layers=3

{ rendered 6 1 61 0.55 && rendered 9 0.5 62 0.55 && rendered 5 0 63 0.55; } |
  stage mixed "$work/grown.safetensors" "${STEPS:-5000}" 1.5e-3 0.3 valid-0.5.lmdb \
    "blocks: [0, 2, 4], column_blocks: 3, attention_layers: 3, " ""
ship vi-base mixed
