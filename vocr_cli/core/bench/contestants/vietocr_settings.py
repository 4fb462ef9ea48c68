"""How VietOCR trains and reads, setting by setting, and how the baseline of our benches does it.

Files and lines are those of the wheel of VietOCR 0.3.13 on PyPI; `base.yml` is the config that it downloads.
"""

from __future__ import annotations

from dataclasses import dataclass

VIETOCR_LINES = 32
"""Lines of a batch in VietOCR's configs."""

VIETOCR_WORKERS = 3
"""Processes of the loader in VietOCR's configs."""


@dataclass(frozen=True)
class BaselineSetting:
    """A setting of both sides.

    Attributes:
        name: What is set.
        vietocr: VietOCR's value.
        where: File and line of VietOCR's.
        baseline: The value in our baseline, where it says more than "the same".
    """

    name: str
    vietocr: str
    where: str
    baseline: str = "the same"


BASELINE_SETTINGS = (
    BaselineSetting("number format", "fp32", "model/trainer.py:345"),
    BaselineSetting("lines of a step", f"{VIETOCR_LINES}", "base.yml: trainer.batch_size"),
    BaselineSetting(
        "batches", "of one width, full ones only", "loader/dataloader.py:136-137", "the same sampler, rebuilt"
    ),
    BaselineSetting("loader processes", f"{VIETOCR_WORKERS}", "base.yml: dataloader.num_workers"),
    BaselineSetting("page-locked batches", "yes", "base.yml: dataloader.pin_memory", "yes, on CUDA"),
    BaselineSetting("copies", "non-blocking", "model/trainer.py:296-299"),
    BaselineSetting(
        "attention",
        "nn.Transformer: torch's SDPA",
        "model/seqmodel/transformer.py:20-22",
        "SDPA, in our modules",
    ),
    BaselineSetting("optimizer", "AdamW, betas 0.9 and 0.98, eps 1e-9", "model/trainer.py:64"),
    BaselineSetting("schedule", "OneCycle, peak at 0.1", "model/trainer.py:65"),
    BaselineSetting("gradients", "norm clipped at 1", "model/trainer.py:356"),
    BaselineSetting("waits for the loss", "at every step", "model/trainer.py:361"),
    BaselineSetting(
        "loss", "labels smoothed by 0.1", "model/trainer.py:72", "the same; CTC for models of ours"
    ),
    BaselineSetting("masked characters", "5 %", "loader/dataloader.py:190-193", "the config's, both sides"),
    BaselineSetting("augmentation", "on", "base.yml: aug.image_aug", "off, on both sides"),
    BaselineSetting(
        "images", "decoded and scaled each step", "loader/dataloader.py:94-102", "the same, by our decoder"
    ),
    BaselineSetting(
        "reading", "line by line, the prefix gone over at every step", "tool/translate.py:87-93"
    ),
    BaselineSetting(
        "each character read", "all probabilities copied to the CPU, the best five taken",
        "tool/translate.py:94-97", "the best class taken on the device: less work",
    ),
)  # fmt: skip
