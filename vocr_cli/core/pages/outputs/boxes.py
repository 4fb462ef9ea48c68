"""Where lines and words lie, for formats of boxes; px of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vocr_cli.core.pages.lines.bends import shape_of
from vocr_cli.core.pages.page import Corners, Page, PageLine
from vocr_cli.core.text import readable

_BASELINE = 0.24  # of a line's height, from below


@dataclass(frozen=True)
class Box:
    """An upright box, whole px within the page."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Px, at least 1."""
        return max(1, self.right - self.left)

    @property
    def height(self) -> int:
        """Px, at least 1."""
        return max(1, self.bottom - self.top)


@dataclass(frozen=True)
class Word:
    """A word of a line."""

    text: str
    confidence: float
    corners: Corners


def box_of(points: Iterable[tuple[float, float]], page: Page) -> Box:
    """The upright box around points, within the page."""
    xs, ys = zip(*points, strict=True)
    left, top = _within(math.floor(min(xs)), page.width_px), _within(math.floor(min(ys)), page.height_px)
    right, bottom = _within(math.ceil(max(xs)), page.width_px), _within(math.ceil(max(ys)), page.height_px)
    return Box(left, top, right, bottom)


def whole_points(corners: Corners, page: Page) -> list[tuple[int, int]]:
    """Corners as whole px within the page."""
    return [(_within(round(x), page.width_px), _within(round(y), page.height_px)) for x, y in corners]


def _within(value: int, size: int) -> int:
    return min(max(value, 0), size)


def baseline(line: PageLine) -> Corners:
    """About where the letters of a line stand, from its begin to its end."""
    if line.course:
        return _beside(line, 0.5 - _BASELINE)
    a, b, c, d = line.corners
    return _between(d, a, _BASELINE), _between(c, b, _BASELINE)


def outline(line: PageLine) -> Corners:
    """What a line lies in: its corners, or the outline of one that bends."""
    if not line.course:
        return line.corners
    return (*_beside(line, -0.5), *reversed(_beside(line, 0.5)))


def _beside(line: PageLine, down: float) -> Corners:
    """The course of a line, moved down by a share of its height."""
    course, height = np.array(line.course), line_height(line)
    moved = shape_of(course, 2 * abs(down) * height).outline
    assert moved is not None
    half = moved[: len(course)] if down < 0 else moved[len(course) :][::-1]
    return tuple((float(x), float(y)) for x, y in half)


def line_height(line: PageLine) -> float:
    """The height of a line, px."""
    a, b, c, d = line.corners
    return (math.dist(a, d) + math.dist(b, c)) / 2


def line_angle(line: PageLine) -> float:
    """By how many degrees a line is turned clockwise."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = line.corners
    return math.degrees(math.atan2((by - ay) + (cy - dy), (bx - ax) + (cx - dx)))


def words_of(line: PageLine) -> Iterator[Word]:
    """The words of a line with their corners."""
    a, b, c, d = line.corners
    reading, at = line.reading, 0
    each = len(reading.char_confidences) == len(reading.text)
    texts = reading.text.split(" ")
    spans = line.words if len(line.words) == len(texts) else [(0.0, 1.0)] * len(texts)
    for text, (begin, end) in zip(texts, spans, strict=True):
        chars = reading.char_confidences[at : at + len(text)] if each else ()
        confidence = math.prod(chars) ** (1 / len(chars)) if chars and min(chars) > 0 else reading.confidence
        corners: Corners = (
            _between(a, b, begin),
            _between(a, b, end),
            _between(d, c, end),
            _between(d, c, begin),
        )
        if line.course:
            corners = _moved(corners, line, (begin + end) / 2)
        yield Word(text, min(1.0, max(0.0, confidence)), corners)
        at += len(text) + 1


def _moved(corners: Corners, line: PageLine, share: float) -> Corners:
    """Corners on the chord of a line that bends, moved to its course."""
    course = np.array(line.course)
    at = share * (len(course) - 1)
    index = min(int(at), len(course) - 2)
    point = course[index] + (course[index + 1] - course[index]) * (at - index)
    x, y = point - (course[0] + (course[-1] - course[0]) * share)
    return tuple((a + float(x), b + float(y)) for a, b in corners)


def _between(one: tuple[float, float], other: tuple[float, float], share: float) -> tuple[float, float]:
    return one[0] + (other[0] - one[0]) * share, one[1] + (other[1] - one[1]) * share


_FORBIDDEN = {code: None for code in [*range(0x20), 0xFFFE, 0xFFFF] if code not in (9, 10, 13)}
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
    "\t": " ",
    "\n": " ",
    "\r": " ",
}
_TABLE = str.maketrans({**{chr(code): None for code in _FORBIDDEN}, **_ESCAPES})


def xml(text: str) -> str:
    """Text as it may stand in XML, in attributes too; what XML cannot hold is left out."""
    return readable(text).translate(_TABLE)
