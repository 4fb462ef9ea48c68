"""Where a page has ink, at a resolution at which a line is some 30 px high."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

_LINE_PX = 30
_BLOCK_PX = 32  # of the map: the ground is that of blocks of this size
_INK = 0.3  # of the contrast of the page: what differs so much from the ground around is ink
_LEAST_LEVELS = 18
_RULED = 0.92  # of the rows of a strip


class InkMap:
    """Ink of a page, told from the ground around it, whichever of both is darker.

    Args:
        grey: (H, W) uint8.
        line_px: About how high the lines are.
    """

    def __init__(self, grey: np.ndarray, line_px: float) -> None:
        self._by = max(1, int(line_px / _LINE_PX))
        self.step_px = float(self._by)
        """Px of the page for one of the map."""
        image = Image.fromarray(grey)
        small = image.reduce(self._by) if self._by > 1 else image
        off = np.asarray(ImageChops.difference(small, _ground(np.asarray(small))))
        contrast = float(np.percentile(off[::4, ::4], 99.5))
        self._ink = off > max(_LEAST_LEVELS, _INK * contrast)
        self._flat = self._ink.ravel()

    def sample(self, quad: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """Ink in a quad on an even grid; nothing beyond the page.

        Args:
            quad: (4, 2) float, px of the page, taken as a parallelogram by its first, second and last corner.
            rows: Of the grid.
            columns: Of the grid.

        Returns:
            (rows, columns) bool.
        """
        a, b, _, d = quad / self._by
        down = ((np.arange(rows) + 0.5) / rows)[:, None]
        along = ((np.arange(columns) + 0.5) / columns)[None, :]
        x = ((a[0] + (b[0] - a[0]) * along) + (d[0] - a[0]) * down).astype(np.int32)
        y = ((a[1] + (b[1] - a[1]) * along) + (d[1] - a[1]) * down).astype(np.int32)
        height, width = self._ink.shape
        if x.min() >= 0 and y.min() >= 0 and x.max() < width and y.max() < height:
            found: np.ndarray = self._flat[y * width + x]
            return found
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        found = self._flat[(y * width + x) * inside] & inside
        return found


def rule_columns(strip: np.ndarray, breadth: int) -> np.ndarray:
    """Which columns of a strip of ink hold an upright rule, which reaches from its first row to its last.

    Args:
        strip: (rows, n) bool.
        breadth: Columns that a thin or slightly tilted rule may wander over.

    Returns:
        (n,) bool.
    """
    wide = strip.copy()
    for shift in range(1, breadth + 1):
        wide[:, shift:] |= strip[:, :-shift]
        wide[:, :-shift] |= strip[:, shift:]
    ruled: np.ndarray = wide.mean(axis=0) > _RULED
    return ruled


def _ground(small: np.ndarray) -> Image.Image:
    """The level of the ground at each px, mode L: the median of blocks, smoothed."""
    height, width = small.shape
    rows, columns = -(-height // _BLOCK_PX), -(-width // _BLOCK_PX)
    padded = np.pad(small, ((0, rows * _BLOCK_PX - height), (0, columns * _BLOCK_PX - width)), mode="edge")
    blocks = padded.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)[:, ::2, :, ::2].transpose(0, 2, 1, 3)
    levels = np.median(blocks.reshape(rows, columns, -1), axis=2).astype(np.uint8)
    size = columns * _BLOCK_PX, rows * _BLOCK_PX
    smooth = Image.fromarray(levels).resize(size, Image.Resampling.BILINEAR)
    return smooth.crop((0, 0, width, height))
