"""Text on a page of a PDF that is found and selected, but not seen (text rendering mode 3).

All characters have one glyph, a box half an em wide (`assets/invisible.ttf`), much as in Tesseract's PDFs: a
word is stretched to the width that it has on the page, and a table gives each code its character. The box is
never painted; without it PDFium finds no text that stands upright.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import vocr_cli
from vocr_cli.core.pages.outputs.boxes import Word, words_of
from vocr_cli.core.pages.page import Page, PageLine

if TYPE_CHECKING:
    from pikepdf import Dictionary, Pdf

Transform = Callable[[float, float], tuple[float, float]]
"""From px of the page's image to units of the PDF."""

_GLYPH_EM = 0.5
_SIZE = 0.8  # of a line's height
_TILT = 0.15  # up or down for one along
_BASELINE = 0.24  # of a line's height, from below
_TO_UNICODE = b"""/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
1 beginbfrange
<0000> <FFFF> <0000>
endbfrange
endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


def invisible_font(pdf: Pdf) -> Dictionary:
    """Adds the font to a PDF."""
    from pikepdf import Array, Dictionary, Name, Stream

    data = (Path(vocr_cli.__file__).parent / "assets" / "invisible.ttf").read_bytes()
    file = Stream(pdf, data)
    file.Length1 = len(data)
    descriptor = Dictionary(
        Type=Name.FontDescriptor,
        FontName=Name.VocrInvisible,
        Flags=5,  # fixed pitch, symbolic
        FontBBox=Array([0, -200, 500, 800]),
        ItalicAngle=0,
        Ascent=800,
        Descent=-200,
        CapHeight=800,
        StemV=80,
        FontFile2=pdf.make_indirect(file),
    )
    descendant = Dictionary(
        Type=Name.Font,
        Subtype=Name.CIDFontType2,
        BaseFont=Name.VocrInvisible,
        CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
        FontDescriptor=pdf.make_indirect(descriptor),
        DW=round(1000 * _GLYPH_EM),
        CIDToGIDMap=pdf.make_indirect(Stream(pdf, bytes(1 << 17))),  # each code shows glyph 0
    )
    font = Dictionary(
        Type=Name.Font,
        Subtype=Name.Type0,
        BaseFont=Name.VocrInvisible,
        Encoding=Name("/Identity-H"),
        DescendantFonts=Array([pdf.make_indirect(descendant)]),
        ToUnicode=pdf.make_indirect(Stream(pdf, _TO_UNICODE)),
    )
    return pdf.make_indirect(font)


def invisible_text(page: Page, font: str, to_pdf: Transform) -> bytes:
    """The operators that write a page's text.

    Args:
        page: With its lines.
        font: What the page's resources call the font, with its slash.
        to_pdf: Places what stands on the image.
    """
    parts = ["BT\n3 Tr\n"]
    for line in page.lines:
        parts += _line(line, font, to_pdf)
    parts.append("ET\n")
    return "".join(parts).encode("ascii")


def _line(line: PageLine, font: str, to_pdf: Transform) -> Iterator[str]:
    """A line's words, each at its place, and a space in each gap."""
    words = list(words_of(line))
    height = math.dist(to_pdf(*line.corners[0]), to_pdf(*line.corners[3]))
    size = max(0.5, _SIZE * height)
    yield f"{font} {size:.3f} Tf\n"
    for index, word in enumerate(words):
        begin, end = _base(word, to_pdf)
        yield from _shown(word.text, begin, end, size)
        if index + 1 < len(words):
            (x, y), (next_x, next_y) = end, _base(words[index + 1], to_pdf)[0]
            level = abs(next_x - x) >= abs(next_y - y)
            yield from _shown(" ", end, (next_x, y) if level else (x, next_y), size)


def _base(word: Word, to_pdf: Transform) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a word's baseline begins and ends in the PDF.

    On a slightly tilted page each word lies level, a little lower or higher than the one before: programs
    that take text out of PDFs would cut words of tilted lines in two.
    """
    a, b, c, d = word.corners
    x, y = to_pdf(d[0] + (a[0] - d[0]) * _BASELINE, d[1] + (a[1] - d[1]) * _BASELINE)
    end_x, end_y = to_pdf(c[0] + (b[0] - c[0]) * _BASELINE, c[1] + (b[1] - c[1]) * _BASELINE)
    if abs(end_y - y) < _TILT * abs(end_x - x):
        y = end_y = (y + end_y) / 2
    elif abs(end_x - x) < _TILT * abs(end_y - y):
        x = end_x = (x + end_x) / 2
    return (x, y), (end_x, end_y)


def _shown(text: str, begin: tuple[float, float], end: tuple[float, float], size: float) -> Iterator[str]:
    width = math.dist(begin, end)
    if width < 1e-3 or not text:
        return
    cos, sin = (end[0] - begin[0]) / width, (end[1] - begin[1]) / width
    codes = text.encode("utf-16-be")
    stretch = 100 * width / (len(codes) / 2 * _GLYPH_EM * size)
    yield f"{cos:.5f} {sin:.5f} {-sin:.5f} {cos:.5f} {begin[0]:.3f} {begin[1]:.3f} Tm "
    yield f"{stretch:.3f} Tz <{codes.hex()}> Tj\n"
