"""Trains a small but real VietOCR model with VietOCR's own Trainer. Runs in the peer's environment.

    train.py FOLDER MODEL words|lines      one stage of the training: 40 % and 60 % of MINUTES (default 20)
    train.py FOLDER MODEL full             the full-size model, random weights that never end a line, to time

MODEL: vgg_transformer or vgg_seq2seq. FOLDER/data/words and /lines hold rendered lines (run.sh renders them).
The first stage learns to read words, the second goes on with lines: short texts are learned first.
The backbone of vgg_transformer starts from the trained vgg_seq2seq's, where that lies there: attention learns
where to look in minutes once there is something to see.
One stage a process: VietOCR opens its LMDBs for good, and lmdb opens none twice in one process.

Written: FOLDER/weights/MODEL.pth, FOLDER/configs/MODEL.yml, FOLDER/checkpoints/MODEL.pth, FOLDER/lmdb/*;
after the second stage also FOLDER/weights/MODEL_232.pth, the same weights as in old files, without the mask
class.
Weights lie apart from configs, so that reading without a config is tried in earnest.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import peer  # noqa: F401
import torch
from PIL import Image
from vietocr.model.trainer import Trainer
from vietocr.tool.config import Cfg
from vietocr.tool.translate import build_model, resize

VOCAB = (
    "aAàÀảẢãÃáÁạẠăĂằẰẳẲẵẴắẮặẶâÂầẦẩẨẫẪấẤậẬbBcCdDđĐeEèÈẻẺẽẼéÉẹẸêÊềỀểỂễỄếẾệỆfFgGhHiIìÌỉỈĩĨíÍịỊjJkKlLmMnNoOòÒỏỎõÕóÓọỌ"
    "ôÔồỒổỔỗỖốỐộỘơƠờỜởỞỡỠớỚợỢpPqQrRsStTuUùÙủỦũŨúÚụỤưƯừỪửỬữỮứỨựỰvVwWxXyYỳỲỷỶỹỸýÝỵỴzZ0123456789"
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "
)
EOS, MASK = 2, 3
POOLS = ((2, 2), (2, 2), (2, 1), (2, 1), (1, 1))
TRANSFORMER = {"d_model": 256, "nhead": 8, "max_seq_length": 1024, "pos_dropout": 0.1, "trans_dropout": 0.1}


def sequence_models(
    layers: int, feed_forward: int, recurrent: int, embedding: int
) -> dict[str, dict[str, object]]:
    """VietOCR's settings of both sequence models at one size."""
    return {
        "vgg_transformer": TRANSFORMER
        | {"num_encoder_layers": layers, "num_decoder_layers": layers, "dim_feedforward": feed_forward},
        "vgg_seq2seq": {
            "encoder_hidden": recurrent, "decoder_hidden": recurrent, "img_channel": 256,
            "decoder_embedded": embedding, "dropout": 0.1,
        },
    }  # fmt: skip


SMALL = sequence_models(2, 512, 192, 128)
FULL = sequence_models(6, 2048, 256, 256)
MAX_LR = {"vgg_transformer": 5e-4, "vgg_seq2seq": 1e-3}
BATCH = int(os.environ.get("BATCH", "16"))
MINUTES = float(os.environ.get("MINUTES", "20"))
SHARES = {"words": 0.4, "lines": 0.6}
ITERATIONS = int(os.environ.get("ITERATIONS", "0"))  # 0: as many as fit into the stage's time


def config_of(folder: Path, name: str, full: bool) -> dict[str, Any]:
    """A VietOCR config with all sections that its code asks for."""
    stem = f"full_{name}" if full else name
    return {
        "vocab": VOCAB,
        "device": "cpu",
        "backbone": "vgg19_bn" if full else "vgg11_bn",
        "cnn": {
            "pretrained": False,
            "ss": [list(pair) for pair in POOLS],
            "ks": [list(pair) for pair in POOLS],
            "hidden": 256,
        },
        "seq_modeling": name.removeprefix("vgg_"),
        "transformer": (FULL if full else SMALL)[name],
        "optimizer": {"max_lr": MAX_LR[name], "pct_start": 0.1},
        "trainer": {
            "batch_size": BATCH,
            "print_every": 25,
            "valid_every": 1000,
            "iters": 1000,
            "export": str(folder / "weights" / f"{stem}.pth"),
            "checkpoint": str(folder / "checkpoints" / f"{stem}.pth"),
            "log": str(folder / "logs" / f"{stem}.log"),
            "metrics": 64,
        },
        "dataset": {"image_height": 32, "image_min_width": 32, "image_max_width": 512},
        "dataloader": {"num_workers": 0, "pin_memory": False},
        "aug": {"image_aug": False, "masked_language_model": True},
        "predictor": {"beamsearch": False},
        "quiet": True,
        "pretrain": str(folder / "weights" / f"{stem}.pth"),
        "weights": str(folder / "weights" / f"{stem}.pth"),
    }


def annotations(folder: Path) -> tuple[str, str, float]:
    """Splits a rendered folder's labels into training and validation, without what the vocab lacks.

    VietOCR's sampler keeps full batches of one width only, and its validation breaks without one: so the
    validation lines are some of each of the four commonest widths.

    Returns:
        Names of the two files in `folder`, and the mean width in px of the lines at VietOCR's size.
    """
    by_width: dict[int, list[str]] = {}
    lacking = 0
    for row in (folder / "labels.tsv").read_text(encoding="utf-8").splitlines():
        path, label = row.split("\t")[:2]
        if set(label) <= set(VOCAB):
            with Image.open(folder / path) as image:
                width = resize(*image.size, 32, 32, 512)[0]
            by_width.setdefault(width, []).append(f"{path}\t{label}\n")
        else:
            lacking += 1
    print(f"{folder}: {lacking} lines left out, they hold characters that VietOCR's vocab lacks")
    valid: list[str] = []
    for lines in sorted(by_width.values(), key=len)[-4:]:
        for _ in range(BATCH if len(lines) < 4 * BATCH else 2 * BATCH):
            valid.append(lines.pop())
    kept = [line for lines in by_width.values() for line in lines]
    (folder / "train.txt").write_text("".join(kept), encoding="utf-8")
    (folder / "valid.txt").write_text("".join(valid), encoding="utf-8")
    mean_width = sum(width * len(lines) for width, lines in by_width.items()) / len(kept)
    return "train.txt", "valid.txt", mean_width


def in_bf16(model: torch.nn.Module) -> None:
    """Has the backbone compute in bf16 where the CPU does that fast; the weights stay float32.

    VietOCR's Trainer knows float32 alone. This only shortens the training: what comes out is read in float32.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return
    forward = model.cnn.forward

    def faster(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(images.contiguous(memory_format=torch.channels_last)).float()

    model.cnn.forward = faster


def take_backbone(model: torch.nn.Module, weights: Path) -> None:
    """Starts from the backbone of another trained model of the same kind of backbone."""
    if weights.is_file():
        state = torch.load(weights, map_location="cpu", weights_only=True)
        cnn = {key.removeprefix("cnn."): value for key, value in state.items() if key.startswith("cnn.")}
        model.cnn.load_state_dict(cnn)
        print(f"The backbone starts from {weights.name}")


def seconds_a_step(config: dict[str, Any], width_px: int) -> float:
    """The time of one training step that nothing disturbed, on made-up lines of the mean width."""
    model, vocab = build_model(config)
    in_bf16(model)
    optimizer = torch.optim.AdamW(model.parameters())
    images = torch.rand(BATCH, 3, 32, width_px)
    tokens = torch.randint(4, len(vocab), (max(4, width_px // 10), BATCH))
    padding = torch.zeros(tokens.T.shape, dtype=torch.bool)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        model(images, tokens, padding).log_softmax(-1).mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times)


def train(folder: Path, name: str, stage: str) -> None:
    """One stage; the second starts from the weights of the first."""
    data = folder / "data" / stage
    train_file, valid_file, mean_width = annotations(data)
    config = config_of(folder, name, full=False)
    config["dataset"] |= {
        "name": stage,
        "data_root": str(data),
        "train_annotation": train_file,
        "valid_annotation": valid_file,
    }
    step_s = seconds_a_step(config, round(mean_width / 10) * 10)
    iterations = ITERATIONS or max(
        50, int(MINUTES * SHARES[stage] * 60 * 0.85 / step_s)
    )  # the rest is for validation
    config["trainer"] |= {"iters": iterations, "valid_every": max(1, iterations // 3)}
    print(f"{name}, {stage}: {step_s:.2f} s a step of {BATCH} lines, {iterations} steps", flush=True)
    config = Cfg(config)
    for place in ("configs", "weights", "lmdb"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    config.save(folder / "configs" / f"{name}.yml")
    os.chdir(folder / "lmdb")  # VietOCR makes its databases in the working folder
    trainer = Trainer(config, pretrained=stage == "lines")
    if stage == "words" and name == "vgg_transformer":
        take_backbone(trainer.model, folder / "weights" / "vgg_seq2seq.pth")
    in_bf16(trainer.model)
    trainer.train()
    trainer.save_weights(config["trainer"]["export"])  # VietOCR saves only once lines are wholly right
    trainer.save_checkpoint(config["trainer"]["checkpoint"])
    if stage == "lines":
        old = without_mask_class(trainer.model.state_dict())
        torch.save(old, folder / "weights" / f"{name}_232.pth")


def without_mask_class(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in the shape of older VietOCRs: 232 classes, no mask."""
    classes = len(VOCAB) + 4
    rows = [row for row in range(classes) if row != MASK]
    by_class = (
        "embed_tgt.weight",
        "decoder.embedding.weight",
        "fc.weight",
        "fc.bias",
        "fc_out.weight",
        "fc_out.bias",
    )
    return {
        key: value[rows].clone() if key.endswith(by_class) and len(value) == classes else value
        for key, value in state.items()
    }


def full_size(folder: Path, name: str) -> None:
    """Random weights of the full-size model, the end of a line ruled out: both sides write as many steps."""
    torch.manual_seed(0)
    config = Cfg(config_of(folder, name, full=True))
    model, _ = build_model(config)
    for key, value in model.named_parameters():
        if key.endswith(("transformer.fc.bias", "fc_out.bias")):
            value.data[EOS] = -1e9
    for place in ("configs", "weights"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), config["weights"])
    config.save(folder / "configs" / f"full_{name}.yml")


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[2] not in SMALL or sys.argv[3] not in (*SHARES, "full"):
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    if sys.argv[3] == "full":
        full_size(folder, sys.argv[2])
    else:
        train(folder, sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
