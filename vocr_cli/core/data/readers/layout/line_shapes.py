"""Where the lines of a page are, in px of its image, with what other lines tell of those that say little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vocr_cli.core.data.images.cut_line import LineShape, slope_of
from vocr_cli.core.data.images.polyline import Points, along_and_above, length_of
from vocr_cli.core.data.readers.layout.page_image import Placement
from vocr_cli.core.data.readers.layout.page_model import LayoutLine, box_around, corners

_UPRIGHT = 1.5  # height over width from which a rectangle may be a line written downwards or upwards
_ASTRAY = 0.6  # of a rectangle's lesser side: how far outside it a baseline may end
_LEAST_PITCH_PX = 6
_RISE_PX = 3


def line_shapes(lines: Sequence[LayoutLine], placement: Placement) -> list[LineShape]:
    """The shapes of all lines of a page.

    A rectangle alone does not tell where a vertical line begins: its words do, or those of the other lines.
    Words also tell how a line slopes. A line without outline is as high as its distance to the next allows.
    """
    shapes = [_shape(line, placement) for line in lines]
    baselines = [(index, shape.baseline) for index, shape in enumerate(shapes) if shape.baseline is not None]
    angles = [_angle_of_words(line) for line in lines]
    usual = Counter(angle for angle in angles if angle is not None).most_common(1)
    for index, (line, shape) in enumerate(zip(lines, shapes, strict=True)):
        if shape.outline is None and shape.baseline is not None:
            pitch = _pitch(shape.baseline, [other for at, other in baselines if at != index])
            shapes[index] = replace(shape, pitch_px=pitch)
        elif shape.angle is None and shape.baseline is None and _stands(line):
            own = angles[index]
            angle = own if own is not None else usual[0][0] if usual else None
            shapes[index] = replace(shape, angle=angle)
    return _with_neighbours(shapes)


def _with_neighbours(shapes: list[LineShape]) -> list[LineShape]:
    """Tells each line with an outline about the outlines whose rectangles come near its own."""
    outlines = [shape.outline for shape in shapes if shape.outline is not None and not shape.is_box]
    if len(outlines) < 2:
        return shapes
    lows = np.array([outline.min(axis=0) for outline in outlines])
    highs = np.array([outline.max(axis=0) for outline in outlines])

    def others(outline: Points) -> tuple[Points, ...]:
        low, high = outline.min(axis=0), outline.max(axis=0)
        around = 0.5 * (high - low).min()
        near = (lows <= high + around).all(axis=1) & (highs >= low - around).all(axis=1)
        return tuple(outlines[at] for at in np.flatnonzero(near) if outlines[at] is not outline)

    return [
        shape if shape.outline is None or shape.is_box else replace(shape, others=others(shape.outline))
        for shape in shapes
    ]


def _shape(line: LayoutLine, placement: Placement) -> LineShape:
    polygon = line.polygon
    outline, is_box = (placement.of(polygon), False) if polygon else (None, False)
    if outline is not None and (len(outline) < 3 or np.ptp(outline, axis=0).min() < 1):
        outline = None
    if outline is None and line.box is not None:
        outline, is_box = placement.of(corners(line.box)), True
    baseline = placement.of(line.baseline) if len(line.baseline) > 1 else None
    if is_box and outline is not None:
        if baseline is not None and not _inside(baseline, outline):
            baseline = None
        words = _outline_of_words(line, placement, baseline)
        if words is not None:
            outline, is_box = words, False
    return LineShape(outline=outline, is_box=is_box, baseline=baseline, angle=line.angle)


def _inside(baseline: Points, box: Points) -> bool:
    """Whether a baseline belongs to a rectangle: Tesseract writes meaningless ones under vertical lines."""
    low, high = box.min(axis=0), box.max(axis=0)
    slack = _ASTRAY * (high - low).min() + 2
    return bool((baseline[:, 1] >= low[1] - slack).all() and (baseline[:, 1] <= high[1] + slack).all())


def _outline_of_words(line: LayoutLine, placement: Placement, baseline: Points | None) -> Points | None:
    """The outline of a sloping line's words; None: the line is level, stands, or has too few of them."""
    needed = 3 if baseline is None else 1
    if len(line.words) < needed or line.angle is not None or _stands(line):
        return None
    words = sorted(line.words)
    upper = [point for left, top, right, _ in words for point in ((left, top), (right, top))]
    lower = [
        point for left, _, right, bottom in reversed(words) for point in ((right, bottom), (left, bottom))
    ]
    outline = placement.of([*upper, *lower])
    slopes = bool(slope_of(outline)) if baseline is None else np.ptp(baseline[:, 1]) > _RISE_PX
    return outline if slopes else None


def _stands(line: LayoutLine) -> bool:
    """Whether a line's rectangle is higher than wide, with too many characters for one upright letter."""
    box = line.box or (box_around(line.polygon) if line.polygon else None)
    if box is None or len(line.text.replace(" ", "")) < 2:
        return False
    left, top, right, bottom = box
    return bottom - top > _UPRIGHT * (right - left)


def _angle_of_words(line: LayoutLine) -> float | None:
    """Degrees clockwise that a standing line is written at, by the order of its words; None: too few."""
    if len(line.words) < 2 or not _stands(line):
        return None
    first, last = line.words[0], line.words[-1]
    return 90.0 if last[1] + last[3] > first[1] + first[3] else -90.0


def _pitch(baseline: Points, others: Sequence[Points]) -> float:
    """The distance to the nearest line above or below; 0: there is none beside it."""
    length = length_of(baseline)
    near = []
    for other in others:
        along, above = along_and_above((other[:1] + other[-1:]) / 2, baseline)
        reach = length_of(other) / 2
        if along[0] + reach > 0 and along[0] - reach < length and abs(above[0]) > _LEAST_PITCH_PX:
            near.append(abs(float(above[0])))
    return min(near, default=0.0)
