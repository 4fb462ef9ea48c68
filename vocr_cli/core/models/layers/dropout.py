"""Dropout (Srivastava et al., 2014) that costs little on a CPU.

Torch draws its masks there one number after another on one thread: a quarter of a training step of VietOCR's
transformer. Here 16 bits a number come from numpy's SFC64, seeded by torch's generator, so that runs repeat
and recomputed stages draw the same masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """As torch's, with masks of its own on CPUs; it has no weights either."""

    def forward(self, x: Tensor) -> Tensor:
        """X of any shape; in training a fraction `p` of it is 0, the rest is scaled by 1 / (1 - p)."""
        return apply_dropout(x, self.p) if self.training else x


def apply_dropout(x: Tensor, p: float) -> Tensor:
    """`x`, a fraction of it set to 0, the rest scaled by 1 / (1 - p); on CPUs p is rounded to 1/65,536."""
    if not p:
        return x
    if x.device.type != "cpu" or p >= 1:
        return F.dropout(x, p)
    out: Tensor = _CpuDropout.apply(x, p)
    return out


class _CpuDropout(torch.autograd.Function):
    """Keeps a byte a number for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        level = round(p * _LEVELS)
        ctx.scale = _LEVELS / (_LEVELS - level)
        bits = np.random.SFC64(int(torch.randint(2**62, ())))
        random = bits.random_raw(-(-x.numel() // 4)).view(np.uint16)[: x.numel()]
        # As bytes: torch multiplies by bool slowly.
        mask = torch.from_numpy((random >= level).view(np.uint8)).view(x.shape)
        ctx.save_for_backward(mask)
        return (x * mask.to(x.dtype)).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return (grads[0] * mask.to(grads[0].dtype)).mul_(ctx.scale), None
