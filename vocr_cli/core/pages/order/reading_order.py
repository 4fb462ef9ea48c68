"""The order in which the lines of a page are read: columns one after the other, tables row by row.

Rows of boxes that share a gap from top to bottom make a group of columns. Each group is read column by column
where its columns hold running text or stand as blocks of their own, as the two at the head of a Vietnamese
official document do, and row by row where they are the columns of a table. A box is (left, top, right,
bottom), px; lines run level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vocr_cli.core.pages.detectors.detector import Rules
from vocr_cli.core.pages.order.rows import Row, Span, common, free_spans, rows_of
from vocr_cli.core.pages.order.tables import ruled_tables

_GUTTER = 0.25  # of a line's height: narrower gaps part no columns
_APART = 2.2  # times the pitch of the rows: what stands farther off is no part of a group
_DEPTH = 6
_LONG, _INTO = 9.0, 2.6  # of a line's height: a box so long may reach so far into the column beside its own
_NARROW = 2.0  # of a line's height: gaps that may wander
_ESTABLISHED = 3  # rows, after which a gap that closes ends a group


@dataclass(frozen=True)
class Placed:
    """Where a line comes in the reading order.

    Attributes:
        index: Of its box.
        row: Lines of one row stand side by side.
        cell: Lines of one cell of a row follow each other.
        block: The column or table that it is in.
    """

    index: int
    row: int
    cell: int
    block: int


def reading_order(boxes: np.ndarray, rules: Rules) -> list[Placed]:
    """Puts boxes in reading order.

    A ruled table is one box for the order of the page, and then read row by row and cell by cell.

    Args:
        boxes: (N, 4) float64.
        rules: What stands between them.
    """
    tables = ruled_tables(boxes, rules)
    inside = {index for table in tables for row in table for index in row.indices}
    around = [_around(boxes, table) for table in tables]
    every = np.concatenate([boxes, np.array(around).reshape(-1, 4)])
    free = [index for index in range(len(boxes)) if index not in inside]
    order: list[Placed] = []
    number = block = 0
    for rows in _blocks(every, [*free, *range(len(boxes), len(every))], _DEPTH):
        for row in rows:
            known = [index for index in row.indices if index < len(boxes)]
            order += [Placed(index, number, cell, block) for cell, index in enumerate(known)]
            number += bool(known)
            for index in row.indices:
                if index >= len(boxes):
                    block += 1
                    for inner in tables[index - len(boxes)]:
                        pairs = zip(inner.indices, inner.cells, strict=True)
                        order += [Placed(at, number, cell, block) for at, cell in pairs]
                        number += 1
                    block += 1
        block += 1
    return order


def _around(boxes: np.ndarray, table: list[Row]) -> list[float]:
    indices = [index for row in table for index in row.indices]
    return [*boxes[indices, :2].min(axis=0), *boxes[indices, 2:].max(axis=0)]


def _blocks(boxes: np.ndarray, indices: Sequence[int], depth: int) -> list[list[Row]]:
    """The blocks of a region in reading order, each a list of rows."""
    rows = rows_of(boxes, indices)
    if depth == 0 or len(rows) < 2 or all(len(row.indices) == 1 for row in rows):
        return [rows] if rows else []
    blocks: list[list[Row]] = []
    for group, gutters in _groups(boxes, rows):
        columns = _columns(boxes, group, gutters)
        if len(columns) > 1 and _reads_by_column(boxes, group, columns):
            for column in columns:
                blocks += _blocks(boxes, column, depth - 1)
        else:
            blocks.append(group)
    return blocks


def _groups(boxes: np.ndarray, rows: list[Row]) -> list[tuple[list[Row], list[Span]]]:
    """Parts rows into groups that share gaps; rows that share none with others make one of their own."""
    reach = float(boxes[:, 0].min()) - 1, float(boxes[:, 2].max()) + 1
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    pitch = _pitch(rows, height)
    groups: list[tuple[list[Row], list[Span]]] = []
    current: list[Row] = []
    shared: list[Span] = []
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        free = free_spans(boxes, row, reach)
        both, parting = free, 0
        if current:
            parting = _parting(boxes, current, shared)
            both = common(shared, free, _GUTTER * height)
            if _parting(boxes, current, both) < parting:  # a box may reach into the column beside its own
                trimmed = common(shared, free_spans(_trimmed(boxes, height), row, reach), _GUTTER * height)
                both = trimmed if _parting(boxes, current, trimmed) >= parting else both
        ends = bool(current) and (
            row.top - max(each.bottom for each in current) > _APART * pitch
            or (parting and not _parting(boxes, [*current, row], both))
            or (len(current) >= _ESTABLISHED and _parting(boxes, current, both) < parting)
            or (
                parting
                and len(row.indices) == 1
                and not _is_within(boxes, current, shared, row, height)
                and not _begins_column(boxes, shared, row, following)
            )
            or (not parting and len(row.indices) > 1)
        )
        if ends:
            groups.append((current, shared))
            current, both = [], free
        current.append(row)
        shared = both
    return _mended(boxes, [*groups, (current, shared)], height, _APART * pitch)


def _mended(
    boxes: np.ndarray, groups: list[tuple[list[Row], list[Span]]], height: float, reach: float
) -> list[tuple[list[Row], list[Span]]]:
    """Joins groups of the same columns, whose narrow gaps wander as on a page that does not lie flat."""
    mended: list[tuple[list[Row], list[Span]]] = []
    for rows, gutters in groups:
        own = _narrow(boxes, rows, gutters, height)
        above, before = mended[-1] if mended else ([], [])
        others = _narrow(boxes, above, before, height) if above else []
        if (
            own
            and len(own) == len(others) == _parting(boxes, rows, gutters) == _parting(boxes, above, before)
            and min(len(rows), len(above)) >= _ESTABLISHED
            and rows[0].top - above[-1].bottom < reach
            and all(abs(sum(one) - sum(other)) / 2 < height for one, other in zip(own, others, strict=True))
        ):
            pairs = zip(own, others, strict=True)
            shared = [((one[0] + other[0]) / 2, (one[1] + other[1]) / 2) for one, other in pairs]
            mended[-1] = (above + rows, shared)
        else:
            mended.append((rows, gutters))
    return mended


def _narrow(boxes: np.ndarray, rows: list[Row], gutters: list[Span], height: float) -> list[Span]:
    """The gaps that part columns of a group, if they are narrow."""
    return [
        (begin, end)
        for begin, end in gutters
        if end - begin < _NARROW * height and _parting(boxes, rows, [(begin, end)])
    ]


def _trimmed(boxes: np.ndarray, height: float) -> np.ndarray:
    """Boxes without their ends, where they are long."""
    wide = boxes[:, 2] - boxes[:, 0] > _LONG * height
    trimmed = boxes.copy()
    trimmed[wide, 0] += _INTO * height
    trimmed[wide, 2] -= _INTO * height
    return trimmed


def _is_within(boxes: np.ndarray, rows: list[Row], gutters: list[Span], row: Row, height: float) -> bool:
    """Whether a line that stands alone in its row lies within a column, rather than beside or across them."""
    left, right = boxes[row.indices[0], [0, 2]]
    for column in _columns(boxes, rows, gutters):
        begin, end = boxes[column, 0].min(), boxes[column, 2].max()
        if left > begin - 1.5 * height and right < end + 1.5 * height:
            return True
    return False


def _begins_column(boxes: np.ndarray, gutters: list[Span], row: Row, following: Row | None) -> bool:
    """Whether a line within a gap is the first of a column there, with those on both sides going on."""
    left, right = boxes[row.indices[0], [0, 2]]
    inside = next(((begin, end) for begin, end in gutters if begin < left and right < end), None)
    if inside is None or following is None or following.top > row.bottom:
        return False
    before = any(boxes[index, 2] <= inside[0] + 1 for index in following.indices)
    after = any(boxes[index, 0] >= inside[1] - 1 for index in following.indices)
    return before and after


def _pitch(rows: list[Row], height: float) -> float:
    steps = [below.top - above.top for above, below in pairwise(rows)]
    near = [step for step in steps if 0.5 * height < step < 3 * height]
    return float(np.median(near)) if near else 1.4 * height


def _parting(boxes: np.ndarray, rows: list[Row], gutters: list[Span]) -> int:
    """How many gaps have boxes on both sides; those at the edges of a region have none on one."""
    indices = [index for row in rows for index in row.indices]
    lefts, rights = boxes[indices, 0], boxes[indices, 2]
    return sum(bool((rights <= begin + 1).any() and (lefts >= end - 1).any()) for begin, end in gutters)


def _columns(boxes: np.ndarray, rows: list[Row], gutters: list[Span]) -> list[list[int]]:
    """The boxes of a group by columns, from left to right."""
    indices = [index for row in rows for index in row.indices]
    starts = sorted((begin + end) / 2 for begin, end in gutters)
    columns: list[list[int]] = [[] for _ in range(len(starts) + 1)]
    for index in indices:
        middle = (boxes[index, 0] + boxes[index, 2]) / 2
        columns[int(np.searchsorted(starts, middle))].append(index)
    return [column for column in columns if column]


def _reads_by_column(boxes: np.ndarray, rows: list[Row], columns: list[list[int]]) -> bool:
    """Whether columns are read one after the other rather than row by row."""
    together = [row for row in rows if len(row.indices) > 1]
    if len(together) < 2:
        return False
    running = [column for column in columns if _is_running_text(boxes, column)]
    if len(running) >= 2 or (running and len(columns) == 2 and _aligned(boxes, columns) < 0.6):
        return True
    if len(columns) != 2:
        return False
    if _aligned(boxes, columns) < 0.5:
        return True
    return any(_is_centred(boxes, column) for column in columns)


def _is_running_text(boxes: np.ndarray, column: list[int]) -> bool:
    """Whether most lines of a column fill its width, and are long for their height."""
    if len(column) < 4:
        return False
    widths = boxes[column, 2] - boxes[column, 0]
    heights = boxes[column, 3] - boxes[column, 1]
    full = widths > 0.8 * (boxes[column, 2].max() - boxes[column, 0].min())
    return bool(full.mean() > 0.5 and np.median(widths / heights) > 6)


def _aligned(boxes: np.ndarray, columns: list[list[int]]) -> float:
    """Which share of the lines of the shorter column stand level with one of the other."""
    shorter, longer = sorted(columns, key=len)
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    heights = boxes[:, 3] - boxes[:, 1]
    level = [
        float(np.abs(middles[longer] - middles[index]).min()) < 0.25 * heights[index] for index in shorter
    ]
    return float(np.mean(level))


def _is_centred(boxes: np.ndarray, column: list[int]) -> bool:
    """Whether lines of several lengths share their middle, as those of a heading do."""
    if len(column) < 2:
        return False
    height = float(np.median(boxes[column, 3] - boxes[column, 1]))
    left, right = boxes[column, 0], boxes[column, 2]
    middle = np.ptp((left + right) / 2)
    return bool(middle < 0.6 * height and min(np.ptp(left), np.ptp(right)) > 1.5 * max(middle, 0.5 * height))
