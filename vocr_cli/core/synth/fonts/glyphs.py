"""Pictures of glyphs, each drawn once and kept. Sizes are px.

FreeType takes about 0.1 ms to hint and fill one outline, a line holds dozens, and most of them come again:
so a process keeps the pictures of the faces that it used last, within a budget of bytes.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.synth.fonts.fonts import FontFace

KEPT_BYTES = 96 << 20
_MARGIN_PX = 2  # around a glyph's box, which hinting may overstep
_OVERHEAD_BYTES = 250  # of an array, a tuple and a place in a dictionary
_COUNTED_EVERY = 64  # new tables, between two looks at what all of them hold
_EMPTY = np.zeros((0, 0), np.uint8)


class Glyph(NamedTuple):
    """The picture of one character, and where it stands relative to the pen."""

    ink: np.ndarray
    """(h, w) uint8, 0 paper to 255 full ink, cut to what is inked; (0, 0) for a space."""
    left: int
    """px from the pen to the left edge of `ink`."""
    top: int
    """px from the baseline down to the upper edge of `ink`; negative above the baseline."""
    advance: float
    """px from this pen to that of the next character."""


@lru_cache(maxsize=512)
def _font(path: Path, index: int, size_px: int, instance: tuple[float, ...]) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(str(path), size_px, index=index, layout_engine=ImageFont.Layout.BASIC)
    if instance:
        font.set_variation_by_axes(list(instance))
    return font


@lru_cache(maxsize=4096)
def axis_ranges(path: Path, index: int) -> tuple[tuple[float, float], ...]:
    """Least and largest value of each axis of a variable font; empty for any other font."""
    try:
        axes = ImageFont.truetype(str(path), 16, index=index).get_variation_axes()
    except OSError:
        return ()
    return tuple((float(axis["minimum"] or 0), float(axis["maximum"] or 0)) for axis in axes)


class GlyphTable(dict[str, Glyph]):
    """The glyphs of one face at one size, drawn when they are first asked for."""

    def __init__(self, face: FontFace, size_px: int, bilevel: bool) -> None:
        super().__init__()
        self._face, self._size_px, self._mode = face, size_px, "1" if bilevel else "L"
        self.bytes = 0

    def __missing__(self, char: str) -> Glyph:
        self.prepare(char)
        return self[char]

    def prepare(self, text: str) -> None:
        """Draws the characters of a text that are not drawn yet, side by side on one sheet."""
        missing = sorted(set(text) - self.keys())
        if not missing:
            return
        face, size = self._face, self._size_px
        font = _font(face.path, face.index, size, face.instance)
        # A cell holds all of its glyph, swashes too: what reached into a neighbour's would change with it.
        boxes = [font.getbbox(char, mode=self._mode, anchor="ls") for char in missing]
        pens = [_MARGIN_PX - math.floor(min(box[0], 0)) for box in boxes]
        cells = [pen + math.ceil(max(box[2], 0)) + _MARGIN_PX for pen, box in zip(pens, boxes, strict=True)]
        baseline = max(2 * size, _MARGIN_PX - math.floor(min(box[1] for box in boxes)))
        below = max(round(1.2 * size), math.ceil(max(box[3] for box in boxes)) + _MARGIN_PX)
        sheet = Image.new("L", (sum(cells), baseline + below))
        draw = ImageDraw.Draw(sheet)
        draw.fontmode = self._mode
        starts = [0, *itertools.accumulate(cells)]
        for char, start, pen in zip(missing, starts, pens, strict=False):
            draw.text((start + pen, baseline), char, fill=255, font=font, anchor="ls")
        pixels = np.asarray(sheet)
        for char, start, pen, cell in zip(missing, starts, pens, cells, strict=False):
            advance = font.getlength(char, mode=self._mode)
            box = sheet.crop((start, 0, start + cell, sheet.height)).getbbox()
            glyph = Glyph(_EMPTY, 0, 0, advance)
            if box is not None:
                left, top, right, bottom = box
                ink = pixels[top:bottom, start + left : start + right].copy()
                glyph = Glyph(ink, left - pen, top - baseline, advance)
            self[char] = glyph
            self.bytes += glyph.ink.size + _OVERHEAD_BYTES


_tables: OrderedDict[tuple[Path, int, tuple[float, ...], int, bool], GlyphTable] = OrderedDict()


def glyph_table(face: FontFace, size_px: int, bilevel: bool = False) -> GlyphTable:
    """The glyphs of a face at a size; those used least recently are dropped beyond KEPT_BYTES."""
    key = (face.path, face.index, face.instance, size_px, bilevel)
    table = _tables.get(key)
    if table is not None:
        _tables.move_to_end(key)
        return table
    table = _tables[key] = GlyphTable(face, size_px, bilevel)
    if len(_tables) % _COUNTED_EVERY == 0:
        kept = sum(table.bytes for table in _tables.values())
        while kept > KEPT_BYTES:
            kept -= _tables.popitem(last=False)[1].bytes
    return table
