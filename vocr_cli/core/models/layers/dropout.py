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

    def relu(self, x: Tensor) -> Tensor:
        """Keeps what is above 0 in x, and drops some of that, as the call does behind a ReLU.

        On CPUs the backward pass needs the result alone: what is 0 in it was either dropped or not above 0.
        Two layers, one behind the other, keep relu(x) and the mask as well.
        """
        if not self.training or not self.p or self.p >= 1 or x.device.type != "cpu":
            return self(F.relu(x))
        out: Tensor = _CpuReluDropout.apply(x, self.p)
        return out


class DropoutMasks:
    """Masks for one tensor after another, of a seed that torch's generator gives.

    Args:
        p: The probability that a number is dropped, below 1; it is rounded to 1/65,536.

    Attributes:
        scale: What the numbers that stay are to be multiplied by.
    """

    def __init__(self, p: float) -> None:
        self._level = round(p * _LEVELS)
        self.scale = _LEVELS / (_LEVELS - self._level)
        self._bits = np.random.SFC64(int(torch.randint(2**62, ())))

    def draw(self, shape: torch.Size) -> Tensor:
        """Returns uint8 of that shape, 1 for what stays."""
        count = shape.numel()
        random = self._bits.random_raw(-(-count // 4)).view(np.uint16)[:count]
        # As bytes: torch multiplies by bool slowly.
        return torch.from_numpy((random >= self._level).view(np.uint8)).view(shape)


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
        masks = DropoutMasks(p)
        ctx.scale, mask = masks.scale, masks.draw(x.shape)
        ctx.save_for_backward(mask)
        return (x * mask.to(x.dtype)).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return (grads[0] * mask.to(grads[0].dtype)).mul_(ctx.scale), None


class _CpuReluDropout(torch.autograd.Function):
    """Keeps its result for the backward pass, which the product behind it keeps anyway."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        masks = DropoutMasks(p)
        ctx.scale = masks.scale
        # Not in place: x is a view of what a product returned, and autograd copies gradients of such a one.
        out = x.clamp_min(0).mul_(masks.draw(x.shape).to(x.dtype)).mul_(masks.scale)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(grads[0], out, 0)
        return above.mul_(ctx.scale), None
