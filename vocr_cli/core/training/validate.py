"""Validation that counts every line once, whatever its width, and cannot be NaN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import nn

from vocr_cli.core.data.batching import exact_batches
from vocr_cli.core.data.dataset import Batch, StoredSource, collate
from vocr_cli.core.text import Charset
from vocr_cli.core.training.events import Validated
from vocr_cli.core.training.objective import Objective, as_input

_SAMPLES = 3


def chosen_lines(sources: list[StoredSource], max_lines: int) -> list[tuple[StoredSource, np.ndarray]]:
    """A fixed subset of the validation sources, every source by its share; `max_lines` 0: all."""
    total = sum(len(source) for source in sources)
    share = min(1.0, max_lines / total) if max_lines else 1.0
    chosen = []
    for source in sources:
        count = max(1, round(share * len(source)))
        chosen.append((source, np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))))
    return chosen


@torch.inference_mode()
def validate(
    module: nn.Module,
    lines: list[tuple[StoredSource, np.ndarray]],
    charset: Charset,
    objective: Objective,
    device: torch.device,
    pixels: int,
    channels_last: bool,
    step: int,
    best_cer: float,
) -> Validated:
    """Loss, CER and line accuracy of `module` on the chosen lines.

    Returns:
        The event; `best` when its CER is below `best_cer`. CER of an empty set is 1, never NaN.
    """
    module.eval()
    examine = objective.examiner(module)
    count = edits = characters = right = weight = 0
    loss_sum = 0.0
    samples: list[tuple[str, str]] = []
    for batch in _batches(lines, pixels):
        loss, parts, readings = examine(as_input(batch.images, device, channels_last), batch)
        loss_sum, weight = loss_sum + loss, weight + parts
        for text, classes in zip(batch.texts, readings, strict=True):
            reading = charset.decode(classes)
            wrong = Levenshtein.distance(text, reading)
            edits, characters, count = edits + wrong, characters + len(text), count + 1
            right += not wrong
            if len(samples) < _SAMPLES and (wrong or count > 200):
                samples.append((text, reading))
    cer = edits / characters if characters else 1.0
    return Validated(
        step, count, loss_sum / max(weight, 1), cer, right / max(count, 1), cer < best_cer, tuple(samples)
    )


def _batches(lines: list[tuple[StoredSource, np.ndarray]], pixels: int) -> Iterator[Batch]:
    for source, numbers in lines:
        height = source.config.image.height_px
        for places in exact_batches(source.widths[numbers].tolist(), height, pixels, 256):
            # A label too long for its columns stretches its line: group again by the widths that came out.
            samples = [source.sample(int(numbers[place])) for place in places]
            for group in exact_batches([sample.width_px for sample in samples], height, pixels, 256):
                yield collate([samples[place] for place in group], bucket_px=1)
