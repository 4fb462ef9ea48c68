"""What lies over or around text without being text: rules, boxes, pens, specks, stamps, highlighters."""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from vocr_cli.core.synth.scenes import Scene


class Layer(NamedTuple):
    """Colour laid over the finished text."""

    mask: np.ndarray
    """(h, w) float32, 0..1."""
    colour: tuple[float, float, float]
    multiplies: bool
    """Whether it darkens what lies below, as inks and markers do, or covers it."""


def marked(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """Rules, boxes, table lines, strokes and specks in the colour of the text; (h, w) uint8."""
    if scene.kind in ("clean", "sign"):
        return ink
    chance = scene.chance
    h, w = ink.shape
    marks = ink.copy()
    if chance(dice, 0.06):  # a ruled or dotted line near the bottom, or the rule of a table at the top
        y = (
            dice.randrange(max(1, int(h * 0.88)), h)
            if dice.random() < 0.7
            else dice.randrange(max(1, h // 16))
        )
        step = dice.randint(2, 6) if dice.random() < 0.5 else 1
        marks[y : y + 1, ::step] = np.maximum(marks[y : y + 1, ::step], dice.randint(100, 255))
    if chance(dice, 0.06):  # sides of a box or table cell
        level, thick = dice.randint(100, 255), 1 if h < 40 else dice.randint(1, 2)
        for side in range(4) if dice.random() < 0.3 else (dice.randrange(4),):
            edge = (marks[:thick], marks[h - thick :], marks[:, :thick], marks[:, w - thick :])[side]
            np.maximum(edge, level, out=edge)
    if chance(dice, 0.08):  # the rule of a table before, behind or between words
        empty = np.flatnonzero(ink.max(axis=0) < 30)
        if len(empty):
            places = [empty[0], empty[-1]]
            widest = max(np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1), key=len)
            if len(widest) >= 0.2 * h:  # no gap between letters, where it would be one of them
                places.append(dice.choice(widest))
            marks[:, dice.choice(places)] = dice.randint(100, 255)
    if chance(dice, 0.02) and scene.kind != "hand":
        np.maximum(marks, _pen(h, w, dice, dice.randint(60, 200)), out=marks)
    if chance(dice, 0.08 if scene.kind in ("scan", "copy") else 0.03):
        count = dice.randint(1, 25)
        for _ in range(count):
            marks[dice.randrange(h), dice.randrange(w)] = dice.randint(60, 255)
    return marks


def layers(shape: tuple[int, int], scene: Scene, dice: Random) -> list[Layer]:
    """Stamps, signatures and highlighters on pages, seldom."""
    if scene.kind not in ("digital", "scan", "copy", "photo", "thermal", "coloured", "hand"):
        return []
    h, w = shape
    found = []
    if scene.chance(dice, 0.02):
        colour = dice.choice(
            ((255, 245, 90), (150, 255, 130), (255, 170, 210), (255, 205, 110), (140, 220, 255))
        )
        left, right = sorted((dice.randrange(w), dice.randrange(w)))
        mask = np.zeros((h, w), np.float32)
        mask[dice.randint(0, h // 5) : h - dice.randint(0, h // 5), left : right + 1] = dice.uniform(0.5, 1)
        found.append(Layer(mask, colour, True))
    if (scene.kind not in ("digital", "thermal") and scene.chance(dice, 0.05)) or scene.chance(dice, 0.01):
        red = (dice.uniform(170, 235), dice.uniform(20, 80), dice.uniform(20, 90))
        found.append(Layer(stamped(h, w, dice), red, True))
    if scene.chance(dice, 0.015):
        pen = _pen(h, w, dice, 255).astype(np.float32) / 255
        blue = (dice.uniform(10, 70), dice.uniform(20, 90), dice.uniform(130, 210))
        found.append(Layer(pen * np.float32(dice.uniform(0.5, 0.95)), blue, True))
    return found


def laid(pixels: np.ndarray, layer: Layer) -> np.ndarray:
    """A layer over (h, w, c) float32 pixels."""
    c = pixels.shape[2]
    red, green, blue = layer.colour
    colour = np.array(
        [red, green, blue] if c == 3 else [0.299 * red + 0.587 * green + 0.114 * blue], np.float32
    )
    mask = layer.mask[:, :, None]
    below = pixels * (colour / 255) if layer.multiplies else colour
    return pixels + mask * (below - pixels)


def _pen(h: int, w: int, dice: Random, level: int) -> np.ndarray:
    """A stroke as of a signature or a correction through part of the line; (h, w) uint8."""
    sheet = Image.new("L", (w, h))
    x, step = dice.uniform(0, w), dice.uniform(0.3, 1.2) * h
    points = []
    for at in range(dice.randint(3, 9)):
        points += [(x + step * at + dice.gauss(0, 0.5 * h), h / 2 + dice.gauss(0, 0.6 * h))]
    smooth = [_curve(points, at / 8) for at in range(8 * (len(points) - 1))]
    ImageDraw.Draw(sheet).line(smooth, fill=level, width=dice.randint(1, max(1, h // 18)))
    return np.asarray(sheet)


def _curve(points: list[tuple[float, float]], at: float) -> tuple[float, float]:
    """A point of the curve through `points` (Catmull and Rom, 1974)."""
    first = min(int(at), len(points) - 2)
    t = at - first
    p0, p1 = points[max(first - 1, 0)], points[first]
    p2, p3 = points[first + 1], points[min(first + 2, len(points) - 1)]
    return tuple(  # type: ignore[return-value]
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
    )


@lru_cache(maxsize=6)
def _stamp(number: int) -> np.ndarray:
    """(240, 240) float32: a round seal with two rings, a star and strokes in place of lettering, or a box."""
    dice = Random(number)
    sheet = Image.new("L", (240, 240))
    draw = ImageDraw.Draw(sheet)
    if number == 5:
        draw.rectangle((8, 60, 232, 180), outline=255, width=7)
        for _ in range(9):
            x = dice.randint(25, 200)
            draw.line((x, 95, x + dice.randint(-12, 12), 145), fill=255, width=8)
        return np.asarray(sheet, np.float32) / 255
    draw.ellipse((3, 3, 237, 237), outline=255, width=6)
    draw.ellipse((18, 18, 222, 222), outline=255, width=2)
    draw.ellipse((62, 62, 178, 178), outline=255, width=2)
    tips = [
        (120 + (26 if turn % 2 == 0 else 10) * math.sin(math.pi * turn / 5),
         120 - (26 if turn % 2 == 0 else 10) * math.cos(math.pi * turn / 5))
        for turn in range(10)
    ]  # fmt: skip
    draw.polygon(tips, fill=255)
    for letter in range(34):  # strokes around, as lettering looks
        angle = 2 * math.pi * letter / 34 + 0.3 * number
        for _ in range(2):
            inner, outer, off = dice.uniform(66, 78), dice.uniform(88, 98), dice.uniform(-0.06, 0.06)
            draw.line(
                (120 + inner * math.sin(angle), 120 - inner * math.cos(angle),
                 120 + outer * math.sin(angle + off), 120 - outer * math.cos(angle + off)), fill=255, width=4,
            )  # fmt: skip
    return np.asarray(sheet, np.float32) / 255


def stamped(h: int, w: int, dice: Random) -> np.ndarray:
    """Part of a seal over the line; (h, w) float32."""
    stamp = _stamp(dice.randrange(6))
    size = round(h * dice.uniform(2.5, 6))
    scaled = Image.fromarray(stamp).resize((size, size), Image.Resampling.BILINEAR)
    x, y = dice.randint(-size // 2, max(0, w - size // 2)), dice.randint(h - size, 0)
    mask = np.zeros((h, w), np.float32)
    part = np.asarray(scaled)[-y : -y + h, max(-x, 0) : max(-x, 0) + w - max(x, 0)]
    mask[: part.shape[0], max(x, 0) : max(x, 0) + part.shape[1]] = part
    return mask * np.float32(dice.uniform(0.25, 0.85))
