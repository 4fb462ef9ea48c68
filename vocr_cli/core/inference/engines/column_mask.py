"""Lines of several widths in one batch of a CTC model, each read as it is alone.

Legend: B lines, H and W px, T columns. GPUs need hundreds of lines at a time, and real folders hold few of
    each width. Padded to the widest, lines
would be read otherwise at their ends: alone, every convolution sees zeros beyond a line's end, in a batch it
would see what layers before it have made of the padding. So whatever goes into a convolution that looks
sideways is made zero behind the end of each line, and attention does not look there: but for rounding,
nothing tells a padded line from one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PADDED_MULTIPLE_PX = 32
"""Widths of batches are multiples of it, so that the kernels chosen for one are met again."""


class ColumnMask:
    """Zeroes what lies behind the end of each line, before every convolution of a module that looks sideways.

    Args:
        module: Gets hooks on its convolutions; they do nothing until `widths` are set.
    """

    WIDTH_MULTIPLE_PX = 8
    """Strides divide widths that are multiples of it."""

    def __init__(self, module: nn.Module) -> None:
        self._fractions: Tensor | None = None  # (B,) float: of the batch's width, how much each line has
        self._masks: dict[int, Tensor] = {}
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size[1] > 1:
                layer.register_forward_pre_hook(self._zero_padding)

    def set_widths(self, widths: Tensor | None, padded_px: int = 0) -> None:
        """Says how wide the lines of the next batch are.

        Args:
            widths: (B,) int64 px, multiples of `WIDTH_MULTIPLE_PX`; None: nothing is padded.
            padded_px: W of the batch.
        """
        self._masks.clear()
        self._fractions = None if widths is None else widths.float() / padded_px

    def _zero_padding(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
        if self._fractions is None:
            return None
        features: Tensor = inputs[0]  # (B, channels, h, w)
        columns = features.shape[-1]
        if columns not in self._masks:
            ends = (self._fractions * columns).round()  # whole but for rounding
            mask = torch.arange(columns, device=features.device) < ends[:, None]
            self._masks[columns] = mask.to(features.dtype)[:, None, None, :]  # (B, 1, 1, w)
        return (features * self._masks[columns],)


def pad_together(groups: Sequence[np.ndarray], multiple_px: int = PADDED_MULTIPLE_PX) -> np.ndarray:
    """Puts groups of lines, each (B, H, W, channels) uint8 of a width of its own, into one batch.

    Returns:
        (all lines, H, the greatest width rounded up, channels) uint8, zeros behind the end of each line.
    """
    lines = sum(len(group) for group in groups)
    width = max(group.shape[2] for group in groups)
    _, height, _, channels = groups[0].shape
    padded = np.zeros((lines, height, -(-width // multiple_px) * multiple_px, channels), np.uint8)
    begin = 0
    for group in groups:
        padded[begin : begin + len(group), :, : group.shape[2]] = group
        begin += len(group)
    return padded
