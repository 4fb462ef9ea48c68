#!/usr/bin/env bash
# A smaller model from a larger one: prunes it, trains what is left on rendered lines with the larger one as the
# teacher, and measures both: CER on labelled sets, int8 too where an ONNX runtime is installed, and speed.
#
#   examples/compress.sh SET... [--model MODEL] [--out FOLDER]
#     MINUTES=30 SHARE=0.5 RATE=1.5e-3 TEXT="FOLDER..." FONTS="FOLDER..." FONT_WEIGHTS="{liberation serif: 24}"
#
# SET: an LMDB, an annotation file, or a folder with labels.tsv; speed is measured on the first. MODEL: vi-small by
# default. SHARE: how much of the weights goes. TEXT and FONTS: what lines are rendered from; by default generated
# text in the fonts of the examples. FONT_WEIGHTS: families that are drawn more often, or with 0 never.
set -euo pipefail
export PYTHONUTF8=1

model=vi-small
work=runs/compress
sets=()
while (($#)); do
  case $1 in
    --model) model=$2 && shift 2 ;;
    --out) work=$2 && shift 2 ;;
    *) sets+=("$1") && shift ;;
  esac
done
: "${sets[0]:?name a labelled set}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vocr=$root/.venv/bin/vocr
python=$root/.venv/bin/python
small=$work/small.safetensors
mkdir -p "$work"
rendered=()
for folder in ${FONTS:-"$root/examples/fonts"}; do rendered+=(--fonts "$folder"); done
for folder in ${TEXT:-}; do rendered+=(--text "$folder"); done

"$vocr" export "$model" "$work/pruned.safetensors" --prune "${SHARE:-0.5}"
[ -e "$work/valid.lmdb" ] ||
  "$vocr" synth "$work/valid.lmdb" --count 400 --seed 99 "${rendered[@]}"

"$python" - "$work" "$root/examples/fonts" >"$work/config.yaml" <<'PYTHON'
import os
import sys

import yaml

from vocr_cli.core.models.files import load_model

work, fonts = sys.argv[1:]
pruned = load_model(f"{work}/pruned.safetensors")
synth = {
    "text": os.environ.get("TEXT", "").split(),
    "fonts": os.environ.get("FONTS", fonts).split(),
    "font_weights": yaml.safe_load(os.environ.get("FONT_WEIGHTS", "{}")),
    "seed": 8,
}
tree = {
    "model": pruned.config.model_dump(mode="json"),
    "image": pruned.image.model_dump(mode="json"),
    "charset": {"characters": pruned.charset.characters},
    "data": {"train": [{"synth": synth}], "valid": [f"{work}/valid.lmdb"], "workers": 2},
    "batch": {"pixels": 600_000},
    "optim": {"lr": float(os.environ.get("RATE", 1.5e-3)), "ema_decay": 0.998},
    "schedule": {"name": "cosine", "warmup_steps": 100, "final_lr_share": 0.02},
    "train": {"max_steps": 1_000_000, "teacher_weight": 0.5, "teacher_temperature": 2.0},
}
print("# Written by examples/compress.sh")
print(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110))
PYTHON

more=(--init "$work/pruned.safetensors")
[ -e "$work/run/checkpoints/last.pt" ] && more=(--resume)
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  "$vocr" train "$work/config.yaml" --out "$work/run" --max-minutes "${MINUTES:-30}" --teacher "$model" \
  "${more[@]}"
"$vocr" export "$work/run/checkpoints/best.safetensors" "$small" --dtype fp16
precisions=(fp32)
if "$python" -c 'import onnx, onnxruntime' 2>/dev/null && [ "$model" = vi-small ]; then
  "$vocr" export "$small" "$work/small.int8.onnx"
  precisions+=(int8)
fi

for precision in "${precisions[@]}"; do
  for size in large small; do
    [ "$size" = large ] && measured=$model || measured=$small
    for place in "${!sets[@]}"; do
      "$vocr" eval "${sets[place]}" --model "$measured" --precision "$precision" \
        --json "$work/$place.$precision.$size.json" >"$work/$place.$precision.$size.txt" || [ $? = 3 ]
    done
    "$vocr" bench infer --model "$measured" --data "${sets[0]}" --precision "$precision" --limit 500 \
      --json "$work/$precision.$size.bench.json" >"$work/$precision.$size.bench.txt"
  done
done

"$python" - "$work" "${sets[@]}" <<'PYTHON'
import json
import sys
from pathlib import Path

work, *sets = sys.argv[1:]


def read(name):
    return json.loads(Path(work, name).read_text(encoding="utf-8"))


def cer(name):
    rate = read(name)["cer"]
    return f"{rate['value']:.2%} ({rate['low']:.2%}-{rate['high']:.2%})"


def speed(name):
    (row,) = read(name)["precisions"]
    return f"{row['end_to_end']['median']:.0f} lines/s"


print("| measured | number format | larger model | smaller model |")
print("| --- | --- | ---: | ---: |")
for precision in sorted({file.name.split(".")[0] for file in Path(work).glob("*.large.bench.json")}):
    for place, name in enumerate(sets):
        cells = [cer(f"{place}.{precision}.{size}.json") for size in ("large", "small")]
        print(f"| CER of {Path(name).name} | {precision} | {' | '.join(cells)} |")
    cells = [speed(f"{precision}.{size}.bench.json") for size in ("large", "small")]
    print(f"| speed from file to text | {precision} | {' | '.join(cells)} |")
PYTHON
