"""Boxes of one row that are one line: words set far apart, and labels with the dots of a form after them.

Detectors pass dot leaders by. A strip of ink is looked over beside each box, `_GRAIN` grid points to a line's
height; legend: h, a line's height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.line_crop import quad_size
from vocr_cli.core.pages.detectors.detector import FoundLines, PageImage, TextBox
from vocr_cli.core.pages.lines.gutters import Gutters, parted_boxes
from vocr_cli.core.pages.lines.ink import InkMap
from vocr_cli.core.pages.lines.rules import rules_between, upright_rule
from vocr_cli.core.pages.lines.snug import snug_box
from vocr_cli.core.pages.order.arrange import flat_boxes
from vocr_cli.core.pages.order.rows import rows_of

_GRAIN = 16
_REACH_H = 60.0  # of a leader
_DOTS = 4  # make a leader
_PITCH = 0.55  # h: dots farther apart are none
_NEAR = 0.9  # h: boxes nearer to each other are one line, unless a rule parts them
_AFTER_DOTS = 1.2
_WIDE_DOT = 0.45  # h: what is wider is a rule, or text
_SIZES = 1.7
_BESIDE = 0.2  # of its height: a box that overlaps so much of another lies beside it
_LEVEL = 0.3  # of the lower one: so far the middle of a box may be above or below that of its neighbour
_SPECK = 0.35  # of the usual height: a dot or a dash, or nothing
_FIRST = 1.1  # h: so far from the box the first dot may be
_HALF_DOT = 3  # grid points: dots reach no higher above their middle


class _Growth(NamedTuple):
    """How far a leader goes on, and how far it drifts down on its way; px."""

    length: float = 0.0
    drift: float = 0.0


_NONE = _Growth()


@dataclass
class _Stretch:
    """A box that may have grown to either side."""

    box: TextBox
    width: float
    height: float
    usual: float  # height of the lines of the page
    before: float  # px that are free on its left,
    after: float  # and on its right

    @property
    def scale(self) -> float:
        """H of the letters: a box of low letters alone is lower than its line."""
        return max(self.height, self.usual)

    @property
    def along(self) -> np.ndarray:
        """One px along the line, (2,)."""
        quad = self.box.quad
        direction = (quad[1] - quad[0] + quad[2] - quad[3]) / 2
        return np.asarray(direction / max(1e-6, float(np.hypot(*direction))))

    def grow(self, before: _Growth, after: _Growth) -> None:
        """Makes the box longer on each side."""
        along = self.along
        down = np.array([-along[1], along[0]])
        left = -before.length * along + before.drift * down
        right = after.length * along + after.drift * down
        quad = self.box.quad + np.array([left, right, right, left])
        self.box, self.width = replace(self.box, quad=quad), self.width + before.length + after.length


def found_lines(page: PageImage, boxes: Sequence[TextBox]) -> FoundLines:
    """Makes lines of boxes: joins what is one, takes dot leaders in, and finds the rules between them."""
    if not boxes:
        return FoundLines(())
    line_px = float(np.median([quad_size(box.quad)[1] for box in boxes]))
    grey = page.pixels if page.pixels.ndim == 2 else np.asarray(Image.fromarray(page.pixels).convert("L"))
    ink = InkMap(grey, line_px)
    size = (page.width, page.height)
    bent = [box for box in boxes if box.course is not None]
    boxes = parted_boxes(ink, boxes, flat_boxes(np.array([box.quad for box in boxes]), size))
    sizes = [quad_size(box.quad) for box in boxes]
    flat = flat_boxes(np.array([box.quad for box in boxes]), size)
    gutters = Gutters(flat)
    straight = [index for index in range(len(boxes)) if boxes[index].course is None]
    specks = [index for index in straight if sizes[index][1] < _SPECK * line_px]
    joined: list[TextBox] = []
    for row in rows_of(flat, sorted(set(straight).difference(specks))):
        stretches = [_Stretch(boxes[at], *sizes[at], line_px, *_room(flat, at)) for at in row.indices]
        parted = [gutters.part(one, other) for one, other in pairwise(row.indices)]
        joined += _joined_row(ink, stretches, parted)
    lines = list(joined)
    joined += [boxes[at] for at in specks if not any(_holds(line, boxes[at]) for line in lines)]
    snug = tuple(snug_box(ink, box) for box in (*joined, *bent))
    flat = flat_boxes(np.array([box.quad for box in snug]), size)
    return FoundLines(snug, rules=rules_between(ink, snug, flat))


def _holds(line: TextBox, box: TextBox) -> bool:
    """Whether the middle of a box lies in a line."""
    middle = box.quad.mean(axis=0)
    sides = np.roll(line.quad, -1, axis=0) - line.quad
    to = middle - line.quad
    return bool((sides[:, 0] * to[:, 1] - sides[:, 1] * to[:, 0] >= 0).all())


def _joined_row(ink: InkMap, row: list[_Stretch], parted: Sequence[bool]) -> list[TextBox]:
    """Goes through a row from left to right; `parted`: whether a column ends after each box but the last."""
    row[0].grow(_leader(ink, row[0], row[0].before, backwards=True), _NONE)
    lines = [row[0]]
    for following, is_parted in zip(row[1:], parted, strict=True):
        last = lines[-1]
        gap = _gap(last, following)
        dots = _leader(ink, last, min(gap, last.after))
        last.grow(_NONE, dots)
        before = _leader(ink, following, min(gap - dots.length, following.before), backwards=True)
        following.grow(before, _NONE)
        left = gap - dots.length - before.length
        near = (_AFTER_DOTS if dots.length or before.length else _NEAR) * min(last.height, following.height)
        sizes = sorted((last.height, following.height))
        is_parted = (is_parted and not (dots.length or before.length)) or not _is_level(last, following)
        if (
            left < near
            and not is_parted
            and sizes[1] < _SIZES * sizes[0]
            and not upright_rule(ink, last.box.quad, following.box.quad, last.scale)
        ):
            lines[-1] = _union(last, following)
        else:
            lines.append(following)
    lines[-1].grow(_NONE, _leader(ink, lines[-1], lines[-1].after))
    return [line.box for line in lines]


def _room(flat: np.ndarray, index: int) -> tuple[float, float]:
    """How far away on the left and on the right the next boxes are that lie beside a box, px."""
    left, top, right, bottom = flat[index]
    height = bottom - top
    beside = np.minimum(flat[:, 3], bottom) - np.maximum(flat[:, 1], top) > _BESIDE * height
    beside[index] = False
    before = left - flat[beside & (flat[:, 0] < left) & (flat[:, 2] < right), 2]
    after = flat[beside & (flat[:, 2] > right) & (flat[:, 0] > left), 0] - right
    far = _REACH_H * float(height)
    return (
        max(0.0, float(before.min(initial=far))),
        max(0.0, float(after.min(initial=far))),
    )


def _is_level(one: _Stretch, other: _Stretch) -> bool:
    """Whether two boxes stand on about one line."""
    down = np.array([-one.along[1], one.along[0]])
    ends = one.box.quad[1:3].mean(axis=0), other.box.quad[[0, 3]].mean(axis=0)
    return bool(abs((ends[1] - ends[0]) @ down) < _LEVEL * min(one.height, other.height))


def _gap(one: _Stretch, other: _Stretch) -> float:
    """Px along the line from the end of one box to the beginning of another; 0 where they overlap."""
    end = (one.box.quad[1] + one.box.quad[2]) / 2
    start = (other.box.quad[0] + other.box.quad[3]) / 2
    return max(0.0, float((start - end) @ one.along))


def _union(one: _Stretch, other: _Stretch) -> _Stretch:
    """The box around both, turned as the longer one."""
    longer = one if one.width >= other.width else other
    along = longer.along
    down = np.array([-along[1], along[0]])
    points = np.concatenate([one.box.quad, other.box.quad])
    u, v = points @ along, points @ down
    corners = ((u.min(), v.min()), (u.max(), v.min()), (u.max(), v.max()), (u.min(), v.max()))
    quad = np.array([along * a + down * b for a, b in corners])
    return _Stretch(
        replace(longer.box, quad=quad),
        float(np.ptp(u)),
        float(np.ptp(v)),
        longer.usual,
        one.before,
        other.after,
    )


def _strip(ink: InkMap, stretch: _Stretch, reach: float, *, backwards: bool = False) -> np.ndarray:
    """Ink beside a box and a quarter of its height around, from the box outwards; (1.5 `_GRAIN`, n) bool."""
    quad, step = stretch.box.quad, stretch.along * reach
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 8
    sides = (quad[0] - step, quad[0]) if backwards else (quad[1], quad[1] + step)
    lower = (quad[3] - step, quad[3]) if backwards else (quad[2], quad[2] + step)
    beside = np.array([sides[0] - down, sides[1] - down, lower[1] + down, lower[0] + down])
    found = ink.sample(beside, _GRAIN * 3 // 2, max(1, round(reach / stretch.scale * _GRAIN)))
    return found[:, ::-1] if backwards else found


def _leader(ink: InkMap, stretch: _Stretch, reach: float, *, backwards: bool = False) -> _Growth:
    """How far a dot leader goes on beside a box."""
    if reach < _DOTS * 0.2 * stretch.scale:
        return _NONE
    reach = min(reach, _REACH_H * stretch.scale)
    strip = _strip(ink, stretch, reach, backwards=backwards)
    start = strip[_GRAIN * 3 // 4 : _GRAIN * 5 // 4, : round(_FIRST * _GRAIN)]  # where a baseline may be
    if not start.any():
        return _NONE
    row = _GRAIN * 3 / 4 + float(np.flatnonzero(start.any(axis=1)).mean())
    columns, drift = _dotted_columns(strip, row)
    return _Growth(min(reach, columns / _GRAIN * stretch.scale), drift / _GRAIN * stretch.scale)


def _dotted_columns(strip: np.ndarray, row: float) -> tuple[int, float]:
    """How many columns of a strip a leader takes, and how many rows it drifts down; 0: there is none.

    Args:
        strip: (rows, n) bool.
        row: About where the first dot is.
    """
    dots, end, run, last = 0, 0, 0, 0
    first = None
    for column in range(strip.shape[1]):
        inked = np.flatnonzero(strip[:, column])
        inked = inked[(inked > row - 0.6 * _GRAIN) & (inked < row + 0.3 * _GRAIN)]
        if not len(inked):
            if column - last > (_PITCH if dots else _FIRST) * _GRAIN:
                break
            run = 0
            continue
        if inked[0] < row - _HALF_DOT or run >= _WIDE_DOT * _GRAIN:  # a letter, or a rule
            dots -= run > 0
            break
        dots += run == 0
        run += 1
        first = float(inked.mean()) if first is None else first
        row += 0.3 * (float(inked.mean()) - row)
        last, end = column, column + 1
    return (end + 1, row - (first or row)) if dots >= _DOTS else (0, 0.0)
