"""Turns a mask of ink into an image as PDFs, screens, scanners, printers, phones and signs give it.

Each scene is a set of ranges; `strength` 0..1 scales how often and how much. Legend: h, w px; c 1 or 3.
Most lines are grey with a tint: they stay (h, w) until the last step, which takes a third of the time.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image

from vocr_cli.core.synth.effects.overlays import laid, layers, marked, stamped
from vocr_cli.core.synth.effects.photo import (
    blurred,
    image_of,
    jpeg,
    jpeg_probability,
    lit,
    noisy,
    resampled,
    smoothed,
)
from vocr_cli.core.synth.effects.prints import printed
from vocr_cli.core.synth.effects.signs import contrasting, poster
from vocr_cli.core.synth.effects.textures import cloud, pattern
from vocr_cli.core.synth.scenes import Scene

_SPREAD = {"digital": 8, "screen": 8, "scan": 5, "copy": 3, "thermal": 5, "matrix": 5, "photo": 13}
_LUMINANCE = (0.299, 0.587, 0.114)


class Tones(NamedTuple):
    """Grey levels of paper and ink, and what each colour differs from them."""

    paper: float
    ink: float
    paper_tint: tuple[float, float, float]
    ink_tint: tuple[float, float, float]


def degrade(ink: np.ndarray, scene: Scene, dice: Random, channels: int, em_px: float = 24.0) -> Image.Image:
    """The finished image.

    Args:
        ink: (h, w) or, as sampled by the colours of a screen, (h, w, 3) uint8, 0 paper to 255 full ink.
        scene: What happened to it.
        dice: Where chance comes from.
        channels: 1: grey (mode L), 3: colour (mode RGB).
        em_px: Font size of the ink: small print is not made much smaller.
    """
    if scene.kind == "clean":
        image = Image.fromarray(255 - ink)
        return image if channels == 1 else image.convert("RGB")
    if scene.kind == "sign":
        pixels = poster(ink, scene, dice, channels)
        return _camera(pixels, scene, dice, None, channels, em_px)
    tones = _tones(scene, dice)
    if ink.ndim == 3:
        if channels == 3:
            paper, colour = (
                np.array([level + part for part in tint], np.float32)
                for level, tint in ((tones.paper, tones.paper_tint), (tones.ink, tones.ink_tint))
            )
            pixels = paper + ink.astype(np.float32) * ((colour - paper) / 255)
            return _camera(pixels, scene, dice, None, channels, em_px)
        ink = ink.mean(axis=2).astype(np.uint8)
    cover = marked(printed(ink, scene, dice), scene, dice).astype(np.float32)
    pixels = np.float32(tones.paper) + cover * np.float32((tones.ink - tones.paper) / 255)
    pixels = _grounded(pixels, scene, dice, abs(tones.paper - tones.ink))
    over = layers(pixels.shape[:2], scene, dice)
    if over:
        pixels = _coloured(pixels, tones, channels)
        for layer in over:
            pixels = laid(pixels, layer)
        return _camera(pixels, scene, dice, None, channels, em_px)
    return _camera(pixels, scene, dice, tones, channels, em_px)


def _camera(
    pixels: np.ndarray, scene: Scene, dice: Random, tones: Tones | None, channels: int, em_px: float
) -> Image.Image:
    """From light to compression; `tones` colour what is still grey."""
    pixels = lit(pixels, scene, dice)
    pixels = blurred(pixels, scene, dice)
    full_px = pixels.shape[0]
    pixels = resampled(pixels, scene, dice, em_px)
    fine = min(1.0, em_px * pixels.shape[0] / full_px / 20)  # small print stands less
    pixels = noisy(pixels, scene, dice, fine)
    if pixels.ndim == 3 and scene.kind in ("photo", "sign") and scene.chance(dice, 0.3):  # white balance
        pixels = pixels * np.array([dice.uniform(0.85, 1.1) for _ in range(pixels.shape[2])], np.float32)
    image = image_of(pixels)
    quality = 0
    if scene.chance(dice, jpeg_probability(scene)):
        quality = dice.randint(round(18 + 60 * (1 - fine)), 92)
    if image.mode == "L":
        image = jpeg(image, quality) if quality else image
        return image if channels == 1 else _tinted(image, tones)
    if quality and dice.random() < 0.15:  # sent on, and compressed once more
        image = jpeg(image, dice.randint(40, 95))
    return jpeg(image, quality) if quality else image


def _tinted(image: Image.Image, tones: Tones | None) -> Image.Image:
    """A grey image in the colours of its paper and its ink."""
    if tones is None or not any(tones.paper_tint + tones.ink_tint):
        return image.convert("RGB")
    span = tones.paper - tones.ink or 1.0
    levels = np.asarray(image, dtype=np.float32)
    colours = np.empty((*levels.shape, 3), np.uint8)
    for band, (paper, ink) in enumerate(zip(tones.paper_tint, tones.ink_tint, strict=True)):
        slope = 1 + (paper - ink) / span
        start = ink - (paper - ink) / span * tones.ink
        colours[:, :, band] = np.clip(levels * np.float32(slope) + np.float32(start), 0, 255)
    return Image.fromarray(colours)


def _coloured(pixels: np.ndarray, tones: Tones, channels: int) -> np.ndarray:
    """(h, w) levels to (h, w, c) in the colours of paper and ink."""
    if channels == 1:
        return pixels[:, :, None]
    share = (pixels[:, :, None] - np.float32(tones.ink)) / np.float32(tones.paper - tones.ink or 1.0)
    paper, ink = np.array(tones.paper_tint, np.float32), np.array(tones.ink_tint, np.float32)
    return pixels[:, :, None] + ink + share * (paper - ink)


def _levels(scene: Scene, dice: Random) -> tuple[float, float]:
    """Grey levels of paper and ink."""
    kind = scene.kind
    if kind == "digital":
        return (255.0 if dice.random() < 0.85 else dice.uniform(225, 255)), max(0.0, dice.gauss(10, 30))
    if kind == "screen":
        return dice.uniform(235, 255), abs(dice.gauss(0, 45))
    if kind in ("scan", "copy", "typed"):
        return dice.uniform(205, 255), dice.uniform(0, 90)
    if kind in ("thermal", "matrix"):
        paper = dice.uniform(140, 250)
        return paper, paper - dice.uniform(80, min(200, paper))
    if kind == "hand":
        paper = dice.uniform(150, 255)
        return paper, paper * dice.uniform(0.1, 0.55)
    paper = dice.uniform(95, 235)
    return paper, paper - dice.uniform(0.4, 0.92) * paper


def _tones(scene: Scene, dice: Random) -> Tones:
    """What paper and ink look like; now and then light on dark."""
    tinted = scene.kind == "coloured" or (scene.kind in ("digital", "screen") and scene.chance(dice, 0.1))
    if tinted:
        paper = dice.uniform(0, 255)
        ink = contrasting(paper, dice, 70)
    else:
        paper, ink = _levels(scene, dice)
    if scene.chance(dice, 0.03):
        paper, ink = ink, paper
    spread = 60 if tinted else _SPREAD.get(scene.kind, 10)
    if not tinted and dice.random() < (0.75 if scene.kind in ("digital", "screen") else 0.3):
        spread = 0
    pen = scene.kind == "hand" and dice.random() < 0.6
    return Tones(paper, ink, _tint(dice, spread), _tint(dice, spread, blue=45.0 if pen else 0.0))


def _tint(dice: Random, spread: float, blue: float = 0.0) -> tuple[float, float, float]:
    """A tint that leaves the luminance where it was; `blue` turns it into that of a ball pen."""
    if not spread and not blue:
        return 0.0, 0.0, 0.0
    red, green, third = (
        dice.gauss(0, spread) - 0.6 * blue,
        dice.gauss(0, spread) - 0.2 * blue,
        dice.gauss(0, spread) + blue,
    )
    grey = red * _LUMINANCE[0] + green * _LUMINANCE[1] + third * _LUMINANCE[2]
    return red - grey, green - grey, third - grey


def _grounded(pixels: np.ndarray, scene: Scene, dice: Random, contrast: float) -> np.ndarray:
    """Paper grain, stains, ruled paper, and the patterns of certificates behind the text."""
    kind, shape = scene.kind, pixels.shape
    chance = scene.chance
    if kind in ("digital", "screen"):
        if chance(dice, 0.02):  # a watermark
            pixels = pixels - stamped(shape[0], shape[1], dice) * np.float32(
                dice.uniform(0.05, 0.35) * contrast
            )
        return pixels
    if chance(dice, 0.4):
        pixels = pixels + cloud(shape, dice.choice((2, 2, 4)), dice) * np.float32(dice.uniform(1, 7))
    if chance(dice, 0.3):
        pixels = pixels + cloud(shape, dice.choice((8, 16, 32, 64)), dice) * np.float32(dice.uniform(2, 14))
    if (kind == "coloured" and chance(dice, 0.6)) or chance(dice, 0.02):
        name = dice.choice(("guilloche", "guilloche", "halftone", "stripes", "weave"))
        pixels = pixels + pattern(name, shape, dice) * np.float32(dice.uniform(0.04, 0.2) * contrast)
    if kind == "hand" and chance(dice, 0.4):
        pixels = _ruled(pixels, dice, contrast)
    if kind in ("copy", "scan") and chance(dice, 0.04):  # the dark edge of a book
        edge = np.linspace(dice.choice((0, 1)), 0.5, shape[1], dtype=np.float32)
        pixels = pixels * (1 - np.float32(dice.uniform(0.1, 0.4)) * np.abs(edge))
    return pixels


def _ruled(pixels: np.ndarray, dice: Random, contrast: float) -> np.ndarray:
    """Ruled or squared paper."""
    h, w = pixels.shape
    lines = np.zeros((h, w), np.float32)
    pitch, depth = dice.uniform(0.22, 1.1) * h, dice.uniform(0.1, 0.45) * contrast
    rows = np.arange(dice.uniform(0, pitch), h, max(pitch, 5)).astype(int)
    lines[rows] = depth
    if dice.random() < 0.4:
        lines[:, np.arange(dice.uniform(0, pitch), w, max(pitch, 5)).astype(int)] = depth
    return pixels - (smoothed(lines, 0.5) if dice.random() < 0.5 else lines)
