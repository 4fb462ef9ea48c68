"""Sets a text line as a mask of ink, the way pages set it. Sizes are px; 1 em is the font size.

Glyphs are drawn at their final size, hinted as screens do, or at a larger master size and scaled down, as PDF
viewers and scanners place them at fractions of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image

from vocr_cli.core.synth.effects.warp import bent, filtered, weighed
from vocr_cli.core.synth.fonts.fonts import FontFace
from vocr_cli.core.synth.fonts.glyphs import Glyph, GlyphTable, glyph_table
from vocr_cli.core.synth.layout import Layout

SHRINK_FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
)
_RAISED = dict(zip("¹²³⁴⁵⁶", "123456", strict=True))
SMALL_DIGITS = _RAISED | dict(zip("₀₁₂₃₄₅₆", "0123456", strict=True))
"""Raised and lowered digits, which any face can show as small common ones."""


class Placed(NamedTuple):
    """A glyph's picture and its upper left corner, relative to the start of the line and its baseline."""

    ink: np.ndarray
    x: int
    y: int


class Box(NamedTuple):
    """Edges in px: left and top inside, right and bottom outside."""

    left: float
    top: float
    right: float
    bottom: float


def draw_line(
    text: str,
    faces: list[FontFace],
    layout: Layout,
    dice: Random,
    neighbour: Callable[[], str],
    fallbacks: Mapping[str, FontFace] | None = None,
) -> np.ndarray | None:
    """The ink of one cropped line.

    Args:
        text: What stands in the line; single spaces only.
        faces: One face, or two of a family to mix.
        layout: How it is set.
        dice: Where chance comes from.
        neighbour: Gives text for the lines above and below.
        fallbacks: Faces for characters that the first one lacks.

    Returns:
        (h, w) uint8, 0 paper to 255 full ink, or with `layout.subpixel` (h, w, 3), one per colour; None
        when a character has no face or nothing is drawn.
    """
    fallbacks = fallbacks or {}
    glyphs = _set(text, faces, layout, dice, fallbacks)
    if not glyphs:
        return None
    inked = _box_of(glyphs)
    em = layout.master_px
    margins = _margins(layout, inked, dice)
    # The canvas holds the crop and room for the bends; its origin is the start of the line on the baseline.
    room = math.ceil(em * (0.3 + abs(layout.curve_em) + layout.waves_em)) if layout.warped else 2
    room += math.ceil(abs(math.tan(layout.angle_rad)) * (inked.right - inked.left) / 2)
    aside = room + math.ceil(abs(layout.slant) * 1.6 * em)
    left = math.floor(inked.left - max(margins.left, 0)) - aside
    top = math.floor(inked.top - max(margins.top, 0)) - room
    width = math.ceil(inked.right + max(margins.right, 0)) + aside - left
    height = math.ceil(inked.bottom + max(margins.bottom, 0)) + room - top
    canvas = np.zeros((height, width), np.uint8)
    _paste(canvas, glyphs, -left, -top)
    if layout.underline:
        y = -top + round(dice.uniform(0.08, 0.2) * em)
        canvas[y : y + max(1, round(em * dice.uniform(0.03, 0.07))), -left : round(inked.right) - left] = 255
    box = Box(inked.left - left, inked.top - top, inked.right - left, inked.bottom - top)
    seed = dice.getrandbits(32)  # the lines around are bent as this one is
    if layout.warped:
        canvas = bent(canvas, layout, -top, Random(seed))
        box = _scanned(canvas) or box
    if layout.neighbours:
        others = [_set(neighbour(), faces[:1], layout, dice, fallbacks, whole=False) for _ in range(2)]
        around = _neighbours(canvas.shape, others, -left, -top, layout, dice)
        if layout.warped:
            around = bent(around, layout, -top, Random(seed))
        np.maximum(canvas, around, out=canvas)
    if layout.weight_px:
        canvas = weighed(canvas, layout.weight_px)
    crop = Box(
        box.left - margins.left, box.top - margins.top, box.right + margins.right, box.bottom + margins.bottom
    )
    return _cut(canvas, crop, layout, dice)


def _neighbours(
    shape: tuple[int, ...], others: list[list[Placed]], x: int, y: int, layout: Layout, dice: Random
) -> np.ndarray:
    """What shows of the lines above and below one that begins at (x, y); (h, w) uint8 of that shape."""
    around, em = np.zeros(shape, np.uint8), layout.master_px
    for side, glyphs in zip((-1, 1), others, strict=True):
        if dice.random() < 0.8:
            down = side * layout.pitch_em * em * dice.uniform(0.97, 1.03)
            _paste(around, glyphs, x - round(dice.uniform(0, 3) * em), round(y + down))
    return around


def _set(
    text: str,
    faces: list[FontFace],
    layout: Layout,
    dice: Random,
    fallbacks: Mapping[str, FontFace],
    whole: bool = True,
) -> list[Placed]:
    """A line's glyphs from x = 0 on; empty when a character has no face, or without it if not `whole`."""
    em, words = layout.master_px, text.split(" ")
    tables = [glyph_table(face, em, layout.bilevel) for face in faces]
    tables[0].prepare("".join(faces[0].covered.intersection(text)))
    first = second = len(words)
    if len(faces) > 1 and len(words) > 2:  # a bold or italic stretch
        first, second = sorted((dice.randint(0, len(words)), dice.randint(0, len(words))))
    gap = layout.letter_gap_em * em
    space = tables[0][" "].advance * layout.word_gap + gap
    wide = _column_breaks(words, layout, dice)
    x, placed = 0.0, []
    for number, word in enumerate(words):
        style = 1 if len(faces) > 1 and first <= number < second else 0
        face, table = faces[style], tables[style]
        if number:
            x += space + (layout.column_gap_em * em if number in wide else 0)
        if layout.hinted:
            x = round(x)  # screens place words on whole pixels
        for char in word:
            own = char in face.covered
            drop = 0
            if char in SMALL_DIGITS and (layout.small_digits or not (own or char in fallbacks)):
                glyph, drop = _small_digit(char, table, em)
            elif own:
                glyph = table[char]
            elif char in fallbacks:
                glyph = glyph_table(fallbacks[char], em, layout.bilevel)[char]
            elif whole:
                return []
            else:
                continue
            if glyph.ink.size:
                ink = glyph.ink
                if layout.unevenness:
                    ink = (ink * (1 - layout.unevenness * dice.random())).astype(np.uint8)
                stray = round(dice.gauss(0, layout.jitter_em) * em) if layout.jitter_em else 0
                placed.append(Placed(ink, round(x) + glyph.left, glyph.top + drop + stray))
            x += glyph.advance + gap
    return placed


def _small_digit(char: str, table: GlyphTable, em: int) -> tuple[Glyph, int]:
    """A raised or lowered digit as a small one of the common digits, and by how many px it is lowered."""
    large = table[SMALL_DIGITS[char]]
    height, width = large.ink.shape
    if not height:
        return large, 0
    small = Image.fromarray(large.ink).resize(
        (max(3, round(0.62 * width)), max(4, round(0.62 * height))), Image.Resampling.BILINEAR
    )
    drop = round((-0.36 if char in _RAISED else 0.14) * em)
    return Glyph(
        np.asarray(small), round(0.62 * large.left), round(0.62 * large.top), 0.62 * large.advance
    ), drop


def _column_breaks(words: list[str], layout: Layout, dice: Random) -> set[int]:
    """Before which words a column begins: before numbers where there are any."""
    if not layout.column_gap_em or len(words) < 2:
        return set()
    starts = [at for at in range(1, len(words)) if words[at][:1].isdigit()] or list(range(1, len(words)))
    return {dice.choice(starts) for _ in range(dice.randint(1, 2))}


def _box_of(glyphs: list[Placed]) -> Box:
    return Box(
        min(glyph.x for glyph in glyphs),
        min(glyph.y for glyph in glyphs),
        max(glyph.x + glyph.ink.shape[1] for glyph in glyphs),
        max(glyph.y + glyph.ink.shape[0] for glyph in glyphs),
    )


def _paste(canvas: np.ndarray, glyphs: list[Placed], x: int, y: int) -> None:
    """Adds glyphs whose line begins at (x, y); what lies outside the canvas is cut off."""
    height, width = canvas.shape
    for ink, left, top in glyphs:
        left, top = left + x, top + y
        right, bottom = left + ink.shape[1], top + ink.shape[0]
        if left < 0 or top < 0 or right > width or bottom > height:
            if right <= 0 or bottom <= 0 or left >= width or top >= height:
                continue
            ink = ink[max(-top, 0) : height - top, max(-left, 0) : width - left]
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, width), min(bottom, height)
        target = canvas[top:bottom, left:right]
        np.maximum(target, ink, out=target)


def _scanned(ink: np.ndarray) -> Box | None:
    """The edges of what is darker than a trace; None for an empty mask."""
    rows = np.flatnonzero(ink.max(axis=1) > 48)
    columns = np.flatnonzero(ink.max(axis=0) > 48)
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _margins(layout: Layout, inked: Box, dice: Random) -> Box:
    """Px of paper left on each side of the ink; negative: so much is cut off."""
    em, crop = layout.master_px, layout.crop
    if crop == "cut":  # into the outermost marks, which stay recognisable: they are 0.11 em high or more
        top, bottom = -dice.uniform(0, 0.055), -dice.uniform(0, 0.04)
    elif crop == "line-box":  # a box of the font's own height, whatever marks stand out of it
        top = max(-0.055, inked.top / em + dice.uniform(0.78, 1.12))
        bottom = max(-0.04, dice.uniform(0.18, 0.36) - inked.bottom / em)
    elif crop == "capitals":  # the boxes of many PDFs: of marks cut away only the words tell
        top = inked.top / em + dice.uniform(0.72, 0.86)
        bottom = max(-0.04, dice.uniform(0.16, 0.3) - inked.bottom / em)
    elif crop == "loose":
        top, bottom = dice.uniform(0.05, 0.55), dice.uniform(0.05, 0.55)
    elif crop == "wide":
        top, bottom = dice.uniform(0.1, 0.9), dice.uniform(0.1, 0.9)
    else:
        top, bottom = dice.uniform(-0.03, 0.16), dice.uniform(-0.03, 0.16)
    if inked.bottom - inked.top < 0.45 * em:  # a dash or a dot alone is told by its place in the line
        top = max(top, inked.top / em + dice.uniform(0.7, 0.95))
        bottom = max(bottom, dice.uniform(0.1, 0.3) - inked.bottom / em)
    before, after = dice.uniform(-0.02, 0.25), dice.uniform(-0.02, 0.25)
    if crop == "wide" or dice.random() < 0.08:
        before, after = dice.uniform(0, 1.5), dice.uniform(0, 1.5)
    if inked.right - inked.left < 0.2 * em:
        before, after = max(before, 0.02), max(after, 0.02)
    return Box(before * em, top * em, after * em, bottom * em)


def _cut(canvas: np.ndarray, box: Box, layout: Layout, dice: Random) -> np.ndarray:
    """Crops at fractions of a px and scales to the finished size; (h, w), or (h, w, 3) by colour."""
    height, width = canvas.shape
    left, top = max(box.left, 0), max(box.top, 0)
    right, bottom = min(box.right, width), min(box.bottom, height)
    scale = layout.em_px / layout.master_px
    columns = max(2, round((right - left) * scale * layout.stretch))
    rows = max(4, round((bottom - top) * scale))
    by = round(1 / scale)
    if not layout.subpixel and layout.stretch == 1 and abs(by * scale - 1) < 1e-6:
        x, y = round(left), round(top)
        part = canvas[y : y + rows * by, x : x + columns * by]
        return part if by == 1 else np.asarray(Image.fromarray(part).reduce(by))
    chosen = dice.choice(SHRINK_FILTERS)
    if layout.subpixel:
        wide = Image.fromarray(canvas).resize(
            (3 * columns, rows), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
        return filtered(np.asarray(wide))
    return np.asarray(Image.fromarray(canvas).resize((columns, rows), chosen, box=(left, top, right, bottom)))
