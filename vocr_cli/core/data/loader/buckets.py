"""Rendered lines, gathered into batches of like width as they come."""

from __future__ import annotations

from dataclasses import replace

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch, collate
from vocr_cli.core.data.loader.batching import lines_that_fit, padded_width
from vocr_cli.core.data.loader.dataset import padding_px
from vocr_cli.core.data.loader.order import Request, SourcePosition
from vocr_cli.core.data.loader.sample import Sample


class Buckets:
    """Rendered lines by padded width, until the next one of a width would be too many for a batch.

    The batches depend on the order of the lines alone. A position holds the numbers of the lines that wait:
    rendered again, they wait as before.
    """

    def __init__(self, config: Config) -> None:
        self._height_px, self._limits, self._bucket_px = (
            config.image.height_px,
            config.batch,
            padding_px(config),
        )
        self._waiting: dict[int, list[tuple[int, Sample]]] = {}

    def add(self, request: Request, samples: list[Sample]) -> list[Batch]:
        """Adds the lines of a request; returns the batches that they made full, in order."""
        batches = []
        for done, numbered in enumerate(zip(request.numbers.tolist(), samples, strict=True)):
            width = padded_width(numbered[1].width_px, self._bucket_px)
            if not self._fits(width, [sample for _, sample in (*self._waiting.get(width, ()), numbered)]):
                batch = collate([sample for _, sample in self._waiting.pop(width)], self._bucket_px)
                waiting = tuple(number for bucket in self._waiting.values() for number, _ in bucket)
                lines_done = request.position.batch + (0 if request.again else done)
                position = SourcePosition(0, request.position.epoch, lines_done, waiting)
                batches.append(replace(batch, position=position))
            self._waiting.setdefault(width, []).append(numbered)
        return batches

    def _fits(self, width_px: int, samples: list[Sample]) -> bool:
        if len(samples) > lines_that_fit(width_px, self._height_px, self._limits):
            return False
        longest = max(len(sample.classes) + 1 for sample in samples)
        return len(samples) == 1 or not self._limits.tokens or len(samples) * longest <= self._limits.tokens
