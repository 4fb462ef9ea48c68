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
        """X of any shape; in training a share `p` of it is 0 and the rest scaled by 1 / (1 - p)."""
        return dropped(x, self.p) if self.training else x


def dropped(x: Tensor, share: float) -> Tensor:
    """`x`, a share of it set to 0 and the rest scaled by 1 / (1 - share), the share to 1/65,536."""
    if not share:
        return x
    if x.device.type != "cpu" or share >= 1:
        return F.dropout(x, share)
    out: Tensor = _Dropped.apply(x, share)
    return out


class _Dropped(torch.autograd.Function):
    """Keeps a byte a number for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        level = round(share * _LEVELS)
        ctx.scale = _LEVELS / (_LEVELS - level)
        bits = np.random.SFC64(int(torch.randint(2**62, ())))
        drawn = bits.random_raw(-(-x.numel() // 4)).view(np.uint16)[: x.numel()]
        # As bytes: torch multiplies by bool slowly.
        kept = torch.from_numpy((drawn >= level).view(np.uint8)).view(x.shape)
        ctx.save_for_backward(kept)
        return (x * kept.to(x.dtype)).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (grads[0] * kept.to(grads[0].dtype)).mul_(ctx.scale), None
