"""What a detector gives: the boxes of text lines on a page, and what it knows about their order.

Coordinates are px of the page's image from its upper left corner. A quad is (4, 2) float64: the corners of a
line upper left, upper right, lower right, lower left, as somebody who reads the line sees them: of text that
lies on its side, the first corner is not the uppermost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vocr_cli.core.data.images.cut_line import LineShape


@dataclass(frozen=True)
class TextBox:
    """A line that was found.

    Attributes:
        quad: Its corners.
        source: What the file that it comes from calls it.
        text: What it says, where that is known; empty: it has to be read.
        shape: Its outline and baseline, where a file gives them; it is then cut out along these.
        course: (K, 2) float64, where its middle runs from begin to end, if it bends; the quad is then that of
            its chord.
    """

    quad: np.ndarray
    source: str = ""
    text: str = ""
    shape: LineShape | None = None
    course: np.ndarray | None = None


Pair = tuple[int, int]
"""The indices of two lines."""


@dataclass(frozen=True)
class Rules:
    """Which lines are parted by a rule.

    Attributes:
        level: Of lines one below the other, the upper one first.
        upright: Of lines side by side, the left one first.
    """

    level: tuple[Pair, ...] = ()
    upright: tuple[Pair, ...] = ()

    def renumbered(self, place: Mapping[int, int]) -> Rules:
        """The rules between the lines that have a new number."""
        level, upright = (
            tuple((place[a], place[b]) for a, b in pairs if a in place and b in place)
            for pairs in (self.level, self.upright)
        )
        return Rules(level, upright)


@dataclass(frozen=True)
class FoundLines:
    """The lines of a page.

    Attributes:
        boxes: The lines.
        ordered: Whether they come in reading order; otherwise the order is worked out.
        warnings: What was wrong with single lines, which were left out.
        rules: What stands between them.
    """

    boxes: tuple[TextBox, ...]
    ordered: bool = False
    warnings: tuple[str, ...] = ()
    rules: Rules = Rules()


@dataclass(frozen=True)
class PageImage:
    """A page as pixels.

    Attributes:
        name: What errors and reports call it.
        pixels: (H, W) or (H, W, 3) uint8, RGB.
        dpi: Resolution of the page as it is stored, 0 where it is not known.
        scale: Px of the page as it is stored for one of these: very large pages are worked on at a lower
            resolution.
        found: Its lines, where a file gives them.
        image: The file of its image, where that is not the document itself.
    """

    name: str
    pixels: np.ndarray
    dpi: float = 0.0
    scale: float = 1.0
    found: FoundLines | None = None
    image: str = ""

    @property
    def width(self) -> int:
        """Px."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Px."""
        return int(self.pixels.shape[0])


class Detector(Protocol):
    """Finds the lines of pages."""

    name: str

    def find(self, page: PageImage) -> FoundLines:
        """Finds the lines of a page.

        Raises:
            VocrError: The page cannot be worked on.
        """
        ...
