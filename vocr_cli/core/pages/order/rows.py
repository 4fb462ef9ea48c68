"""Lines that stand side by side, and the gaps between columns. Boxes are flat: lines run level.

A box is (left, top, right, bottom), px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Span = tuple[float, float]
"""Where something begins and ends, left to right."""

_SAME_ROW = 0.5  # of the lower box's height: boxes whose middles are nearer to each other are of one row


_OVERLAP = 0.4  # of the narrower box


@dataclass(frozen=True)
class Row:
    """Boxes side by side, from left to right.

    Attributes:
        indices: Of the boxes; those of one cell follow each other.
        top: The upper edge of the highest.
        bottom: The lower edge of the lowest.
        cells: Of each box the number of its cell; empty: each is one of its own.
    """

    indices: tuple[int, ...]
    top: float
    bottom: float
    cells: tuple[int, ...] = ()


def rows_of(boxes: np.ndarray, indices: Sequence[int]) -> list[Row]:
    """Groups boxes into rows, from top to bottom.

    Args:
        boxes: (N, 4) of the page.
        indices: Which of them.
    """
    rows: list[list[int]] = []
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    heights = boxes[:, 3] - boxes[:, 1]
    for index in sorted(indices, key=lambda each: middles[each]):
        row = next((row for row in reversed(rows[-3:]) if _fits(boxes, middles, heights, row, index)), None)
        if row is None:
            rows.append([index])
        else:
            row.append(index)
    rows.sort(key=lambda row: float(np.mean(middles[row])))
    return [_row(boxes, row) for row in rows]


def _fits(boxes: np.ndarray, middles: np.ndarray, heights: np.ndarray, row: list[int], index: int) -> bool:
    """Whether a box stands beside those of a row, and not above or below one of them."""
    for other in row:
        overlap = min(boxes[index, 2], boxes[other, 2]) - max(boxes[index, 0], boxes[other, 0])
        narrower = min(boxes[index, 2] - boxes[index, 0], boxes[other, 2] - boxes[other, 0])
        if overlap > _OVERLAP * narrower:
            return False
    nearest = min(row, key=lambda other: _gap(boxes, other, index))
    room = _SAME_ROW * min(heights[index], heights[nearest])
    return bool(abs(middles[index] - middles[nearest]) < room)


def _gap(boxes: np.ndarray, one: int, other: int) -> float:
    return float(max(boxes[one, 0], boxes[other, 0]) - min(boxes[one, 2], boxes[other, 2]))


def _row(boxes: np.ndarray, indices: list[int]) -> Row:
    ordered = tuple(sorted(indices, key=lambda index: boxes[index, 0]))
    return Row(ordered, float(boxes[indices, 1].min()), float(boxes[indices, 3].max()))


def free_spans(boxes: np.ndarray, row: Row, reach: Span) -> list[Span]:
    """Where a row leaves room, from one end of the region to the other."""
    spans, at = [], reach[0]
    for index in row.indices:
        if boxes[index, 0] > at:
            spans.append((at, float(boxes[index, 0])))
        at = max(at, float(boxes[index, 2]))
    if at < reach[1]:
        spans.append((at, reach[1]))
    return spans


def common(one: Sequence[Span], other: Sequence[Span], least: float) -> list[Span]:
    """What two lists of spans have in common, where it is at least so wide."""
    found = []
    for begin, end in one:
        for start, stop in other:
            left, right = max(begin, start), min(end, stop)
            if right - left >= least:
                found.append((left, right))
    return found
