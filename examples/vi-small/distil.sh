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
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

teacher=$(realpath "${1:?name the model file of the teacher}")
shift
arguments runs/vi-small-distilled "$@"
render_valid
[ -e "$work/pruned.safetensors" ] ||
  "$vocr" export "$teacher" "$work/pruned.safetensors" --prune 'channels=[32,48,128]' --prune column_outputs=2

# Where the teacher errs, the label alone is learned.
taught() { echo "teacher: \"$teacher\", teacher_lines: right, teacher_weight: $1, "; }

rendered 1 1 7 0.7 |
  stage degraded "$work/pruned.safetensors" "${STEPS:-11400}" 3.0e-3 0.15 valid-1.lmdb "" "$(taught 0.5)"
{ rendered 6 1 47 0.55 && rendered 9 0.5 48 0.55 && rendered 5 0 49 0.55; } |
  stage mixed "$work/degraded/checkpoints/best.safetensors" "${MIXED:-5250}" 1.5e-3 0.34 valid-0.5.lmdb "" "$(taught 0.4)"
ship vi-small mixed
