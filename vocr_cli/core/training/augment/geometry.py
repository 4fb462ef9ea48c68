"""Geometric augmentation: one resampling for a homography and a smooth displacement. n lines, H and W px."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

WAVE_ROWS = 5
"""Rows of control points of the displacement."""

_MOST_POINTS = 256
_GROUND_COLUMNS = 64


def wave_points(height: int, width: int) -> int:
    """Control points along lines of that size that can be reached; the longest lines repeat theirs."""
    return min(_MOST_POINTS, int(width * WAVE_ROWS / height) + 4)


def ground_of(x: Tensor, sizes: Tensor) -> Tensor:
    """(n, C, 1, 1) colour of each line's ground: the median of some pixels of its upper and lower edge.

    Args:
        x: (n, C, H, W).
        sizes: (n,) px of each line before padding.
    """
    width = x.shape[-1]
    # So many columns of each line, evenly spread: medians of all would take a tenth of the augmentation.
    share = (torch.arange(_GROUND_COLUMNS, device=x.device) + 0.5) / _GROUND_COLUMNS
    columns = (share * sizes[:, None]).long().clamp(max=width - 1)  # (n, columns)
    edges = x[:, :, :: max(1, x.shape[2] - 1)][:, :, :2]  # (n, C, 2, W)
    at = columns[:, None, None].expand(-1, *edges.shape[1:3], -1)
    return _lower_median(edges.gather(3, at).flatten(2))[:, :, None, None]


def _lower_median(x: Tensor) -> Tensor:
    """(..., K) to (...): the lower median; on a GPU torch's own is none of its deterministic algorithms."""
    if x.device.type == "cpu":
        return x.median(dim=-1).values
    return x.sort(dim=-1).values[..., (x.shape[-1] - 1) // 2]


def warped(
    x: Tensor, sizes: Tensor, plane: Tensor, waves: Tensor, plane_scale: Tensor, wave_scale: Tensor
) -> Tensor:
    """Lines slanted, turned, scaled, moved, tilted in perspective, and bent.

    The homography makes room for itself by shrinking: apart from 3 % of the height, nothing of a line leaves
    its canvas, and its ends stay where they belong along the columns. Room that opens takes the ground's
    colour.

    Args:
        x: (n, C, H, W) float in 0..1.
        sizes: (n,) px of each line before padding.
        plane: (n, at least 7) in -1..1, what the homography is made from.
        waves: (n, 2, R, P) in -1..1, control points of the displacement across and down: R `WAVE_ROWS`, P
            `wave_points`, H / R apart.
        plane_scale: (n,) 0..1 strength of the homography.
        wave_scale: (n,) 0..1 strength of the displacement.
    """
    height, width = x.shape[2:]
    half = sizes.view(-1, 1, 1) / 2  # (n, 1, 1)
    across = torch.arange(width, device=x.device) + 0.5 - half  # (n, 1, W), from the line's middle
    down = (torch.arange(height, device=x.device) + 0.5 - height / 2).view(1, -1, 1)
    source_x, source_y = _homography(across, down, half, height, plane, plane_scale)
    hats, bends = _displacement(waves * (wave_scale * height).view(-1, 1, 1, 1), height, width)
    # Ends of lines stay in place, and so do upper and lower edges, where marks of tight crops are.
    still_x = ((half - across.abs()) / height).clamp(0, 1)  # (n, 1, W)
    still_y = ((height / 2 - down.abs()) / height * 4).clamp(0, 1)  # (1, H, 1)
    source_x.baddbmm_(hats.expand(len(x), -1, -1), bends[:, 0] * still_x)
    source_y.baddbmm_((hats * still_y).expand(len(x), -1, -1), bends[:, 1])
    grid = torch.empty((2, *source_x.shape), device=x.device).permute(1, 2, 3, 0)  # sampled soonest so
    # What lies behind the line is padding, not paper: it is sent outside of the canvas.
    before_end = torch.sub(half, source_x, out=source_x)
    before_end = F.threshold(before_end, 0.0, -3.0 * width, inplace=True)
    torch.add(half * (4 / width) - 1, before_end, alpha=-2 / width, out=grid[..., 0])
    torch.mul(source_y, 2 / height, out=grid[..., 1])
    ground = ground_of(x, sizes)
    return F.grid_sample(x - ground, grid, "bilinear", "zeros", align_corners=False).add_(ground).clamp_(0, 1)


def _homography(
    across: Tensor, down: Tensor, half: Tensor, height: int, plane: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from, (n, H, W) px across and down from the line's middle."""
    draw = (plane[:, :7] * scale[:, None])[..., None, None].unbind(1)  # seven of (n, 1, 1), strength inside
    slant, turn = 0.3 * draw[0], 0.06 * draw[1]
    taper, tilt = 0.08 * draw[2], 0.04 * draw[3]
    most = 1 + taper.abs() + tilt.abs()
    shrink_x = 0.08 * draw[4].abs()
    shrink_y = 0.08 * draw[5] + 0.05 * draw[5].abs()  # 3 % less to 13 % more
    room_x = 1 + shrink_x + slant.abs() * height / 2 / half
    room_y = 1 + shrink_y + 2 * turn.abs()
    move_x = shrink_x * half * draw[6]
    move_y = shrink_y.clamp(min=0) * height / 2 * draw[6]
    nearer = most / (1 + taper * across / half + tilt * down * (2 / height))  # (n, H, W), as what follows
    source_x = (across * room_x + move_x + slant * down).mul_(nearer)
    source_y = (down * room_y + move_y + turn * height * across / half).mul_(nearer)
    return source_x, source_y


def _displacement(waves: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A slow wave of the line, and a fine tremor of the strokes, as large as the waves.

    Both are cubic B-splines along the line. After the elastic distortions of Simard, Steinkraus and Platt
    (2003), at low resolution.

    Returns:
        (1, H, R + 1) and (n, 2, R + 1, W), whose product is the displacement in px.
    """
    rows, points = waves.shape[2:]
    fine = _splines(points, width, height / rows, waves.device)  # (P, W)
    slow = _splines(points, width, height * 0.75, waves.device)
    row = torch.arange(height, device=waves.device) / max(height - 1, 1) * (rows - 1)
    hats = (1 - (row[:, None] - torch.arange(rows, device=waves.device)).abs()).clamp(min=0)  # (H, R)
    bends = torch.cat((waves * 0.03 @ fine, waves[:, :, :1] * 0.09 @ slow), 2)
    return F.pad(hats, (0, 1), value=1.0)[None], bends


@lru_cache(maxsize=128)
def _splines(points: int, width: int, spacing: float, device: torch.device) -> Tensor:
    """(points, width) weights of uniform cubic B-splines `spacing` px apart, the points used in a circle.

    Kept, for it takes as long as bending a line; a hundred are some MB.
    """
    position = torch.arange(width, device=device) / spacing
    start, fraction = position.long(), position - position.floor()
    weights = (
        (1 - fraction) ** 3,
        3 * fraction**3 - 6 * fraction**2 + 4,
        1 + 3 * fraction + 3 * fraction**2 - 3 * fraction**3,
        fraction**3,
    )
    table = torch.zeros((width, points), device=device)
    for number, weight in enumerate(weights):
        table.scatter_add_(1, ((start + number) % points)[:, None], weight[:, None] / 6)
    return table.T
