"""Rules between lines: those of tables, and those that part sections of a page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vocr_cli.core.pages.detectors.detector import Rules, TextBox
from vocr_cli.core.pages.lines.ink import InkMap, rule_columns
from vocr_cli.core.pages.order.rows import rows_of

_FARTHEST = 8.0  # of a line's height: how far below the next line of a column may be
_BESIDE = 0.3  # of the narrower line: so much of it lies below the other
_GRAIN = 16
_COLUMNS = 32
_RULED = 0.88  # of the columns
_INTO = 0.2  # of a line's height: boxes may reach over a rule
_INWARD, _BEYOND = (
    0.3,
    0.3,
)  # of a line's height: an upright rule may stand so far within a box, and reaches beyond


def rules_between(ink: InkMap, boxes: Sequence[TextBox], flat: np.ndarray) -> Rules:
    """Finds the rules between neighbouring lines.

    Args:
        ink: Of the page.
        boxes: The lines.
        flat: (N, 4) float64, their boxes once they run level.
    """
    level = [
        (upper, lower)
        for upper in range(len(boxes))
        if (lower := _next_below(flat, upper)) is not None
        and _is_ruled(ink, boxes[upper].quad, flat, upper, lower)
    ]
    upright = [
        (left, right)
        for row in rows_of(flat, range(len(boxes)))
        for left, right in pairwise(row.indices)
        if upright_rule(ink, boxes[left].quad, boxes[right].quad, float(flat[left, 3] - flat[left, 1]))
    ]
    return Rules(tuple(level), tuple(upright))


def upright_rule(ink: InkMap, left: np.ndarray, right: np.ndarray, height: float) -> bool:
    """Whether an upright rule stands between two quads side by side, or in their margins.

    Args:
        ink: Of the page.
        left: (4, 2) float, px.
        right: The same.
        height: Of the lines, px.
    """
    along = left[1] - left[0]
    along = along / max(1e-6, float(np.hypot(*along)))
    start, foot = left[1] - _INWARD * height * along, left[2] - _INWARD * height * along
    down = (foot - start) * _BEYOND
    reach = max(0.0, float((right[0] - left[1]) @ along)) + 2 * _INWARD * height
    step = reach * along
    quad = np.array([start - down, start - down + step, foot + down + step, foot + down])
    strip = ink.sample(quad, 2 * _GRAIN, max(2, round(2 * _GRAIN * reach / height)))
    return bool(rule_columns(strip, 2).any())


def _next_below(flat: np.ndarray, upper: int) -> int | None:
    """The line that comes below another in its column."""
    height = flat[upper, 3] - flat[upper, 1]
    overlap = np.minimum(flat[:, 2], flat[upper, 2]) - np.maximum(flat[:, 0], flat[upper, 0])
    narrower = np.minimum(flat[:, 2] - flat[:, 0], flat[upper, 2] - flat[upper, 0])
    gap = flat[:, 1] - flat[upper, 3]
    near = (overlap > _BESIDE * narrower) & (gap > -0.5 * height) & (gap < _FARTHEST * height)
    near &= flat[:, 1] > flat[upper, 1] + 0.5 * height
    near[upper] = False
    return int(np.flatnonzero(near)[gap[near].argmin()]) if near.any() else None


def _is_ruled(ink: InkMap, quad: np.ndarray, flat: np.ndarray, upper: int, lower: int) -> bool:
    """Whether a rule stands between two lines, over all that they have in common."""
    left, right = max(flat[upper, 0], flat[lower, 0]), min(flat[upper, 2], flat[lower, 2])
    height = flat[upper, 3] - flat[upper, 1]
    along = (quad[1] - quad[0]) / max(1e-6, float(np.hypot(*(quad[1] - quad[0]))))
    down = np.array([-along[1], along[0]])
    start = quad[3] + along * (left - flat[upper, 0]) - down * _INTO * height
    depth = flat[lower, 1] - flat[upper, 3] + 2 * _INTO * height
    if depth <= 0 or right - left < 0.5 * height:
        return False
    end = start + along * (right - left)
    rows = int(np.clip(1.2 * depth / ink.step_px, 6, 400))  # no thin rule may fall between two
    strip = ink.sample(np.array([start, end, end + down * depth, start + down * depth]), rows, _COLUMNS)
    thick = strip[:-2] | strip[1:-1] | strip[2:]  # a rule may be thin, and a little askew
    return bool((thick.mean(axis=1) > _RULED).any())
