"""The text that a page of a PDF holds, line by line. In PDFs y runs upwards, in px downwards.

PDFium gives characters in the order of the file; those that follow each other make a run, and runs of one row
that stand near to each other are one line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.pages.detectors.detector import FoundLines, TextBox
from vocr_cli.core.pages.seen_box import Box, seen_box
from vocr_cli.core.text import clean, control_characters

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage

_SPACE = 0.12  # of a line's height: pieces farther apart are words
_APART = 0.9  # of a line's height: pieces farther apart are lines of their own
_LEAST_PT = 0.5
_ANGLES = 1000  # characters that are asked how they are turned


@dataclass
class _Piece:
    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


def page_text(page: PdfPage, scale: float) -> FoundLines | None:
    """The lines of a page that holds text; None: it holds none, and is to be read.

    Args:
        page: Open.
        scale: Px for a point.
    """
    textpage, seen = page.get_textpage(), _Seen.of(page)
    try:
        laid = replace(seen, turn=_usual_angle(textpage, seen.turn))  # as its readers would hold the page
        lines = _lines([_scaled(piece, laid.height, scale) for piece in _pieces(textpage, laid)])
    finally:
        textpage.close()
    return FoundLines(tuple(_box(line, laid, seen, scale) for line in lines)) if lines else None


def _usual_angle(textpage: PdfTextPage, otherwise: int) -> int:
    """By how much a page is to be turned for most of its text to be level: degrees clockwise, 0 to 270."""
    from pypdfium2.raw import FPDFText_GetCharAngle

    count = textpage.count_chars()
    angles = (FPDFText_GetCharAngle(textpage, at) for at in range(0, count, 1 + count // _ANGLES))
    turns = Counter(-round(angle / (math.pi / 2)) % 4 * 90 for angle in angles if angle >= 0)
    return max(turns, key=lambda turn: (turns[turn], turn == otherwise), default=otherwise)


@dataclass(frozen=True)
class _Seen:
    """How a page is seen: which part of its plane, and turned by how much.

    Attributes:
        left: Of the part, in points, as are the others; y upwards.
        turn: Degrees clockwise, a multiple of 90.
    """

    left: float
    bottom: float
    right: float
    top: float
    turn: int

    @classmethod
    def of(cls, page: PdfPage) -> _Seen:
        """How PDFium draws a page."""
        return cls(*seen_box(page.get_mediabox(), page.get_cropbox()), page.get_rotation() % 360)

    @property
    def height(self) -> float:
        """Of the page as it is seen, in points."""
        return self.right - self.left if self.turn in (90, 270) else self.top - self.bottom

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A point of the page's plane, seen from the lower left corner of the page as it is drawn."""
        return {
            90: (y - self.bottom, self.right - x),
            180: (self.right - x, self.top - y),
            270: (self.top - y, x - self.left),
        }.get(self.turn, (x - self.left, y - self.bottom))

    def in_plane(self, x: float, y: float) -> tuple[float, float]:
        """The point of the page's plane that `point` makes this one of."""
        return {
            90: (self.right - y, self.bottom + x),
            180: (self.right - x, self.top - y),
            270: (self.left + y, self.top - x),
        }.get(self.turn, (self.left + x, self.bottom + y))

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        """A box of the page's plane, seen so."""
        (x, y), (other_x, other_y) = self.point(left, bottom), self.point(right, top)
        return min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)


def characters(textpage: PdfTextPage) -> Iterator[tuple[int, str]]:
    """The characters of a page in the order of its file, each with PDFium's index of it.

    PDFium counts units of UTF-16: a character beyond the basic plane counts two.
    """
    index, count = 0, textpage.count_chars()
    for char in textpage.get_text_range():
        if index >= count:
            return
        yield index, char
        index += 1 + (ord(char) > 0xFFFF)


def _pieces(textpage: PdfTextPage, seen: _Seen) -> Iterator[_Piece]:
    """Runs of characters that follow each other on a line as it is seen; points, y upwards."""
    run: _Piece | None = None
    for index, char in characters(textpage):
        if char in "\r\n\ufffe":
            char = "-" if char == "\ufffe" else " "  # PDFium's sign of a hyphen at a line's end
        left, bottom, right, top = seen.box(*textpage.get_charbox(index, loose=True))
        if right - left < _LEAST_PT or top - bottom < _LEAST_PT:  # white space that PDFium adds
            if run is not None:
                run.text += " "
            continue
        if run is not None and _follows(run, left, bottom, top):
            run.text += char
            run.right, run.bottom, run.top = max(run.right, right), min(run.bottom, bottom), max(run.top, top)
            continue
        if run is not None:
            yield run
        run = _Piece(char, left, top, right, bottom)
    if run is not None:
        yield run


def _follows(run: _Piece, left: float, bottom: float, top: float) -> bool:
    height = run.top - run.bottom
    level = abs((run.top + run.bottom) - (top + bottom)) / 2 < 0.4 * height
    return level and -0.5 * height < left - run.right < _APART * height


def _scaled(piece: _Piece, height: float, scale: float) -> _Piece:
    """A run in px, y downwards, its text cleaned."""
    unseen = set(control_characters(piece.text))
    text = clean("".join(char for char in piece.text if char not in unseen))
    left, right = piece.left * scale, piece.right * scale
    return _Piece(text, left, (height - piece.top) * scale, right, (height - piece.bottom) * scale)


def _lines(pieces: list[_Piece]) -> list[_Piece]:
    """Joins pieces of one line."""
    rows: list[list[_Piece]] = []
    seen = [piece for piece in pieces if piece.text]
    for piece in sorted(seen, key=lambda each: (each.top + each.bottom) / 2):
        middle = (piece.top + piece.bottom) / 2
        if rows and abs(middle - (rows[-1][-1].top + rows[-1][-1].bottom) / 2) < 0.4 * piece.height:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    lines = []
    for row in rows:
        row.sort(key=lambda each: each.left)
        line = row[0]
        for piece in row[1:]:
            gap = piece.left - line.right
            high = max(line.height, piece.height)
            if gap > _APART * high:
                lines.append(line)
                line = piece
                continue
            line = _Piece(
                f"{line.text}{' ' if gap > _SPACE * high else ''}{piece.text}",
                min(line.left, piece.left),
                min(line.top, piece.top),
                max(line.right, piece.right),
                max(line.bottom, piece.bottom),
            )
        lines.append(line)
    return lines


def _box(line: _Piece, laid: _Seen, seen: _Seen, scale: float) -> TextBox:
    """A line, found on a page that was laid so, in px of the page as it is seen."""
    left, top, right, bottom = line.left, line.top, line.right, line.bottom
    corners = []
    for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)):
        across, up = seen.point(*laid.in_plane(x / scale, laid.height - y / scale))
        corners.append((across * scale, (seen.height - up) * scale))
    return TextBox(np.array(corners, float), text=line.text)
