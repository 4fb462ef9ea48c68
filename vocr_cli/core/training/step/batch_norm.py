"""BatchNorm's running statistics, which a forward pass changes whatever becomes of the step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BatchNormSnapshot:
    """A copy of a module's BatchNorm statistics, to which they can go back."""

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

    def running_statistics(self) -> list[Tensor]:
        """Returns the means and variances that training changes; those of frozen layers do not change."""
        trained = [layer for layer in self._layers if layer.training]
        return [
            value for layer in trained for value in layer.buffers(recurse=False) if value.is_floating_point()
        ]
