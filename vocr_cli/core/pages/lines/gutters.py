"""Gaps between columns, told from gaps between words: the lines above and below have theirs at the same place."""

from __future__ import annotations

import numpy as np

_LINES = 5.0  # of a line's height, up and down: so far lines are looked at
_INTO = 0.3  # of a line's height: a line that reaches so far over the gap on both sides covers it
_FEW = 2


class Gutters:
    """The gaps of a page.

    Args:
        flat: (N, 4) float64, boxes of lines that run level: left, top, right, bottom.
    """

    def __init__(self, flat: np.ndarray) -> None:
        self._flat = flat
        self._middles = (flat[:, 1] + flat[:, 3]) / 2
        self._heights = flat[:, 3] - flat[:, 1]

    def part(self, left: int, right: int) -> bool:
        """Whether two boxes side by side are of different columns: more lines leave their gap free than not."""
        flat, height = self._flat, float(min(self._heights[left], self._heights[right]))
        x = float(flat[left, 2] + flat[right, 0]) / 2
        y = float(self._middles[left] + self._middles[right]) / 2
        near = np.abs(self._middles - y) < _LINES * height
        near &= np.abs(self._middles - y) > 0.5 * height
        room = _INTO * height
        covers = near & (flat[:, 0] < x - room) & (flat[:, 2] > x + room)
        before = near & (flat[:, 2] <= x + room) & (flat[:, 2] > x - 3 * height)
        after = near & (flat[:, 0] >= x - room) & (flat[:, 0] < x + 3 * height)
        free = min(int(before.sum()), int(after.sum()))
        return free >= _FEW and free > int(covers.sum())
