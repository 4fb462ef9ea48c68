"""Lines padded to one width, which a step takes. B lines, H and W px, T columns, C channels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from vocr_cli.core.config.tree import COLUMN_PX
from vocr_cli.core.data.loader.batching import padded_width
from vocr_cli.core.data.loader.order import START_POSITION, SourcePosition
from vocr_cli.core.data.loader.sample import Sample
from vocr_cli.core.data.readers.labelled import BadLine


@dataclass
class Batch:
    """Padded lines of one source.

    Attributes:
        images: (B, H, W, C) uint8, each line padded with its own last column of pixels.
        widths: (B,) int64, px of each line before padding.
        targets: (sum of lengths,) int64, the classes of all lines one after another.
        lengths: (B,) int64, how many classes each line has.
        texts: The labels.
        names: Where each line came from.
        source: The index of its source.
        position: The source's position after this batch.
        left_out: Lines that should have been in it, and could not be read.
    """

    images: Tensor
    widths: Tensor
    targets: Tensor
    lengths: Tensor
    texts: list[str]
    names: list[str]
    source: int = 0
    position: SourcePosition = START_POSITION
    left_out: tuple[BadLine, ...] = ()

    @property
    def columns(self) -> Tensor:
        """(B,) int64, T of each line before padding."""
        return self.widths // COLUMN_PX

    def __getstate__(self) -> dict[str, Any]:
        """Plain arrays: tensors would need shared memory and a file handle each on their way from workers."""
        state = vars(self).items()
        return {name: value.numpy() if isinstance(value, Tensor) else value for name, value in state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, torch.from_numpy(value) if isinstance(value, np.ndarray) else value)

    def pin_memory(self) -> Self:
        """The batch in page-locked memory, from which copies to a GPU do not wait."""
        return replace(
            self,
            images=self.images.pin_memory(),
            widths=self.widths.pin_memory(),
            targets=self.targets.pin_memory(),
            lengths=self.lengths.pin_memory(),
        )

    def split(self, parts: int) -> list[Self]:
        """Splits the lines, in order, into so many batches of like size, or one a line where there are fewer.

        Every piece keeps the padding of the whole, so that its lines are seen as they were.
        """
        if parts == 1:
            return [self]
        count = len(self.texts)
        bounds = [count * part // parts for part in range(parts + 1)]
        pieces = [torch.arange(start, end) for start, end in itertools.pairwise(bounds) if start < end]
        return [self._lines(rows) for rows in pieces]

    def of_one_width(self) -> list[Self]:
        """Takes the lines apart into batches of one width each, narrow ones first, without padding."""
        widths = self.widths.unique().tolist()
        if widths == [self.images.shape[2]]:
            return [self]
        return [
            replace(self, images=self.images[:, :, :width])._lines((self.widths == width).nonzero().flatten())
            for width in widths
        ]

    def _lines(self, rows: Tensor) -> Self:
        """The lines of these numbers, (n,) int64."""
        numbers = rows.tolist()
        targets = self.targets.split(self.lengths.tolist())
        return replace(
            self,
            images=self.images[rows],
            widths=self.widths[rows],
            targets=torch.cat([targets[number] for number in numbers]),
            lengths=self.lengths[rows],
            texts=[self.texts[number] for number in numbers],
            names=[self.names[number] for number in numbers],
        )


def collate(samples: list[Sample], bucket_px: int) -> Batch:
    """Pads lines to one width, a multiple of the bucket."""
    width = padded_width(max(sample.width_px for sample in samples), bucket_px)
    height, _, channels = samples[0].pixels.shape
    images = np.empty((len(samples), height, width, channels), np.uint8)
    for image, sample in zip(images, samples, strict=True):
        image[:, : sample.width_px] = sample.pixels
        image[:, sample.width_px :] = sample.pixels[:, -1:]
    return Batch(
        torch.from_numpy(images),
        torch.tensor([sample.width_px for sample in samples]),
        torch.tensor([index for sample in samples for index in sample.classes], dtype=torch.int64),
        torch.tensor([len(sample.classes) for sample in samples]),
        [sample.text for sample in samples],
        [sample.name for sample in samples],
    )
