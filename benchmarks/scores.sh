#!/usr/bin/env bash
# Scores vi-small and Tesseract on labelled sets, line by line the same files, and on rendered lines in fonts
# that vi-small never saw.
#
#   benchmarks/scores.sh FONT_FOLDER TEXT_FOLDER SET...      MODEL=vi-small OUT=runs/scores
#
# FONT_FOLDER: the families kept for testing. SET: a folder with labels.tsv, or an LMDB.
set -euo pipefail

fonts=${1:?name a folder of fonts}
text=${2:?name a folder of text}
shift 2
model=${MODEL:-vi-small}
out=${OUT:-runs/scores}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vocr=$root/.venv/bin/vocr

mkdir -p "$out"
for kind in clean:0 degraded:1; do
  [ -e "$out/${kind%:*}/labels.tsv" ] ||
    "$vocr" synth "$out/${kind%:*}" --count 500 --seed 2026 --strength "${kind#*:}" --text "$text" --fonts "$fonts"
done
for set in "$@" "$out/clean" "$out/degraded"; do
  name=$(basename "$set")
  "$vocr" eval "$set" --model "$model" --json "$out/$name.eval.json" --report "$out/$name.html" >"$out/$name.txt"
  "$vocr" bench infer --data "$set" --model "$model" --against tesseract --precision auto --precision int8 \
    --threads 1 --limit 1000 --json "$out/$name.bench.json" >"$out/$name.bench.txt" 2>/dev/null
done
"$root/.venv/bin/python" - "$out" <<'PYTHON'
import json
import sys
from pathlib import Path


def percent(rate):
    return f"{rate['value']:.2%} ({rate['low']:.2%}-{rate['high']:.2%})"


print("| set | lines | vi-small CER | int8 CER | Tesseract CER | ratio |")
print("| --- | ---: | ---: | ---: | ---: | ---: |")
for file in sorted(Path(sys.argv[1]).glob("*.bench.json")):
    bench = json.loads(file.read_text(encoding="utf-8"))
    ours, *others = [row["cer"] for row in bench["precisions"]]
    (theirs,) = [row["cer"] for row in bench["peers"]["contestants"] if row["name"] == "tesseract"]
    int8 = percent(others[0]) if others else "-"
    ratio = ours["value"] / theirs["value"] if theirs["value"] else float("nan")
    name = file.name.removesuffix(".bench.json")
    print(f"| {name} | {bench['lines']} | {percent(ours)} | {int8} | {percent(theirs)} | {ratio:.2f} |")
PYTHON
