"""Engines, which read batches. B lines, H and W px, T columns, C classes. Loads no torch.

An engine is a model and the post-processing of what it computes; pre-processing is done before. Every engine
takes arrays of lines of one exact width, so no image is padded and a batch reads as its lines do
singly. Some read several such arrays together, as far as that comes to the same (see `column_mask`).
Engines are called from several threads at once, each computing on one processor: small models gain more by
that than by sharing the work within each layer, and no thread ever waits for another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.post_processing import LineHypothesis, ctc_hypotheses
from vocr_cli.core.machine.gpus import free_bytes_in_use
from vocr_cli.core.machine.precision import DeviceName, PrecisionName

CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 6_000_000
_LEAST_GPU_PIXELS = 50_000
_GPU_SHARE = 0.5  # of its free memory: the rest is for what decoding keeps, and for other programs


def gpu_batch_pixels(most: int, pixel_bytes: float) -> int:
    """Chooses the pixels of a full batch by the free memory of the GPU in use.

    Args:
        most: Where memory suffices; each smaller budget is half of the one before, so that the same card
            reads in the same batches though a little more or less of it is free.
        pixel_bytes: Memory that a pixel takes at the peak of a forward pass.
    """
    free, pixels = free_bytes_in_use(), most
    while free is not None and pixels * pixel_bytes > _GPU_SHARE * free and pixels > _LEAST_GPU_PIXELS:
        pixels //= 2
    return pixels


class Engine(Protocol):
    """Reads batches of lines of one width."""

    device: DeviceName
    precision: PrecisionName
    runtime: str

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        ...

    @property
    def threads_per_batch(self) -> int:
        """Processors that share one batch while others are read beside it."""
        ...

    @property
    def merges_widths(self) -> bool:
        """Whether lines of several widths are read sooner together than apart."""
        ...

    @property
    def reads_singly(self) -> bool:
        """Whether lines gain nothing by being read together: they may come in any order, one by one."""
        ...

    def enter_thread(self) -> None:
        """Prepares the calling thread, which is going to read batches beside others."""
        ...

    def read(self, lines: np.ndarray, decoding: Decoding) -> list[LineHypothesis]:
        """Reads a batch.

        Args:
            lines: (B, H, W, channels) uint8.
            decoding: What may be read, and how it is searched for.
        """
        ...

    def read_groups(self, groups: Sequence[np.ndarray], decoding: Decoding) -> list[list[LineHypothesis]]:
        """Reads one batch of lines of several widths, each group as `read` would, but for rounding.

        Args:
            groups: Of a width of its own each, (B, H, W, channels) uint8.
            decoding: As for `read`.
        """
        ...


class CtcEngine(ABC):
    """An engine whose model computes logits, one distribution a column, for CTC's post-processing."""

    device: DeviceName
    precision: PrecisionName
    runtime: str
    threads_per_batch = 1
    merges_widths = False
    reads_singly = False

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        return CPU_BATCH_PIXELS

    def enter_thread(self) -> None:  # noqa: B027 - most engines have nothing to prepare
        """Prepares the calling thread. See `Engine.enter_thread`."""

    @abstractmethod
    def logits(self, lines: np.ndarray) -> np.ndarray:
        """Computes logits, (B, T, C) float32, of lines, (B, H, W, channels) uint8."""

    def read(self, lines: np.ndarray, decoding: Decoding) -> list[LineHypothesis]:
        """Reads a batch: best class per column, or with a beam the likeliest text. See `Engine.read`."""
        return ctc_hypotheses(list(self.logits(lines)), decoding)

    def read_groups(self, groups: Sequence[np.ndarray], decoding: Decoding) -> list[list[LineHypothesis]]:
        """Reads one group after the other. See `Engine.read_groups`."""
        return [self.read(lines, decoding) for lines in groups]
