"""Validation that counts every line once, whatever its width, and cannot be NaN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from vocr_cli.core.data.batching import exact_batches
from vocr_cli.core.data.dataset import StoredSource, collate
from vocr_cli.core.decoding.ctc import ctc_greedy
from vocr_cli.core.text import Charset
from vocr_cli.core.training.events import Validated

_SAMPLES = 3


def as_input(images: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    """(B, H, W, C) uint8 on any device to (B, C, H, W) float in 0..1 on `device`."""
    x = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return x.to(torch.float32).div_(255).contiguous(memory_format=layout)


def ctc_loss(logits: Tensor, columns: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """(B,) CTC loss (Graves et al., 2006) per character of each line."""
    log_probabilities = F.log_softmax(logits.float(), dim=-1).transpose(0, 1)  # (T, B, C)
    losses = F.ctc_loss(log_probabilities, targets, columns, lengths, reduction="none", zero_infinity=True)
    return losses / lengths.to(losses.device).clamp(min=1)


def chosen_lines(sources: list[StoredSource], max_lines: int) -> list[tuple[StoredSource, np.ndarray]]:
    """A fixed subset of the validation sources, every source by its share; `max_lines` 0: all."""
    total = sum(len(source.store) for source in sources)
    share = min(1.0, max_lines / total) if max_lines else 1.0
    chosen = []
    for source in sources:
        count = max(1, round(share * len(source.store)))
        chosen.append((source, np.unique(np.linspace(0, len(source.store) - 1, count).astype(np.int64))))
    return chosen


@torch.inference_mode()
def validate(
    module: nn.Module,
    lines: list[tuple[StoredSource, np.ndarray]],
    charset: Charset,
    device: torch.device,
    dtype: torch.dtype,
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
    count = edits = characters = right = 0
    loss_sum = 0.0
    samples: list[tuple[str, str]] = []
    for images, columns, targets, lengths, texts in _batches(lines, pixels):
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = module(as_input(images, device, channels_last))
        loss_sum += float(ctc_loss(logits, columns.to(device), targets.to(device), lengths.to(device)).sum())
        for text, path in zip(texts, ctc_greedy(logits), strict=True):
            reading = charset.decode(path.classes)
            wrong = Levenshtein.distance(text, reading)
            edits, characters, count = edits + wrong, characters + len(text), count + 1
            right += not wrong
            if len(samples) < _SAMPLES and (wrong or count > 200):
                samples.append((text, reading))
    cer = edits / characters if characters else 1.0
    return Validated(
        step, count, loss_sum / max(count, 1), cer, right / max(count, 1), cer < best_cer, tuple(samples)
    )


def _batches(
    lines: list[tuple[StoredSource, np.ndarray]], pixels: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, list[str]]]:
    for source, numbers in lines:
        height = source.config.image.height_px
        for places in exact_batches(source.widths[numbers].tolist(), height, pixels, 256):
            # A label too long for its columns stretches its line: group again by the widths that came out.
            samples = [source.sample(int(numbers[place])) for place in places]
            for group in exact_batches([sample.width_px for sample in samples], height, pixels, 256):
                batch = collate([samples[place] for place in group], bucket_px=1)
                yield batch.images, batch.columns, batch.targets, batch.lengths, batch.texts
