"""Ruled tables: rows of cells, each cell one or several lines. A box is (left, top, right, bottom), px."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from vocr_cli.core.pages.detectors.detector import Rules
from vocr_cli.core.pages.order.rows import Row

_CLOSE = 1.0  # of a line's height: lines nearer to each other, with no rule between, are of one cell
_BELOW = 0.3  # of the narrower line
_LEVEL_SHARE = 0.08  # level rules for each line: with fewer, upright rules part the columns of a newspaper
_FEW = 2


def ruled_tables(boxes: np.ndarray, rules: Rules) -> list[list[Row]]:
    """Finds the tables of a page.

    Lines side by side with an upright rule between are of one row. Lines close below each other without a
    level rule between are of one cell.

    Args:
        boxes: (N, 4) float64, of lines that run level.
        rules: What stands between them.

    Returns:
        Of each table its rows, from top to bottom.
    """
    if len(rules.level) < _FEW or len(rules.upright) < _FEW:
        return []
    cells = _Sets(len(boxes))
    for upper, lower in _close_pairs(boxes, rules):
        cells.join(upper, lower)
    rows = _Sets(len(boxes))
    for group in cells.groups():
        rows.join_all(group)
    for left, right in rules.upright:
        rows.join(left, right)
    tables = _Sets(len(boxes))
    for group in rows.groups():
        tables.join_all(group)
    ruled = {rows.of(index) for pair in rules.upright for index in pair}
    for upper, lower in rules.level:
        if rows.of(upper) in ruled and rows.of(lower) in ruled:
            tables.join(upper, lower)
    found = []
    for table in tables.groups():
        inside = set(table)
        level, upright = (
            sum(one in inside and other in inside for one, other in pairs)
            for pairs in (rules.level, rules.upright)
        )
        if upright >= _FEW and level >= max(1, _LEVEL_SHARE * len(table)):
            found.append(_rows(boxes, table, rows, cells))
    return [table for table in found if len(table) >= _FEW]


def _close_pairs(boxes: np.ndarray, rules: Rules) -> Iterable[tuple[int, int]]:
    """Lines close below each other without a rule between."""
    parted = set(rules.level)
    heights = boxes[:, 3] - boxes[:, 1]
    for upper in range(len(boxes)):
        overlap = np.minimum(boxes[:, 2], boxes[upper, 2]) - np.maximum(boxes[:, 0], boxes[upper, 0])
        narrower = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[upper, 2] - boxes[upper, 0])
        gap = boxes[:, 1] - boxes[upper, 3]
        near = (overlap > _BELOW * narrower) & (gap < _CLOSE * heights[upper])
        near &= boxes[:, 1] > boxes[upper, 1] + 0.5 * heights[upper]
        for lower in np.flatnonzero(near).tolist():
            if (upper, lower) not in parted:
                yield upper, lower


def _rows(boxes: np.ndarray, table: list[int], rows: _Sets, cells: _Sets) -> list[Row]:
    """The rows of a table; a cell that spans several is of the first of them."""
    found = []
    for band in _by(table, rows.of):
        found += _bands(boxes, [sorted(cell, key=lambda at: boxes[at, 1]) for cell in _by(band, cells.of)])
    return sorted(found, key=lambda row: row.top)


def _bands(boxes: np.ndarray, cells: list[list[int]]) -> list[Row]:
    """Parts cells that belong together by rows: several of one column stand beside a cell that spans them."""
    spans = [(float(boxes[cell, 1].min()), float(boxes[cell, 3].max())) for cell in cells]
    lefts = [float(boxes[cell, 0].min()) for cell in cells]
    rights = [float(boxes[cell, 2].max()) for cell in cells]
    column_of = _Sets(len(cells))
    for one in range(len(cells)):
        for other in range(one):
            if min(rights[one], rights[other]) - max(lefts[one], lefts[other]) > 0:
                column_of.join(one, other)
    columns = column_of.groups()
    longest = max(columns, key=len)
    if len(longest) == 1:
        return [_row(boxes, cells)]
    starts = sorted(spans[at][0] for at in longest)
    bands: dict[int, list[list[int]]] = defaultdict(list)
    for at, cell in enumerate(cells):
        middle = spans[at][0] + min(
            0.5 * (spans[at][1] - spans[at][0]), float(boxes[cell[0], 3] - boxes[cell[0], 1])
        )
        bands[max(0, int(np.searchsorted(starts, middle)) - 1)].append(cell)
    return [_row(boxes, band) for band in bands.values()]


def _row(boxes: np.ndarray, cells: list[list[int]]) -> Row:
    ordered = sorted(cells, key=lambda cell: float(boxes[cell, 0].min()))
    indices = tuple(index for cell in ordered for index in cell)
    numbers = tuple(number for number, cell in enumerate(ordered) for _ in cell)
    every = list(indices)
    return Row(indices, float(boxes[every, 1].min()), float(boxes[every, 3].max()), numbers)


def _by(indices: Iterable[int], key: Callable[[int], int]) -> list[list[int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for index in indices:
        groups[key(index)].append(index)
    return list(groups.values())


class _Sets:
    """Disjoint sets of indices (Galler and Fischer, 1964)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def of(self, index: int) -> int:
        """The representative of the set that an index is in."""
        while self._parents[index] != index:
            self._parents[index] = self._parents[self._parents[index]]
            index = self._parents[index]
        return index

    def join(self, one: int, other: int) -> None:
        """Makes the sets of two indices one."""
        self._parents[self.of(one)] = self.of(other)

    def join_all(self, indices: list[int]) -> None:
        """Makes the sets of all these indices one."""
        for index in indices[1:]:
            self.join(indices[0], index)

    def groups(self) -> list[list[int]]:
        """The sets."""
        return _by(range(len(self._parents)), self.of)
