"""Draws a text line as a mask of ink, the way pages set it. Sizes are in px; 1 em is the font size.

Text is drawn either at its final size, hinted as screens do, or two to three times larger and scaled down,
as PDF viewers and scanners place glyphs at fractions of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.synth.fonts import FontFace

Rng = np.random.Generator
SHRINK_FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


@dataclass(frozen=True)
class Layout:
    """How a line is set, before anything spoils it.

    Attributes:
        em_px: Font size in the finished image.
        oversample: The line is drawn this many times larger and scaled down; 1: hinted at its own size.
        bilevel: Pixels are on or off, fully hinted, as older screens draw small text (oversample 1 only).
        subpixel: Neighbouring pixels share their ink along the line, as ClearType looks in grey.
        word_gap: Width of a space over the font's own.
        letter_gap_em: Extra space after every character.
        stretch: Horizontal scale; below 1 condensed.
        slant: Horizontal shift per px of height.
        angle_rad: Rotation.
        curve_em: Height of the arc of the baseline.
        wobble_em: How far points of the drawing stray, smoothly along the line, as a hand's letters do.
        weight_px: Strokes thickened (> 0) or thinned (< 0) by so many px of the drawing.
        perspective: Relative change of height from left to right.
        neighbours: Whether parts of the lines above and below are drawn.
        pitch_em: Distance of neighbouring baselines.
        crop: `tight`, `line-box` or `loose`.
        underline: Whether a rule runs under the text.
    """

    em_px: float = 32.0
    oversample: int = 1
    bilevel: bool = False
    subpixel: bool = False
    word_gap: float = 1.0
    letter_gap_em: float = 0.0
    stretch: float = 1.0
    slant: float = 0.0
    angle_rad: float = 0.0
    curve_em: float = 0.0
    wobble_em: float = 0.0
    weight_px: int = 0
    perspective: float = 0.0
    neighbours: bool = False
    pitch_em: float = 1.3
    crop: str = "tight"
    underline: bool = False


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


def _runs(text: str, faces: list[FontFace], rng: Rng) -> list[tuple[str, FontFace]]:
    """Words with their face: one face, or a second one of the family from some word to another."""
    words = text.split(" ")
    if len(faces) == 1 or len(words) < 3:
        return [(word, faces[0]) for word in words]
    start, stop = sorted(rng.integers(0, len(words) + 1, 2).tolist())
    return [(word, faces[1] if start <= place < stop else faces[0]) for place, word in enumerate(words)]


def _draw(
    draw: ImageDraw.ImageDraw,
    runs: list[tuple[str, FontFace]],
    x: float,
    y: int,
    size_px: int,
    layout: Layout,
) -> float:
    """Draws words from x on the baseline y; returns where they end."""
    gap = layout.letter_gap_em * size_px
    whole = layout.oversample == 1  # screens place words on whole pixels
    for place, (word, face) in enumerate(runs):
        font = _font(face.path, face.index, size_px, face.instance)
        if place:
            x += font.getlength(" ") * layout.word_gap + gap
        x = round(x) if whole else x
        if gap:
            for char in word:
                draw.text((x, y), char, fill=255, font=font, anchor="ls")
                x += font.getlength(char) + gap
        else:
            draw.text((x, y), word, fill=255, font=font, anchor="ls")
            x += font.getlength(word)
    return x


def _length(runs: list[tuple[str, FontFace]], size_px: int, layout: Layout) -> float:
    letters = sum(len(word) for word, _ in runs) + len(runs) - 1
    fonts = [_font(face.path, face.index, size_px, face.instance) for _, face in runs]
    spaces = fonts[0].getlength(" ") * layout.word_gap * (len(runs) - 1)
    words = sum(font.getlength(word) for font, (word, _) in zip(fonts, runs, strict=True))
    return words + spaces + letters * layout.letter_gap_em * size_px


def _bounds(ink: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what is darker than a trace; None for an empty mask."""
    rows = np.flatnonzero(ink.max(axis=1) > 48)
    columns = np.flatnonzero(ink.max(axis=0) > 48)
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _weigh(ink: np.ndarray, weight_px: int) -> np.ndarray:
    """Grows or shrinks strokes by whole px, alternating the sides."""
    change = np.maximum if weight_px > 0 else np.minimum
    for step in range(abs(weight_px)):
        axis = step % 2
        ink = change(ink, np.roll(ink, 1, axis=axis))
    return ink


def _warp(canvas: Image.Image, layout: Layout, size_px: int, baseline: int) -> Image.Image:
    """Rotation, slant and perspective as one projective map; the arc column by column."""
    width, height = canvas.size
    if layout.slant or layout.angle_rad or layout.perspective:
        # An output point u to the right of the middle and v below the baseline is read from the input at
        # ((u + slant v) / w, (v + tilt u) / w), w = 1 + g u. Pillow wants this divided by w's constant part.
        middle, g, tilt = width / 2, layout.perspective / width, math.tan(layout.angle_rad)
        across = (1 + g * middle, layout.slant, -g * middle**2 - layout.slant * baseline)
        down = (tilt + g * baseline, 1.0, -g * middle * baseline - tilt * middle)
        constant = 1 - g * middle
        coefficients = tuple(value / constant for value in (*across, *down, g, 0.0))
        canvas = canvas.transform(
            canvas.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
        )
    if layout.curve_em:
        x = np.arange(width)
        offset = np.rint(layout.curve_em * size_px * np.sin(math.pi * x / width)).astype(np.intp)
        rows = np.clip(np.arange(height)[:, None] + offset[None, :], 0, height - 1)
        canvas = Image.fromarray(np.asarray(canvas)[rows, x[None, :]])
    return canvas


def _wobbled(ink: np.ndarray, stray_px: float, cell_px: float, rng: Rng) -> np.ndarray:
    """Every point read from a place that strays by a smooth random field; (h, w) uint8."""
    h, w = ink.shape
    shape = max(2, round(h / cell_px)), max(2, round(w / cell_px))
    across, down = (
        np.asarray(
            Image.fromarray(rng.standard_normal(shape, dtype=np.float32) * np.float32(stray_px)).resize(
                (w, h), Image.Resampling.BICUBIC
            )
        )
        for _ in range(2)
    )
    x = np.clip(np.rint(across + np.arange(w, dtype=np.float32)), 0, w - 1).astype(np.intp)
    y = np.clip(np.rint(down + np.arange(h, dtype=np.float32)[:, None]), 0, h - 1).astype(np.intp)
    return ink[y, x]


def _crop_box(
    bounds: tuple[int, int, int, int], baseline: int, size_px: int, layout: Layout, rng: Rng
) -> tuple[float, float, float, float]:
    left, top, right, bottom = bounds
    em = size_px
    if layout.crop == "line-box":
        upper = min(top + 0.05 * em, baseline - rng.uniform(0.78, 1.12) * em)
        lower = max(bottom - 0.03 * em, baseline + rng.uniform(0.18, 0.36) * em)
    elif layout.crop == "loose":
        upper, lower = top - rng.uniform(0.05, 0.55) * em, bottom + rng.uniform(0.05, 0.55) * em
    else:
        upper, lower = top - rng.uniform(-0.04, 0.16) * em, bottom + rng.uniform(-0.04, 0.16) * em
    before, after = rng.uniform(-0.02, 0.25, 2) * em
    if rng.random() < 0.1:
        before, after = rng.uniform(0, 1.5, 2) * em
    return left - before, upper, right + after, lower


def draw_line(
    text: str, faces: list[FontFace], layout: Layout, rng: Rng, neighbour: Callable[[], str]
) -> np.ndarray | None:
    """The ink of one cropped line.

    Args:
        text: What stands in the line; single spaces only.
        faces: One face, or two of a family to mix.
        layout: How it is set.
        rng: Where chance comes from.
        neighbour: Gives text for the lines above and below.

    Returns:
        (h, w) uint8, 0 paper to 255 full ink; None when the font draws nothing.
    """
    size_px = max(8, round(layout.em_px * layout.oversample))
    runs = _runs(text, faces, rng)
    pad = round(size_px * (1.0 + abs(layout.curve_em)))
    width = math.ceil(_length(runs, size_px, layout)) + 2 * pad
    pad_y = pad + round(abs(math.tan(layout.angle_rad)) * width / 2)
    baseline = pad_y + round(1.1 * size_px)
    canvas = Image.new("L", (width, baseline + round(0.4 * size_px) + pad_y), 0)
    draw = ImageDraw.Draw(canvas)
    draw.fontmode = "1" if layout.bilevel else "L"
    end = _draw(draw, runs, pad, baseline, size_px, layout)
    if layout.wobble_em:
        cell_px = float(rng.uniform(0.3, 1.2)) * size_px
        canvas = Image.fromarray(_wobbled(np.asarray(canvas), layout.wobble_em * size_px, cell_px, rng))
    warped = layout.angle_rad or layout.curve_em or layout.slant or layout.perspective
    bounds = None if warped else _bounds(np.asarray(canvas))
    if layout.underline:
        y = baseline + round(rng.uniform(0.08, 0.2) * size_px)
        draw.line((pad, y, end, y), fill=255, width=max(1, round(size_px * rng.uniform(0.03, 0.07))))
    if warped:
        canvas = _warp(canvas, layout, size_px, baseline)
        bounds = _bounds(np.asarray(canvas))
    if bounds is None:
        return None
    if layout.neighbours:
        around = Image.new("L", canvas.size, 0)
        pen = ImageDraw.Draw(around)
        pen.fontmode = draw.fontmode
        for side in (-1, 1):
            if rng.random() < 0.8:
                other = [(word, faces[0]) for word in neighbour().split(" ")]
                y = baseline + side * round(layout.pitch_em * size_px)
                _draw(pen, other, pad - float(rng.uniform(0, 3)) * size_px, y, size_px, layout)
        around = _warp(around, layout, size_px, baseline) if warped else around
        canvas = Image.fromarray(np.maximum(np.asarray(canvas), np.asarray(around)))
    if layout.weight_px:
        canvas = Image.fromarray(_weigh(np.asarray(canvas), layout.weight_px))
    ink = _cut(canvas, _crop_box(bounds, baseline, size_px, layout, rng), layout, rng)
    if layout.subpixel:
        padded = np.pad(ink, ((0, 0), (1, 1))).astype(np.uint16)
        ink = ((padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) // 4).astype(np.uint8)
    return ink


def _cut(canvas: Image.Image, box: tuple[float, float, float, float], layout: Layout, rng: Rng) -> np.ndarray:
    """Crops at fractions of a px and scales down to the finished size."""
    left, upper, right, lower = box
    left, upper = max(left, 0), max(upper, 0)
    right, lower = min(right, canvas.width), min(lower, canvas.height)
    width = max(2, round((right - left) / layout.oversample * layout.stretch))
    height = max(4, round((lower - upper) / layout.oversample))
    if layout.oversample == 1 and layout.stretch == 1:
        x, y = round(left), round(upper)
        return np.asarray(canvas.crop((x, y, x + width, y + height)))
    chosen = SHRINK_FILTERS[int(rng.integers(len(SHRINK_FILTERS)))]
    return np.asarray(canvas.resize((width, height), chosen, box=(left, upper, right, lower)))
