"""What layout files say, whatever their format: pages, and their lines in the file's own units."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from vocr_cli.core.errors import ImageError

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_MOST_POINTS = 20_000
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(kw_only=True)
class LayoutLine:
    """A line as a file has it, in the file's units.

    Attributes:
        key: Its id, or its number among the lines of the file.
        text: What it says; empty: nothing is known.
        polygon: Its outline; empty: there is none.
        box: The upright rectangle around it.
        baseline: What its letters stand on; empty: there is none.
        words: The rectangles of its words, in their order.
        angle: Degrees clockwise that it is written at, where the file says so.
        fault: Why it cannot be used; empty: nothing is known against it.
    """

    key: str
    text: str = ""
    polygon: list[Point] = field(default_factory=list)
    box: Box | None = None
    baseline: list[Point] = field(default_factory=list)
    words: list[Box] = field(default_factory=list)
    angle: float | None = None
    fault: str = ""


@dataclass(kw_only=True)
class LayoutPage:
    """A page as a file has it.

    Attributes:
        key: Its id, or its number in the file.
        images: Names of its image, the likeliest first.
        frame: Its index in an image of several pages; None: the file does not say.
        size: Width and height, in the file's units; None: not said.
        areas: Parts of the page, to which its image may have been cut, in the same units.
        units_per_inch: Of coordinates that are no pixels; None: they are.
        lines: In the order of the file.
    """

    key: str = "1"
    images: list[str] = field(default_factory=list)
    frame: int | None = None
    size: tuple[float, float] | None = None
    areas: list[Box] = field(default_factory=list)
    units_per_inch: float | None = None
    lines: list[LayoutLine] = field(default_factory=list)


def points_of(text: str | None) -> list[Point]:
    """The points in a list of coordinates, x and y in turn, whatever stands between them.

    Raises:
        ImageError: There is an odd number of them, or an endless number.
    """
    numbers = [float(number) for number in _NUMBER.findall(text or "")]
    if len(numbers) % 2:
        raise ImageError(f"its coordinates are {len(numbers)} numbers, not pairs: {(text or '')[:40]}")
    if len(numbers) > 2 * _MOST_POINTS:
        raise ImageError(f"its outline has {len(numbers) // 2:,} points")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def box_of(values: Sequence[str | None]) -> Box | None:
    """A rectangle of left, top, width and height; None where one is not said, or no number."""
    try:
        left, top, width, height = (float(value or "") for value in values)
    except ValueError:
        return None
    box = (left, top, left + width, top + height)
    return box if all(map(math.isfinite, box)) else None


def corners(box: Box) -> list[Point]:
    """The corners of a rectangle, clockwise from the upper left one."""
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def box_around(points: Sequence[Point]) -> Box:
    """The smallest upright rectangle that holds points, at least one."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
