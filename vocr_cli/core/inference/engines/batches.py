"""Which lines are read together, by their widths. A batch is a list of indices into the widths given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

SINGLE_LINES = 16
"""Lines that a thread reads one by one before it hands them on: a task costs some time."""


def consecutive_batches(lines: int, at_once: int = 1) -> list[list[int]]:
    """Groups so many lines in order, in even batches of up to `SINGLE_LINES`, `at_once` side by side."""
    count = max(-(-lines // SINGLE_LINES), min(at_once, lines))
    ends = [lines * batch // count for batch in range(count + 1)] if count else []
    return [list(range(start, end)) for start, end in pairwise(ends)]


def batches_of_one_width(widths: Sequence[int], columns: int) -> list[list[int]]:
    """Groups lines of one width each, in the order of the first line of each width.

    Args:
        widths: Of the lines, px.
        columns: A batch's widths together, at most; a single line may have more.

    Returns:
        Indices of the lines, batch by batch.
    """
    by_width: dict[int, list[int]] = {}
    for index, width in enumerate(widths):
        by_width.setdefault(width, []).append(index)
    batches = []
    for width, indices in by_width.items():
        size = max(1, columns // width)
        batches += [indices[start : start + size] for start in range(0, len(indices), size)]
    return batches


def merged_batches(widths: Sequence[int], columns: int, at_once: int = 1) -> list[list[int]]:
    """Groups neighbouring widths, from narrow to wide, in batches of about equal work.

    Args:
        widths: Of the lines, px.
        columns: A batch's lines times its greatest width, at most; a single line may have more.
        at_once: Batches that are read side by side: their number is a multiple of it, where the lines
            suffice.

    Returns:
        Indices of the lines, batch by batch.
    """
    if not widths:
        return []
    order = sorted(range(len(widths)), key=widths.__getitem__)
    ordered = np.array([widths[index] for index in order])
    reached = ordered.cumsum()
    count = 0
    while True:
        enough = max(count + 1, -(-int(reached[-1]) // columns))
        count = -(-enough // at_once) * at_once
        batch_of = ((reached - ordered / 2) * count / reached[-1]).astype(int)  # of each line, ascending
        starts = [0, *(np.flatnonzero(np.diff(batch_of)) + 1).tolist(), len(order)]
        batches = [order[start:end] for start, end in pairwise(starts)]
        if all(len(batch) == 1 or len(batch) * widths[batch[-1]] <= columns for batch in batches):
            return batches
