"""Whether a written file computes what its source computes. B lines, T columns, L tokens, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.decoding.ctc_torch import to_numpy
from vocr_cli.core.errors import ModelError
from vocr_cli.core.inference.engines.base import CtcEngine, Engine
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.models.files import ModelFile

COMPARED_LINES = 16
FP32_TOLERANCE = 1e-3
"""Largest difference of a logit between the source and an ONNX file in fp32: rounding, nothing more."""
EXACT_TOLERANCE = 1e-4
"""Largest difference of a logit between a model and a file that torch reads in fp32."""


@dataclass(frozen=True)
class Agreement:
    """How a written file compares with its source on the same lines.

    Attributes:
        lines: How many were compared.
        largest_difference: Of any logit, or feature of a VietOCR model, absolute.
        same_texts: Lines that read the same.
    """

    lines: int
    largest_difference: float
    same_texts: int


def compare(source: Recognizer, written: Recognizer, lines: Sequence[np.ndarray]) -> Agreement:
    """Reads the same lines, each (H, W, channels) uint8, with both."""
    largest = 0.0
    for line in lines:
        outputs = [_output(recognizer.engine, line) for recognizer in (source, written)]  # each (1, T, C)
        largest = max(largest, float(np.abs(outputs[0] - outputs[1]).max()))
    return Agreement(len(lines), largest, same_texts(source, written, lines))


def same_texts(source: Recognizer, written: Recognizer, lines: Sequence[np.ndarray]) -> int:
    """Counts the lines, each (H, W, channels) uint8, that both read the same."""
    pairs = [[reader.read_fitted([line])[0].text for reader in (source, written)] for line in lines]
    return sum(first == second for first, second in pairs)


def teacher_forced_difference(source: ModelFile, written: ModelFile) -> float:
    """The largest difference of a logit when both VietOCR models see the same random lines and texts."""
    random = torch.Generator().manual_seed(0)
    image = source.image
    width = min(image.max_width_px, 320)
    lines = torch.rand((2, image.channels, image.height_px, width), generator=random)
    tokens = torch.randint(1, len(source.charset) + 1, (2, 8), generator=random)  # (B, L)
    with torch.inference_mode():
        first, second = (model.module(lines, tokens) for model in (source, written))  # (B, L, C)
    return float((first - second).abs().max())


def check_difference(difference: float, path: Path, tolerance: float, files: Sequence[Path] = ()) -> None:
    """Takes the file away, and all `files`, where it does not compute what its source computes.

    Raises:
        ModelError: The difference of a logit is larger than the tolerance, or is no number.
    """
    if difference <= tolerance:
        return
    for file in (path, *files):
        file.unlink(missing_ok=True)
    raise ModelError(
        f"{path}: its logits differ from the model's by {difference:.3g}; removed.",
        "Export it again; of an ONNX file, update torch and onnxruntime before.",
    )


def noise_lines(image: ImageConfig) -> list[np.ndarray]:
    """Lines of many widths, of noise: enough to show whether two files compute the same."""
    rng = np.random.default_rng(0)
    widths = np.linspace(image.min_width_px, min(image.max_width_px, 1000), COMPARED_LINES) // 8 * 8
    return [
        rng.integers(0, 256, (image.height_px, int(width), image.channels), dtype=np.uint8)
        for width in widths
    ]


def _output(engine: Engine, line: np.ndarray) -> np.ndarray:
    """Logits, or the features of a VietOCR model."""
    assert isinstance(engine, CtcEngine | Seq2SeqEngine)
    lines = np.stack([line])
    return engine.logits(lines) if isinstance(engine, CtcEngine) else to_numpy(engine.features(lines))
