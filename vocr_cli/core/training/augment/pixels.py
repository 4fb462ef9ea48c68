"""What augmentation does to ink, light and file; nothing moves. n lines, C channels, H and W px.

Each takes lines (n, C, H, W) float in 0..1, their widths (n,) in px before padding, the strength 0..1, and
amounts (n, 1, 1, 1) drawn within the limits of `CHANGES`; the result, of the same shape, may leave 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vocr_cli.core.training.augment.geometry import ground_of

# Luminance quantisation, ITU-T T.81 (1992), table K.1.
_QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def _thickness(x: Tensor, sizes: Tensor, strength: float, amount: Tensor) -> Tensor:
    """Grey dilation (of dark ink) or erosion by 3 × 3, laid over in part: strokes are about 3 px wide."""
    amount = amount * strength
    sign = torch.where(amount < 0, -1.0, 1.0)
    return x + amount.abs() * (sign * _greatest_of_three(_greatest_of_three(sign * x, 3), 2) - x)


def _greatest_of_three(x: Tensor, axis: int) -> Tensor:
    """The greatest of each value and its two neighbours; torch's pooling takes ten times as long on a CPU."""
    count = x.shape[axis] - 1
    if not count:
        return x
    pairs = torch.maximum(x.narrow(axis, 0, count), x.narrow(axis, 1, count))
    inner = torch.maximum(pairs.narrow(axis, 0, count - 1), pairs.narrow(axis, 1, count - 1))
    return torch.cat((pairs.narrow(axis, 0, 1), inner, pairs.narrow(axis, count - 1, 1)), axis)


def _cutout(
    x: Tensor,
    sizes: Tensor,
    strength: float,
    stripe_at: Tensor,
    stripe_size: Tensor,
    patch_size: Tensor,
    patch_at: Tensor,
    patch_row: Tensor,
    amount: Tensor,
) -> Tensor:
    """An upright stripe and a small patch fade, narrower than a letter; neither hides a mark wholly.

    After Cutout (DeVries and Taylor, 2017).
    """
    height, width = x.shape[2:]
    across = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    down = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    line, reach, amount = sizes.view(-1, 1, 1, 1), patch_size * height / 2, amount * strength
    stripe = (across - stripe_at * line).abs() < 0.5 + (0.04 * height - 0.5) * stripe_size
    patch = ((across - patch_at * line).abs() < reach) * amount  # (n, 1, 1, W)
    patch = patch * ((down - patch_row * height).abs() < reach)  # (n, 1, H, W)
    return torch.lerp(x, ground_of(x, sizes), torch.maximum(patch, stripe * amount))


def _blur(x: Tensor, sizes: Tensor, strength: float, along: Tensor, across: Tensor) -> Tensor:
    """Gaussian, of one width along the line and another across it; up to a fortieth of the height."""
    height = x.shape[2]
    reach = max(1, round(2.5 * strength * height / 40))
    taps = torch.arange(reach + 1, device=x.device).view(-1, 1, 1, 1)
    for axis, width in ((3, along), (2, across)):
        sigma = (0.2 + width[:, None] * strength) * height / 40
        weights = torch.exp(-0.5 * (taps / sigma) ** 2)  # (n, reach + 1, 1, 1, 1), from the middle out
        x = _smoothed(x, weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1]), axis)
    return x


def _smoothed(x: Tensor, weights: Tensor, axis: int) -> Tensor:
    """`x` (n, C, H, W) under each line's own symmetric kernel (n, reach + 1, 1, 1, 1), the rim continued.

    Sums of shifted copies: a convolution with a group for each line takes three times as long on a CPU.
    """
    reach, size = weights.shape[1] - 1, x.shape[axis]
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
    padded = torch.cat((*[first] * reach, x, *[last] * reach), axis)
    middle, *outer = weights.unbind(1)
    result = x * middle
    for offset, weight in enumerate(outer, 1):
        pair = padded.narrow(axis, reach - offset, size) + padded.narrow(axis, reach + offset, size)
        result.addcmul_(pair, weight)
    return result


def _light(
    x: Tensor,
    sizes: Tensor,
    strength: float,
    contrast: Tensor,
    gamma: Tensor,
    fall_along: Tensor,
    fall_down: Tensor,
    brightness: Tensor,
) -> Tensor:
    """Gamma, contrast, brightness, and light that falls off across the line and down it."""
    height, width = x.shape[2:]
    along = torch.arange(width, device=x.device) / sizes.view(-1, 1, 1, 1) - 0.5  # (n, 1, 1, W)
    down = (torch.arange(height, device=x.device) / height - 0.5).view(1, 1, -1, 1)
    fall = (1 + fall_along * strength * along) + fall_down * strength * down  # (n, 1, H, W)
    x = torch.lerp(ground_of(x, sizes), x, torch.exp(contrast * strength)).clamp_(0, 1)
    x = x.log_().mul_(torch.exp(gamma * strength)).exp_()  # sooner than a power
    return torch.addcmul(brightness * strength, x, fall)


def _invert(x: Tensor, sizes: Tensor, strength: float) -> Tensor:
    return 1 - x


def _jpeg(x: Tensor, sizes: Tensor, strength: float, coarseness: Tensor) -> Tensor:
    """Rounds the cosine transform of 8 × 8 blocks, as JPEG of quality 90 to 25 does; channels apart."""
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % 16, 0, -height % 8), "replicate") - 0.5
    tall, wide = x.shape[2:]
    # Two blocks along a line, and all down it, in each product: 8 × 8 products alone are slow.
    down, along, quanta = _cosines(tall, x.device), _cosines(16, x.device), _quanta(x.device)
    blocks = ((down @ x).view(-1, 16) @ along.T).view(x.shape)
    quality = 90 - 65 * coarseness * strength
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    quanta = ((quanta * scale).clamp(min=1) / 255).repeat(1, 1, tall // 8, wide // 8)  # (n, 1, tall, wide)
    blocks = blocks.div_(quanta).round_().mul_(quanta).view(-1, 16) @ along
    return (down.T @ blocks.view(x.shape) + 0.5)[:, :, :height, :width]


@lru_cache(maxsize=32)
def _cosines(size: int, device: torch.device) -> Tensor:
    """(size, size), blocks of the cosine transform of 8 values, one below the other."""
    index = torch.arange(8.0, device=device)
    cosines = torch.cos((2 * index + 1) * index[:, None] * torch.pi / 16) / 2
    cosines[0] /= 2**0.5
    return torch.block_diag(*[cosines] * (size // 8))


@lru_cache(maxsize=8)
def _quanta(device: torch.device) -> Tensor:
    return torch.tensor(_QUANTA, device=device)


Change = Callable[..., Tensor]
"""Lines (n, C, H, W), widths in px (n,), the strength, and (n, 1, 1, 1) for each limits, to the lines."""

CHANGES: dict[str, tuple[Change, tuple[tuple[float, float], ...]]] = {
    "thickness": (_thickness, ((-0.6, 0.4),)),
    "cutout": (_cutout, ((0, 1), (0, 1), (0.03, 0.1), (0, 1), (0.1, 0.9), (0.4, 0.85))),
    "blur": (_blur, ((0, 0.9), (0, 0.9))),
    "light": (_light, ((-0.5, 0.3), (-0.4, 0.5), (-0.3, 0.3), (-0.2, 0.2), (-0.12, 0.12))),
    "invert": (_invert, ()),
    "jpeg": (_jpeg, ((0, 1),)),
}
"""In the order in which ink, camera and file would do them; limits of the amounts that are drawn for each."""
