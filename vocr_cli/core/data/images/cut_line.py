"""A line cut out of a page: along its polygon or its baseline, turned level, straightened where it is curved.

Points are (x, y) in px of the page, y downwards. Legend: N points of an outline, M of a baseline. Level lines
are cut without resampling: their pixels are the page's own. A line that slopes or bends is laid out along its
baseline, piece by piece (Kiessling, 2020, "A Modular Region and Text Line Layout Analysis System"); what lies
outside its outline becomes background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from vocr_cli.core.data.images.band import band, flat, outline_mask, over_background
from vocr_cli.core.data.images.ink_reach import reach_of_ink
from vocr_cli.core.data.images.polyline import (
    Points,
    along_and_above,
    direction,
    extended,
    length_of,
    simplified,
)
from vocr_cli.core.errors import ImageError

MARGIN = 0.08  # of the height, on each side
OUTLINE_MARGIN = 0.2  # around an outline: kraken's cut the hook of `ủ` and the tilde of `ễ` off
_LEVEL = 0.12  # of the height: what a level baseline may rise by
_BEND = 0.06  # of the height: what a straight baseline may leave its chord by
_SLANT = 0.3  # of the height: what a level polygon may rise by
_BEYOND = 0.3  # of the height: how far a line may go on beyond the ends of its baseline
_TALLEST_PX = 4_000
_REMEDY = "Correct its polygon or baseline in the layout file."
_TURNS = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}


@dataclass(frozen=True, kw_only=True)
class LineShape:
    """Where a line is on its page.

    Attributes:
        outline: (N, 2) float, what belongs to the line; None: only its baseline is known.
        is_box: Whether the outline is an upright rectangle around the line, rather than its form.
        baseline: (M, 2) float, M >= 2, what the letters stand on, in the direction of writing; None: unknown.
        angle: Degrees clockwise that the line is written at, where it has no baseline; None: unknown.
        pitch_px: Distance to the next line, for lines without an outline; 0: unknown.
        others: Outlines of lines nearby, which the margin leaves out.
    """

    outline: Points | None = None
    is_box: bool = False
    baseline: Points | None = None
    angle: float | None = None
    pitch_px: float = 0.0
    others: tuple[Points, ...] = ()


def cut_line(page: Image.Image, shape: LineShape, margin: float | None = None) -> Image.Image:
    """Cuts a line out of a page.

    Args:
        page: Mode RGB or L.
        shape: Where the line is.
        margin: Added on each side, as a fraction of the line's height; None: `MARGIN` or `OUTLINE_MARGIN`.

    Returns:
        The line, level and upright, of the page's mode, at the page's resolution.

    Raises:
        ImageError: The shape has no area, or lies outside the page; it says so without naming the line.
    """
    shape = _checked(shape, page)
    near, shape = _quarter_turned(*_neighbourhood(page, shape))
    baseline = _baseline(shape)
    above, below = _reach(near, shape, baseline)
    height = above + below
    if not 1 <= height <= _TALLEST_PX:
        raise ImageError(f"it would be {height:,.0f} px high", _REMEDY)
    if margin is None:
        margin = MARGIN if shape.outline is None or shape.is_box else OUTLINE_MARGIN
    pad = max(1.0, margin * height)
    if np.ptp(baseline[:, 1]) <= _LEVEL * height:
        return _cut_level(near, shape, baseline, above, below, pad)
    return _laid_out(near, shape, baseline, above + pad, below + pad, pad)


def _checked(shape: LineShape, page: Image.Image) -> LineShape:
    """The shape without an outline that has no area, its baseline simple and in the direction of writing."""
    outline, baseline = shape.outline, shape.baseline
    for points in (outline, baseline):
        if points is not None and not (np.isfinite(points).all() and np.abs(points).max(initial=0) < 1e7):
            raise ImageError("its coordinates are no positions on a page", _REMEDY)
    if outline is not None and (len(outline) < 3 or np.ptp(outline, axis=0).min() < 1):
        outline = None
    if baseline is not None and (len(baseline) < 2 or np.hypot(*np.ptp(baseline, axis=0)) < 1):
        baseline = None
    known = [points for points in (outline, baseline) if points is not None]
    if not known:
        raise ImageError("it has neither a polygon with an area nor a baseline with a length", _REMEDY)
    (left, top), (right, bottom) = np.concatenate(known).min(axis=0), np.concatenate(known).max(axis=0)
    if right <= 0 or bottom <= 0 or left >= page.width or top >= page.height:
        raise ImageError(f"it lies outside the image, which is {page.width} × {page.height} px", _REMEDY)
    if baseline is not None:
        baseline = _straightened(baseline, outline, shape.pitch_px)
        baseline = _in_writing_direction(baseline, None if shape.is_box else outline, shape.angle)
    return replace(shape, outline=outline, baseline=baseline)


def _straightened(baseline: Points, outline: Points | None, pitch_px: float) -> Points:
    """A baseline as few points: two where it is straight but for the noise of its making."""
    height = pitch_px
    if outline is not None:
        x, y = outline.T
        area = abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
        height = area / max(length_of(baseline), 1.0)
    few = simplified(baseline, max(1.5, _BEND * height))
    apart = np.concatenate([[True], np.hypot(*np.diff(few, axis=0).T) >= 1])
    few = few[apart]
    return few if len(few) > 1 else np.stack([baseline[0], baseline[-1]])


def _in_writing_direction(baseline: Points, outline: Points | None, angle: float | None) -> Points:
    """A baseline may have been drawn backwards; letters stand above it, seen in the direction of writing."""
    if outline is not None:
        _, heights = along_and_above(outline, baseline)
        backwards = heights.max() + heights.min() < -0.2 * np.ptp(heights)
    else:
        apart = abs((direction(baseline) - (angle or 0.0) + 180) % 360 - 180)
        backwards = apart > 120
    return baseline[::-1].copy() if backwards else baseline


def _neighbourhood(page: Image.Image, shape: LineShape) -> tuple[Image.Image, LineShape]:
    """The part of the page around a line: a large page is not to be turned for each of them."""
    points = np.concatenate([points for points in (shape.outline, shape.baseline) if points is not None])
    low, high = points.min(axis=0), points.max(axis=0)
    around = 0.5 * float((high - low).min()) + 40
    if shape.outline is None:
        around += 1.2 * (shape.pitch_px or 200)
    left, top = (int(max(0, value)) for value in np.floor(low - around))
    right, bottom = (int(value) for value in np.minimum(np.ceil(high + around) + 1, page.size))

    return page.crop((left, top, right, bottom)), _moved(shape, lambda points: points - (left, top))


def _moved(shape: LineShape, move: Callable[[Points], Points]) -> LineShape:
    """A shape whose points are all moved."""
    return replace(
        shape,
        outline=None if shape.outline is None else move(shape.outline),
        baseline=None if shape.baseline is None else move(shape.baseline),
        others=tuple(map(move, shape.others)),
    )


def _quarter_turned(page: Image.Image, shape: LineShape) -> tuple[Image.Image, LineShape]:
    """Turns a page by quarters, so that the line runs to the right, at less than 45 degrees."""
    heading = direction(shape.baseline) if shape.baseline is not None else shape.angle or 0.0
    quarters = round(heading / 90) % 4
    if not quarters:
        return page, shape
    width, height = page.size

    def turned(points: Points) -> Points:
        x, y = points.T
        pair = {1: (y, width - x), 2: (width - x, height - y), 3: (height - y, x)}[quarters]
        return np.stack(pair, axis=1)

    rest = None if shape.angle is None else (shape.angle - 90 * quarters + 180) % 360 - 180
    return page.transpose(_TURNS[quarters]), replace(_moved(shape, turned), angle=rest)


def _baseline(shape: LineShape) -> Points:
    """The baseline, or a line through the outline in the direction of writing, near its foot."""
    if shape.baseline is not None:
        return shape.baseline
    assert shape.outline is not None
    if shape.angle is not None:
        slope = float(np.tan(np.radians(shape.angle)))
    else:
        slope = 0.0 if shape.is_box else slope_of(shape.outline)
    x, y = shape.outline.T
    ends = np.array([x.min(), x.max()])
    level = y - slope * (x - ends.mean())
    foot = level.max() - 0.25 * np.ptp(level)
    return np.stack([ends, foot + slope * (ends - ends.mean())], axis=1)


def slope_of(outline: Points) -> float:
    """The slope of the middle of an outline, column by column; 0 where it hardly rises."""
    low = outline.min(axis=0)
    scale = min(1.0, 512 / np.ptp(outline, axis=0).max())
    width, height = (int(side * scale) + 1 for side in np.ptp(outline, axis=0))
    mask = Image.new("1", (width, height))
    ImageDraw.Draw(mask).polygon(flat((outline - low) * scale), fill=1, outline=1)
    inside = np.asarray(mask)  # (h, w)
    counts = inside.sum(axis=0)
    columns = np.flatnonzero(counts)
    if len(columns) < 8:
        return 0.0
    middles = (inside * np.arange(height)[:, None]).sum(axis=0)[columns] / counts[columns]
    slope = float(np.polyfit(columns, middles, 1, w=np.sqrt(counts[columns]))[0])
    return slope if abs(slope) * len(columns) > _SLANT * np.median(counts[columns]) else 0.0


def _reach(page: Image.Image, shape: LineShape, baseline: Points) -> tuple[float, float]:
    """How far a line reaches above and below its baseline, in px."""
    if shape.outline is None:
        return reach_of_ink(lambda above, below: band(page, baseline, above, below), baseline, shape.pitch_px)
    _, heights = along_and_above(shape.outline, baseline)
    if shape.is_box and len(baseline) == 2:
        # An upright box around a sloping line holds more than the line at its ends, not in its middle.
        (left, top), (right, bottom) = shape.outline.min(axis=0), shape.outline.max(axis=0)
        (x0, y0), (x1, y1) = baseline
        middle = y0 + (y1 - y0) / (x1 - x0) * ((left + right) / 2 - x0)
        return float(max(middle - top, 1.0)), float(max(bottom - middle, 0.0))
    return float(heights.max()), float(-heights.min())


def _cut_level(
    page: Image.Image, shape: LineShape, baseline: Points, above: float, below: float, pad: float
) -> Image.Image:
    """Cuts an upright rectangle, and lays background over what is outside the outline."""
    foot = baseline[:, 1].mean()
    beyond = _BEYOND * (above + below)
    low = np.array([baseline[:, 0].min() - beyond, foot - above])
    high = np.array([baseline[:, 0].max() + beyond, foot + below])
    if shape.outline is not None:
        low, high = shape.outline.min(axis=0), shape.outline.max(axis=0)
    left, top = (int(max(0, value)) for value in np.floor(low - pad))
    right, bottom = (int(value) for value in np.minimum(np.ceil(high + pad) + 1, page.size))
    line = page.crop((left, top, right, bottom))
    if shape.outline is None or shape.is_box:
        return line
    outlines = [points - (left, top) for points in (shape.outline, *shape.others)]
    return over_background(line, outline_mask(outlines[0], outlines[1:], line.size, pad))


def _laid_out(
    page: Image.Image, shape: LineShape, baseline: Points, above: float, below: float, pad: float
) -> Image.Image:
    """Lays a sloping or curved line out along its baseline, what is outside its outline as background."""
    inside = Image.new("L", page.size, 255)
    before = after = pad + _BEYOND * (above + below)
    if shape.outline is not None:
        before = after = pad
        along, _ = along_and_above(shape.outline, baseline)
        if not shape.is_box:
            before += max(0.0, -float(along.min()))
            after += max(0.0, float(along.max()) - length_of(baseline))
            inside = outline_mask(shape.outline, shape.others, page.size, pad)
    course = extended(baseline, before, after)
    if length_of(course) > 4 * (page.width + page.height):
        raise ImageError("its baseline winds to and fro", _REMEDY)
    return over_background(band(page, course, above, below), band(inside, course, above, below))
