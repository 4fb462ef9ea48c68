"""BatchNorm's running statistics, which a forward pass changes whatever becomes of the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class BatchNormStatistics:
    """A module's BatchNorm statistics: a copy to which they can go back, and how far a pass moves them."""

    def __init__(self, module: nn.Module) -> None:
        self._layers = [
            layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        ]
        self._buffers = [buffer for layer in self._layers for buffer in layer.buffers(recurse=False)]
        self._copies = [buffer.clone() for buffer in self._buffers]

    def take(self) -> None:
        """Copies the statistics as they are now."""
        if self._buffers:
            torch._foreach_copy_(self._copies, self._buffers)

    def restore(self) -> None:
        """Makes the statistics what they were when they were last copied."""
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._copies)

    @contextmanager
    def moved_by(self, fraction: float) -> Iterator[None]:
        """Forward passes inside move the statistics by this fraction of what a whole step moves them.

        Else a step of many pieces would leave little but the last ones' behind.
        """
        momenta = [layer.momentum for layer in self._layers]
        try:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum and momentum * fraction  # None: the mean of all passes
            yield
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum

    def running_statistics(self) -> list[Tensor]:
        """Returns the means and variances that training changes; those of frozen layers do not change."""
        trained = [layer for layer in self._layers if layer.training]
        return [
            value for layer in trained for value in layer.buffers(recurse=False) if value.is_floating_point()
        ]
