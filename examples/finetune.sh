#!/usr/bin/env bash
# Teaches a model lines of a new kind, such as handwriting, and measures it before and after.
#
#   examples/finetune.sh TRAIN_LABELS TEST_LABELS [--init MODEL] [--out FOLDER]      MINUTES=60 REPLAY=0.3
#
# LABELS: a file of lines path<TAB>text. --init: what to start from, vi-small by default; `none`: random weights.
# The labels' characters extend the charset. REPLAY: share of rendered printed lines among the training lines,
# so that print is not forgotten; their CER is measured, too. STRETCH: how much wider lines are made; by default
# so much that a CTC model has twice the columns that the labels need. OPTIMIZER: muon, or adamw,
# which models of VietOCR keep. RATE: the highest learning rate, by default 4e-3, 2e-3, and 3e-4 of VietOCR's.
# FOLDER keeps the databases, config.yaml, run/ with events and curves, and the scores.
set -euo pipefail
export PYTHONUTF8=1

train=$(realpath "${1:?name the annotation file to train on}")
test=$(realpath "${2:?name the annotation file to test on}")
shift 2
init=vi-small
work=runs/finetune
while (($#)); do
  case $1 in
    --init) init=$2 ;;
    --out) work=$2 ;;
    *) echo "Unknown: $1. Remedy: --init MODEL or --out FOLDER" >&2 && exit 2 ;;
  esac
  shift 2
done
case ${OPTIMIZER:-muon} in
  muon | adamw) ;;
  *) echo "OPTIMIZER is $OPTIMIZER. Remedy: muon or adamw" >&2 && exit 2 ;;
esac
minutes=${MINUTES:-60}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vocr=$root/.venv/bin/vocr
python=$root/.venv/bin/python
mkdir -p "$work"

[ -e "$work/train.lmdb" ] ||
  "$vocr" build-lmdb "$train" "$work/train.lmdb" --valid-share 0.05 --bad-lines "$work/bad-lines.tsv" || [ $? = 3 ]
[ -e "$work/printed" ] ||
  "$vocr" synth "$work/printed" --count 300 --seed 2026 --strength 0.5 --fonts "$root/examples/fonts"

"$python" - "$work" "$init" "$root/examples/fonts" >"$work/config.yaml" <<'PYTHON'
import os
import sys

import numpy as np
import yaml

from vocr_cli.core.config.tree import COLUMN_PX, CtcConfig, ImageConfig
from vocr_cli.core.data.loader.dataset import needed_columns
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.models.files import load_model
from vocr_cli.core.text import VIETNAMESE_CHARSET, clean

work, init, fonts = sys.argv[1:]
fresh = init == "none"
model = CtcConfig() if fresh else load_model(init).config
image = ImageConfig() if fresh else load_model(init).image
characters = VIETNAMESE_CHARSET if fresh else load_model(init).charset.characters
with LineStore(f"{work}/train.lmdb") as store:
    labels = [clean(store.text(number)) for number in range(len(store))]
    needed = np.array([needed_columns([*map(ord, label)]) for label in labels])
    columns = store.widths * image.height_px / store.heights / COLUMN_PX
stretch = float(os.environ.get("STRETCH") or np.clip(2 * np.median(needed / columns), 1, 2).round(1))
replay = 0.0 if fresh else float(os.environ.get("REPLAY", "0.3"))
sources = [{"lmdb": f"{work}/train.lmdb", "weight": 1 - replay}]
if replay:
    sources.append({"synth": {"fonts": [fonts], "seed": 7}, "weight": replay})
ctc = model.family == "ctc"
optimizer = os.environ.get("OPTIMIZER") or ("muon" if ctc else "adamw")
tree = {
    "model": model.model_dump(mode="json") | {"dropout": 0.1},
    "image": image.model_dump(mode="json") | {"stretch": stretch},
    "charset": {"characters": characters, "unknown": "extend"},
    "data": {"train": sources, "valid": [f"{work}/train.lmdb-valid"], "workers": 2},
    "augment": {"strength": 0.6},
    "batch": {"pixels": 400_000, "bucket_px": 32},
    "optim": {
        "name": optimizer,
        "lr": float(os.environ.get("RATE") or {"muon": 4e-3, "adamw": 2e-3 if ctc else 3e-4}[optimizer]),
        "weight_decay": 0.05,
        "ema_decay": 0.998,
    },
    "schedule": {"name": "cosine", "warmup_steps": 300, "final_lr_share": 0.01},
    "train": {"max_steps": 1_000_000, "log_every_steps": 50},
}
print("# Written by examples/finetune.sh")
print(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110))
PYTHON

scores() { # of MODEL as NAME, on the new lines and on print
  "$vocr" eval "$test" --model "$1" --json "$work/$2.test.json" --report "$work/$2.test.html" \
    >"$work/$2.test.txt" || [ $? = 3 ]
  "$vocr" eval "$work/printed" --model "$1" --json "$work/$2.printed.json" >"$work/$2.printed.txt"
}

more=()
if [ "$init" != none ]; then
  more=(--init "$init")
  scores "$init" before
fi
[ -e "$work/run/checkpoints/last.pt" ] && more=(--resume)
# Memory in large pages.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  "$vocr" train "$work/config.yaml" --out "$work/run" --max-minutes "$minutes" "${more[@]}"
scores "$work/run/checkpoints/best.safetensors" after

"$python" - "$work" <<'PYTHON'
import json
import sys
from pathlib import Path

print("| lines | before | after |")
print("| --- | ---: | ---: |")
for kind in ("test", "printed"):
    cells = []
    for when in ("before", "after"):
        file = Path(sys.argv[1], f"{when}.{kind}.json")
        rate = json.loads(file.read_text(encoding="utf-8"))["cer"] if file.exists() else None
        cells.append("-" if rate is None else f"CER {rate['value']:.2%} ({rate['low']:.2%}-{rate['high']:.2%})")
    print(f"| {kind} | {' | '.join(cells)} |")
PYTHON
