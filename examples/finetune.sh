#!/usr/bin/env bash
# Teaches a model lines of a new kind, such as handwriting, and measures it before and after.
#
#   examples/finetune.sh TRAIN_LABELS TEST_LABELS [--init vi-small] [--out runs/finetune]
#                        [--minutes 60] [--replay 0.3] [OPTION OF vocr train]...
#
# LABELS: a file of lines path<TAB>text. --init: what to start from; `none`: random weights, of vi-small's shape.
# --replay: share of rendered printed lines among the training lines, so that print is not forgotten; what is read
# of such lines is measured, too. `vocr autoconf --init` writes the config, each value with its reason; change one
# with --set optim.name=adamw --set optim.lr=2e-3. The folder keeps databases, config.yaml, run/, and scores.
set -euo pipefail
export PYTHONUTF8=1

train=$(realpath "${1:?name the annotation file to train on}")
test=$(realpath "${2:?name the annotation file to test on}")
shift 2
init=vi-small out=runs/finetune minutes=60 replay=0.3 options=()
while (($#)); do
  case $1 in
    --init) init=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --minutes) minutes=$2 && shift 2 ;;
    --replay) replay=$2 && shift 2 ;;
    *) options+=("$1") && shift ;;
  esac
done
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
planned_for=$init start=(--init "$init")
rendered=(--replay "$replay" --fonts "$root/examples/fonts")
[ "$replay" = 0 ] && rendered=()
[ "$init" = none ] && planned_for=vi-small rendered=() start=()
[ -e "$out/run/checkpoints/last.pt" ] && start=(--resume)
vocr=$root/.venv/bin/vocr
[ -x "$vocr" ] || vocr=$(command -v vocr) || { echo "No vocr here. Remedy: make setup" >&2; exit 1; }
mkdir -p "$out"

scores() { # of MODEL as NAME, on the new lines and on print; exit code 3: some image cannot be read
  "$vocr" eval "$test" --model "$1" --json "$out/$2.test.json" --report "$out/$2.test.html" || [ $? = 3 ]
  "$vocr" eval "$out/printed" --model "$1" --json "$out/$2.printed.json"
}

[ -e "$out/train.lmdb" ] ||
  "$vocr" build-lmdb "$train" "$out/train.lmdb" --valid-share 0.05 --bad-lines "$out/bad-lines.tsv" || [ $? = 3 ]
[ -e "$out/printed" ] ||
  "$vocr" synth "$out/printed" --count 300 --seed 2026 --strength 0.5 --fonts "$root/examples/fonts"
[ -e "$out/config.yaml" ] ||
  "$vocr" autoconf --data "$out/train.lmdb" --init "$planned_for" "${rendered[@]}" \
    --no-probe --out "$out/config.yaml"
[ "$init" = none ] || [ -e "$out/before.test.json" ] || scores "$init" before
# Memory in large pages; the clock ends the run.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  "$vocr" train "$out/config.yaml" --out "$out/run" --max-steps 1000000 --max-minutes "$minutes" \
  "${start[@]}" "${options[@]}"
scores "$out/run/checkpoints/best.safetensors" after
