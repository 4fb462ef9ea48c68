"""Panels of curves, drawn with Pillow alone. Coordinates in px of a picture drawn at twice its size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_SCALE = 2
_INK, _DIM, _GRID, _GROUND = "#1f2430", "#6b7280", "#e5e7eb", "#ffffff"
_LEFT, _RIGHT, _TOP, _BOTTOM = 118, 28, 92, 64
_MOST_POINTS = 500

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One curve: (x, y) in the order of x. `faint` lies below the others; `dots` marks each point."""

    name: str
    points: Points
    colour: str
    faint: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves that share axes.

    Attributes:
        title: Stands above.
        series: The curves.
        label: Writes a value beside the axis.
        log: y grows tenfold by equal steps, and only what is above 0 is drawn.
        from_zero: y begins at 0.
    """

    title: str
    series: tuple[Series, ...]
    label: Callable[[float], str]
    log: bool = False
    from_zero: bool = False


def draw_panels(panels: list[Panel], columns: int, width: int, height: int) -> Image.Image:
    """A picture of `width` × `height` px with the panels in rows."""
    picture = Image.new("RGB", (width * _SCALE, height * _SCALE), _GROUND)
    pen, rows = ImageDraw.Draw(picture), -(-len(panels) // columns)
    for number, panel in enumerate(panels):
        x, y = number % columns * width // columns, number // columns * height // rows
        box = (x, y, x + width // columns, y + height // rows)
        _draw(pen, panel, [side * _SCALE for side in box])
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _draw(pen: ImageDraw.ImageDraw, panel: Panel, box: list[int]) -> None:
    left, top, right, bottom = box[0] + _LEFT, box[1] + _TOP, box[2] - _RIGHT, box[3] - _BOTTOM
    pen.text((left, box[1] + 22), panel.title, _INK, _font(28))
    rises = math.log10 if panel.log else float
    shown = [
        (series, [(x, rises(y)) for x, y in series.points if math.isfinite(y) and (y > 0 or not panel.log)])
        for series in panel.series
    ]
    shown = [(series, points) for series, points in shown if points]
    if not shown:
        pen.text(((left + right) // 2, (top + bottom) // 2), "nothing yet", _DIM, _font(22), anchor="mm")
        return
    x_ticks = _ticks(0, max(points[-1][0] for _, points in shown), 5)
    heights = [y for _, points in shown for _, y in points] + [0.0] * panel.from_zero
    y_ticks = _decades(min(heights), max(heights)) if panel.log else _ticks(min(heights), max(heights), 5)
    low, high = min(y_ticks[0], *heights), max(y_ticks[-1], *heights)
    most = max(x_ticks[-1], max(points[-1][0] for _, points in shown))

    def to_px(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / most, bottom - (bottom - top) * (y - low) / (high - low)

    for tick in y_ticks:
        y = to_px(0, tick)[1]
        pen.line((left, y, right, y), _GRID, 2)
        value = 10**tick if panel.log else tick
        pen.text((left - 12, y), panel.label(value), _DIM, _font(20), anchor="rm")
    for tick in x_ticks:
        pen.text((to_px(tick, low)[0], bottom + 14), _count(tick), _DIM, _font(20), anchor="mt")
    pen.line((left, bottom, right, bottom), _DIM, 2)
    for series, points in sorted(shown, key=lambda pair: not pair[0].faint):
        path = [to_px(x, y) for x, y in (points if series.dots else _thinned(points))]
        pen.line(path, series.colour, 2 if series.faint else 5, joint="curve")
        if series.dots or len(path) == 1:
            for x, y in path:
                pen.ellipse((x - 5, y - 5, x + 5, y + 5), series.colour)
    _legend(pen, [series for series, _ in shown if series.name], right, box[1] + 36)


def _legend(pen: ImageDraw.ImageDraw, series: list[Series], right: int, y: int) -> None:
    """Names of the curves on one line, right-aligned beside the title."""
    for entry in reversed(series):
        right -= int(pen.textlength(entry.name, _font(20)))
        pen.text((right, y), entry.name, _INK, _font(20), anchor="lm")
        pen.line((right - 40, y, right - 10, y), entry.colour, 6)
        right -= 64


def _thinned(points: Points) -> Points:
    """Means of as many neighbours as leave a line that a picture can show."""
    size = -(-len(points) // _MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten) that enclose the range."""
    if high - low < 1e-9 * max(abs(high), 1e-9):
        low, high = (0.0, high) if high > 0 else (low, low + 1)
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [step * number for number in range(math.floor(low / step), math.ceil(high / step - 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Ticks of an axis of base-10 logarithms: 1, 2 and 5, or over a wide range 1 alone."""
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    powers = range(math.floor(low) - 1, math.ceil(high) + 2)
    ticks = [power + math.log10(factor) for power in powers for factor in factors]
    first = max(number for number, tick in enumerate(ticks) if tick <= low + 1e-9)
    last = min(number for number, tick in enumerate(ticks) if tick >= high - 1e-9)
    return ticks[first : max(last, first + 1) + 1]


def _count(value: float) -> str:
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
