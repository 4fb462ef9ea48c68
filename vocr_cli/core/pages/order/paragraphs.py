"""Which lines make a paragraph. A box is (left, top, right, bottom), px; lines run level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from vocr_cli.core.pages.detectors.detector import Rules
from vocr_cli.core.pages.order.reading_order import Placed

_WIDE_GAP = 1.35  # times the usual pitch of a column
_INDENT = 0.9  # of a line's height
_SHORT = 2.5  # of a line's height: a line that ends so far from the right edge ends its paragraph
_OTHER_SIZE = 1.3


def paragraphs_of(boxes: np.ndarray, order: Sequence[Placed], rules: Rules) -> list[int]:
    """Numbers the paragraphs of lines in reading order; a row of several lines is one by itself.

    Args:
        boxes: (N, 4) float64.
        order: Of the N lines.
        rules: What stands between them.

    Returns:
        Of each place the number of its paragraph, ascending.
    """
    numbers: list[int] = []
    number, parted = -1, set(rules.level)
    for _, block in groupby(order, key=lambda place: place.block):
        rows = [list(row) for _, row in groupby(block, key=lambda place: place.row)]
        for index, row in enumerate(rows):
            above = rows[index - 1] if index else None
            if above is None or not _goes_on(boxes, rows, above, row) or _pair(above, row) in parted:
                number += 1
            numbers += [number] * len(row)
    return numbers


def _pair(above: list[Placed], row: list[Placed]) -> tuple[int, int]:
    return above[0].index, row[0].index


def _goes_on(boxes: np.ndarray, rows: list[list[Placed]], above: list[Placed], row: list[Placed]) -> bool:
    """Whether a row is of the same paragraph as the one above it."""
    if len(above) > 1 or len(row) > 1:
        return False
    upper, lower = boxes[above[0].index], boxes[row[0].index]
    lines = boxes[[each[0].index for each in rows if len(each) == 1]]
    height = float(np.median(lines[:, 3] - lines[:, 1]))
    pitches = np.diff(np.sort((lines[:, 1] + lines[:, 3]) / 2))
    pitch = float(np.median(pitches)) if len(pitches) else height
    step = (lower[1] + lower[3] - upper[1] - upper[3]) / 2
    if step > _WIDE_GAP * min(pitch, 2.2 * height):
        return False
    sizes = sorted((upper[3] - upper[1], lower[3] - lower[1]))
    if sizes[1] > _OTHER_SIZE * sizes[0]:
        return False
    if _is_centred_pair(upper, lower, height):
        return True
    if lower[0] > upper[0] + _INDENT * height:  # the first line of a paragraph
        return False
    return bool(upper[2] > lines[:, 2].max() - _SHORT * height or upper[2] > lower[2] - 0.5 * height)


def _is_centred_pair(upper: np.ndarray, lower: np.ndarray, height: float) -> bool:
    """Whether two lines of different lengths share their middle."""
    middle = abs(upper[0] + upper[2] - lower[0] - lower[2]) / 2
    return bool(middle < 0.5 * height and abs(upper[0] - lower[0]) > 2 * middle + 0.5 * height)
