"""Whether the files of a model that writes step by step compute what the model computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vocr_cli.core.inference.engines.onnx_sequence.engine import OnnxSequenceEngine
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.models.files import ModelFile

_LINES, _STEPS = 2, 20
_WIDTHS_PX = (120, 320)


FP32_TOLERANCE = 0.02
"""Largest difference in fp32, in standard deviations of the logits: noise on noise, which a graph that is
wrong makes about 1."""


@dataclass(frozen=True)
class Difference:
    """How much a logit differs at most: as it is, and in standard deviations of the model's logits."""

    absolute: float
    relative: float


def sequence_difference(model: ModelFile, path: Path) -> Difference:
    """Lets model and files see the same random lines and texts.

    The lines are of two widths in one batch, the texts longer than the room for keys and values is at first.
    """
    engine = Recognizer.load(path, "cpu", threads=1).engine
    assert isinstance(engine, OnnxSequenceEngine)
    random = np.random.default_rng(0)
    image = model.image
    widths = [min(width, image.max_width_px) for width in _WIDTHS_PX]
    groups = [
        random.integers(0, 256, (_LINES, image.height_px, width, image.channels), dtype=np.uint8)
        for width in widths
    ]
    first = model.config.special_classes
    count = _LINES * len(groups)
    tokens = random.integers(first, first + len(model.charset), (count, _STEPS))  # (B, L)
    decoder = engine.start(groups)
    written = np.stack([decoder.step(column) for column in tokens.T], axis=1)  # (B, L, C)
    with torch.inference_mode():
        expected = [
            model.module(
                torch.from_numpy(lines).permute(0, 3, 1, 2).float() / 255,
                torch.from_numpy(tokens[_LINES * index : _LINES * (index + 1)]),
            )
            for index, lines in enumerate(groups)
        ]
    logits = torch.cat(expected).numpy()
    absolute = float(np.abs(logits - written).max())
    return Difference(absolute, absolute / float(logits.std()))
