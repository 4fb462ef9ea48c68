"""VietOCR 0.3.13 as it is, asked by rows of JSON on stdin, one answer each on stdout.

    vietocr_side.py FOLDER DEVICE DATABASE CHARACTERS BATCH

Makes vgg_transformer with random weights that never end a line before CHARACTERS are written, so that both
sides write as much, and saves it to FOLDER. {"ask": "predict" or "predict_batch", "images": [...]} reads;
{"ask": "train", "steps": N} takes steps of VietOCR's own Trainer on DATABASE, whose keys are VietOCR's,
with VietOCR's own settings of the loader. What VietOCR imports and does not need here may be missing.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
import yaml
from PIL import Image

for name in (
    "imgaug",
    "albumentations",
    "gdown",
    "cv2",
    "matplotlib",
    "prefetch_generator",
    "einops",
    "six",
    "tqdm",
    "requests",
):
    if find_spec(name) is None:  # augmentation, downloads and pictures are not asked for
        sys.modules[name] = MagicMock()
        if name == "matplotlib":
            sys.modules["matplotlib.pyplot"] = MagicMock()
        if name == "six":
            import io

            sys.modules[name].BytesIO = io.BytesIO
        if name == "tqdm":
            sys.modules[name].tqdm = lambda items, **_: items
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers" / "vietocr"))
import peer  # noqa: E402, F401  (declares operators that a CPU build of torch lacks)

# numpy 2.3 has none for bytes.
np.fromstring = lambda text, dtype: np.frombuffer(text, dtype).copy()  # type: ignore[assignment]

EOS = 2
_NEVER = -1e9
BASE = Path(__file__).resolve().parents[2] / "vocr_cli" / "assets" / "vietocr"


def config_of(folder: Path, device: str, batch: int) -> dict[str, Any]:
    """VietOCR's own config, of random weights, without augmentation, validation and downloads."""
    config: dict[str, Any] = yaml.safe_load((BASE / "base.yml").read_text(encoding="utf-8"))
    config |= yaml.safe_load((BASE / "vgg_transformer.yml").read_text(encoding="utf-8"))
    config["cnn"]["pretrained"] = False
    config["device"] = "cuda:0" if device == "cuda" else device
    config["weights"] = str(folder / "vgg_transformer.pth")
    config["aug"]["image_aug"] = False
    config["dataset"] |= {"data_root": str(folder), "train_annotation": "none", "valid_annotation": None}
    config["dataset"]["name"] = "gpu_check"
    config["trainer"] |= {"batch_size": batch, "iters": 1_000_000, "print_every": 10**9, "log": None}
    if device == "cpu":
        config["dataloader"] |= {"num_workers": 0, "pin_memory": False}  # of a rehearsal
    return config


def main() -> None:
    folder, device, database = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    characters, batch = int(sys.argv[4]), int(sys.argv[5])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # VietOCR prints

    def answer(**found: Any) -> None:
        answers.write(json.dumps(found, ensure_ascii=False) + "\n")
        answers.flush()

    from vietocr.model.trainer import Trainer
    from vietocr.tool import predictor
    from vietocr.tool.config import Cfg
    from vietocr.tool.translate import build_model, translate

    config = Cfg(config_of(folder, device, batch))
    torch.manual_seed(0)
    model, _ = build_model(config)
    with torch.no_grad():
        model.transformer.fc.bias[EOS] = _NEVER
    torch.save(model.state_dict(), config["weights"])
    config.save(folder / "vgg_transformer.yml")
    del model
    predictor.translate = functools.partial(translate, max_seq_length=characters - 1)
    reader = predictor.Predictor(config)
    trainer: Any = None
    answer(weights=config["weights"], config=str(folder / "vgg_transformer.yml"))
    for row in sys.stdin:
        request = json.loads(row)
        if request["ask"] == "train":
            if trainer is None:
                del reader
                link(database, folder)
                os.chdir(folder)  # where VietOCR looks for its database
                trainer = Trainer(config, pretrained=False)
                batches = iter(trainer.train_gen)
                steps(trainer, batches, 1)
            answer(**steps(trainer, batches, request["steps"]))
            continue
        images = [Image.open(path).convert("RGB") for path in request["images"]]
        synchronize()
        began = time.perf_counter()
        if request["ask"] == "predict":
            texts = [reader.predict(image) for image in images]
        else:
            texts = reader.predict_batch(images)
        synchronize()
        answer(seconds=time.perf_counter() - began, texts=texts)


def link(database: Path, folder: Path) -> None:
    """VietOCR makes a database where it finds none, and takes one that is there."""
    there = folder / "train_gpu_check"
    if not there.exists():
        there.symlink_to(database, target_is_directory=True)


def steps(trainer: Any, batches: Any, count: int) -> dict[str, float]:
    """Takes steps of the Trainer, as its loop does."""
    lines, began = 0, time.perf_counter()
    for _ in range(count):
        try:
            batch = next(batches)
        except StopIteration:
            batches = iter(trainer.train_gen)
            batch = next(batches)
        trainer.step(batch)
        lines += len(batch["img"])
    synchronize()
    return {"seconds": time.perf_counter() - began, "lines": lines, "peak_mb": peak_mb()}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_mb() -> float:
    """What tensors took of the GPU, else the largest resident size of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("VmHWM"))


if __name__ == "__main__":
    main()
