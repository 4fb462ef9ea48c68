"""Boxes drawn to the ink of their lines: marks above and below are taken in, neighbours are left out.

A detector's boxes follow a map that is coarser than the page. Legend: h, a line's height.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from vocr_cli.core.data.images.line_crop import quad_size
from vocr_cli.core.pages.detectors.detector import TextBox
from vocr_cli.core.pages.lines.ink import InkMap, rule_columns

_AROUND = 0.4  # h: how far above and below ink is looked for
_GRAIN = 32  # rows to a line's height
_MARGIN = 0.06  # h left free above and below the ink
_FAINT = 0.004  # of a row's width: less ink is a speck
_CORE = (0.3, 0.7)  # of a box's height: here letters are
_END, _BEYOND = 0.4, 0.3  # h: rules are looked for so far within a box; they reach so far beyond it
_GAP_ABOVE, _GAP_BELOW = 0.1, 0.13  # h: wider gaps part a line from its neighbours; dots stand farther off
_DEEPEST = 0.22  # h that a side may be drawn in


def snug_box(ink: InkMap, box: TextBox) -> TextBox:
    """Moves the upper and the lower side of a box to where its line's ink ends.

    A side stays where it is if ink goes on beyond all that is looked at: there a neighbour touches the line.
    Upright rules at its ends, those of a table, are left out.
    """
    box = _without_rules(ink, box) if box.course is None else box
    width, height = quad_size(box.quad)
    down = (box.quad[3] - box.quad[0] + box.quad[2] - box.quad[1]) / 2
    beyond = round(_AROUND * _GRAIN)
    columns = int(np.clip(width / height * _GRAIN / 2, 16, 640))
    pieces = _pieces(box, down)
    each = -(-columns // len(pieces))
    filled = np.hstack([ink.sample(piece, _GRAIN + 2 * beyond, each) for piece in pieces]).mean(axis=1)
    inked = filled > max(_FAINT, 1.5 / columns)
    core = slice(beyond + round(_CORE[0] * _GRAIN), beyond + round(_CORE[1] * _GRAIN))
    if not inked[core].any():
        return box
    middle = core.start + int(filled[core].argmax())
    top = _end(inked[: middle + 1][::-1], _GAP_ABOVE)
    bottom = _end(inked[middle:], _GAP_BELOW)
    upper = 0.0 if top is None else (middle - top + 1 - beyond) / _GRAIN - _MARGIN
    lower = 0.0 if bottom is None else (beyond + _GRAIN - middle - bottom) / _GRAIN - _MARGIN
    upper, lower = min(upper, _DEEPEST), min(lower, _DEEPEST)
    quad = box.quad + np.array([upper * down, upper * down, -lower * down, -lower * down])
    course = None if box.course is None else box.course + (upper - lower) / 2 * down
    return replace(box, quad=quad, course=course)


def _pieces(box: TextBox, down: np.ndarray) -> list[np.ndarray]:
    """Quads around a box that are `_AROUND` higher on both sides: one, or several along its course."""
    if box.course is None:
        return [box.quad + np.array([-down, -down, down, down]) * _AROUND]
    reach = down * (0.5 + _AROUND)
    return [
        np.array([begin - reach, end - reach, end + reach, begin + reach])
        for begin, end in pairwise(box.course)
    ]


def _without_rules(ink: InkMap, box: TextBox) -> TextBox:
    """Draws the ends of a box in to where no rule is."""
    quad = box.quad
    width, height = quad_size(quad)
    if width < 2 * _END * height:
        return box
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 2
    along = (quad[1] - quad[0] + quad[2] - quad[3]) / 2 * (height / width)  # as long as the line is high
    cuts = []
    for upper, inward in ((quad[0], along), (quad[1], -along)):
        ends = [upper - 0.2 * inward - _BEYOND * down, upper + _END * inward - _BEYOND * down]
        strip = np.array([*ends, ends[1] + (1 + 2 * _BEYOND) * down, ends[0] + (1 + 2 * _BEYOND) * down])
        columns = round((_END + 0.2) * _GRAIN)
        ruled = np.flatnonzero(rule_columns(ink.sample(strip, _GRAIN, columns), 2))
        cut = (int(ruled[-1]) + 2) / _GRAIN - 0.2 if len(ruled) else 0.0
        cuts.append(max(0.0, cut) * inward)
    left, right = cuts
    return replace(box, quad=quad + np.array([left, right, right, left]))


def _end(inked: np.ndarray, gap: float) -> int | None:
    """How many rows from a line's middle outwards have ink, gaps before marks aside; None: all have."""
    free = 0
    for row, has_ink in enumerate(inked):
        free = 0 if has_ink else free + 1
        if free > gap * _GRAIN:
            return row - free + 1
    return None if free == 0 else len(inked) - free
