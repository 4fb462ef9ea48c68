"""The text that a page of a PDF holds, line by line. In PDFs y runs upwards, in px downwards.

PDFium gives pieces of text that share a line and a style; those of one row that stand near to each other are
one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.pages.detectors.detector import FoundLines, TextBox
from vocr_cli.core.text import clean, control_characters

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

_SPACE = 0.12  # of a line's height: pieces farther apart are words
_APART = 0.9  # of a line's height: pieces farther apart are lines of their own
_LEAST_PT = 0.5


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
    textpage = page.get_textpage()
    try:
        height = page.get_height()
        pieces = []
        for index in range(textpage.count_rects()):
            left, bottom, right, top = textpage.get_rect(index)
            text = clean(textpage.get_text_bounded(left, bottom, right, top).replace("\ufffe", "-"))
            unseen = set(control_characters(text))
            text = clean("".join(char for char in text if char not in unseen))
            if text and min(right - left, top - bottom) > _LEAST_PT:
                pieces.append(
                    _Piece(
                        text, left * scale, (height - top) * scale, right * scale, (height - bottom) * scale
                    )
                )
    finally:
        textpage.close()
    lines = _lines(pieces)
    return FoundLines(tuple(_box(line) for line in lines)) if lines else None


def _lines(pieces: list[_Piece]) -> list[_Piece]:
    """Joins pieces of one line."""
    rows: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda each: (each.top + each.bottom) / 2):
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


def _box(line: _Piece) -> TextBox:
    left, top, right, bottom = line.left, line.top, line.right, line.bottom
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return TextBox(np.array(corners, float), text=line.text)
