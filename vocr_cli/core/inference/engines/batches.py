"""Which lines are read together, by their widths. Places are numbers into the widths given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def exact_batches(widths: Sequence[int], columns: int) -> list[list[int]]:
    """Lines of one width each, in the order of their first.

    Args:
        widths: Of the lines, px.
        columns: A batch's widths together, at most; a single line may have more.

    Returns:
        Places, batch by batch.
    """
    by_width: dict[int, list[int]] = {}
    for place, width in enumerate(widths):
        by_width.setdefault(width, []).append(place)
    batches = []
    for width, places in by_width.items():
        size = max(1, columns // width)
        batches += [places[start : start + size] for start in range(0, len(places), size)]
    return batches


def merged_batches(widths: Sequence[int], columns: int, at_once: int = 1) -> list[list[int]]:
    """Neighbouring widths together, from narrow to wide, in shares of about equal work.

    Args:
        widths: Of the lines, px.
        columns: A batch's lines times its greatest width, at most; a single line may have more.
        at_once: Batches that are read side by side: their number is a multiple of it, where the lines
            suffice.

    Returns:
        Places, batch by batch.
    """
    if not widths:
        return []
    order = sorted(range(len(widths)), key=widths.__getitem__)
    ordered = np.array([widths[place] for place in order])
    reached = ordered.cumsum()
    shares = 0
    while True:
        enough = max(shares + 1, -(-int(reached[-1]) // columns))
        shares = -(-enough // at_once) * at_once
        share = ((reached - ordered / 2) * shares / reached[-1]).astype(int)
        starts = [0, *(np.flatnonzero(np.diff(share)) + 1).tolist(), len(order)]
        batches = [order[start:end] for start, end in pairwise(starts)]
        if all(len(batch) == 1 or len(batch) * widths[batch[-1]] <= columns for batch in batches):
            return batches
