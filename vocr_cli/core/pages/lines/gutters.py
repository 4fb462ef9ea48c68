"""Gaps between columns, told from gaps between words: lines above and below have theirs at the same place.

Legend: h, the height of a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vocr_cli.core.pages.detectors.detector import TextBox
from vocr_cli.core.pages.lines.ink import InkMap

_LINES = 5.0  # h, up and down: so far lines are looked at
_INTO = 0.3  # h: a line that reaches so far over the gap on both sides covers it
_FEW, _MANY = 2, 4  # lines that have the gap: not to join boxes, to part one
_LONG = 6.0  # h: shorter boxes are not parted
_END = 0.6  # h: so much is left on each side
_WIDEST = 2.5  # h: of a gap between columns that one box may have bridged
_GRAIN = 16
_FREE = 0.15  # h: of a gap in the ink


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
        """Whether two boxes side by side are of two columns: more lines leave their gap free than not."""
        height = float(min(self._heights[left], self._heights[right]))
        x = float(self._flat[left, 2] + self._flat[right, 0]) / 2
        y = float(self._middles[left] + self._middles[right]) / 2
        free, covers = self._at(x, self._near(y, height), height)
        return free >= _FEW and free > covers

    def bridged(self, index: int) -> list[float]:
        """Where a box reaches over gaps between columns, from left to right; px."""
        left, _, right, _ = self._flat[index]
        height = float(self._heights[index])
        if right - left < _LONG * height:
            return []
        near = self._near(float(self._middles[index]), height)
        begins = self._flat[near, 0]
        found: list[tuple[int, float]] = []
        for end in self._flat[near, 2]:
            after = begins[(begins > end - _INTO * height) & (begins < end + _WIDEST * height)]
            if not len(after):
                continue
            x = float(end + after.min()) / 2
            free, covers = self._at(x, near, height)
            if left + _END * height < x < right - _END * height and free >= _MANY and free > 3 * covers:
                found.append((free, x))
        chosen: list[float] = []
        for _, x in sorted(found, reverse=True):
            if all(abs(x - other) > _LONG * height / 2 for other in chosen):
                chosen.append(x)
        return sorted(chosen)

    def _near(self, y: float, height: float) -> np.ndarray:
        """(N,) bool: lines above and below a height, itself left out."""
        away = np.abs(self._middles - y)
        near: np.ndarray = (away < _LINES * height) & (away > 0.5 * height)
        return near

    def _at(self, x: float, near: np.ndarray, height: float) -> tuple[int, int]:
        """How many lines on both sides end at a gap, and how many cover it."""
        flat, room = self._flat, _INTO * height
        covers = near & (flat[:, 0] < x - room) & (flat[:, 2] > x + room)
        before = near & (flat[:, 2] <= x + room) & (flat[:, 2] > x - 3 * height)
        after = near & (flat[:, 0] >= x - room) & (flat[:, 0] < x + 3 * height)
        return min(int(before.sum()), int(after.sum())), int(covers.sum())


def parted_boxes(ink: InkMap, boxes: Sequence[TextBox], flat: np.ndarray) -> list[TextBox]:
    """Parts boxes that reach over a gap between columns, where there is no ink in it."""
    gutters, parted = Gutters(flat), []
    for index, box in enumerate(boxes):
        left, _, right, _ = flat[index]
        height = float(flat[index, 3] - flat[index, 1])
        rest = box
        for x in gutters.bridged(index) if box.course is None else ():
            begin = (rest.quad[0] - box.quad[0]) @ (box.quad[1] - box.quad[0])
            begin /= max(1e-6, float(((box.quad[1] - box.quad[0]) ** 2).sum()))
            gap = _gap_near(ink, box, (x - left) / (right - left), height / (right - left))
            if gap is not None and gap > begin:
                parted.append(_part(box, float(begin), gap))
                rest = _part(box, gap, 1.0)
        parted.append(rest)
    return parted


def _gap_near(ink: InkMap, box: TextBox, share: float, height: float) -> float | None:
    """The middle of a gap in the ink of a box near to a share of its length; None: there is none."""
    columns = max(8, round(_GRAIN / height))
    inked = ink.sample(box.quad, _GRAIN, columns).any(axis=0)
    low, high = (int((share + side * 1.2 * height) * columns) for side in (-1, 1))
    free = np.asarray(~inked)[max(0, low) : high]
    best, run, at = 0, 0, None
    for offset, is_free in enumerate(free):
        run = run + 1 if is_free else 0
        if run > best:
            best, at = run, max(0, low) + offset + 1 - run / 2
    return None if at is None or best < _FREE * _GRAIN else at / columns


def _part(box: TextBox, begin: float, end: float) -> TextBox:
    """The part of a box between two shares of its length."""
    a, b, c, d = box.quad
    corners = [a + (b - a) * begin, a + (b - a) * end, d + (c - d) * end, d + (c - d) * begin]
    return replace(box, quad=np.array(corners))
