#!/usr/bin/env bash
# Makes the embedded language model, vocr_cli/assets/vi.lm, from text and the phrases of the renderer's grammar.
#
#   examples/vi-small/lm.sh TEXT_FOLDER [OUT]
#
# TEXT_FOLDER: laws.txt, wikipedia.txt, admin_units_2025.txt, admin_units_pre2025.txt, given_names.txt, a
# paragraph or a name a line. Text of test sets must not lie there.
set -euo pipefail
export PYTHONUTF8=1

text=$(realpath "${1:?name a folder of text}")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${2:-$root/vocr_cli/assets/vi.lm}
bin=${BIN:-$root/.venv/bin}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
"$bin/python" "$root/examples/vi-small/phrases.py" 60000 >"$work/phrases.txt"
"$bin/python" -m vocr_cli lm "$text"/{laws,wikipedia,admin_units_2025,admin_units_pre2025,given_names}.txt \
  "$work/phrases.txt" "$out" --order 8 --max-mb 2.5 --provenance \
  "Pruned counts of n-grams of at most 8 characters. laws.txt: Vietnamese laws, public domain. wikipedia.txt: \
paragraphs of the Vietnamese Wikipedia, by its contributors, CC BY-SA. admin_units_*.txt, given_names.txt: \
MIT. phrases.txt: the grammar of vocr synth. No text of any test set."
