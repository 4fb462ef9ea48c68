"""Posters, covers, menus and shop signs: outlines, shadows, gradients on coloured and busy grounds."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageDraw

from vocr_cli.core.synth.effects.photo import smoothed
from vocr_cli.core.synth.effects.textures import PATTERNS, cloud, pattern
from vocr_cli.core.synth.scenes import Scene

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def colour_of(level: float, saturation: float, dice: Random, channels: int) -> np.ndarray:
    """(c,) float32: a colour of that luminance 0..255; saturation as the spread of a channel in levels."""
    if channels == 1:
        return np.array([level], np.float32)
    tint = np.array([dice.gauss(0, saturation) for _ in range(3)], np.float32)
    return np.clip(level + tint - tint @ _LUMINANCE, 0, 255)


def contrasting(level: float, dice: Random, least: float = 85) -> float:
    """A luminance that differs from `level` by `least` or more."""
    darker, lighter = max(0.0, level - least), max(0.0, 255 - level - least)
    if dice.random() * (darker + lighter) < darker:
        return dice.uniform(0, darker)
    return dice.uniform(255 - lighter, 255)


def poster(ink: np.ndarray, scene: Scene, dice: Random, channels: int) -> np.ndarray:
    """Letters with what surrounds them.

    Args:
        ink: (h, w) uint8.
        scene: A sign's.
        dice: Where chance comes from.
        channels: 1 or 3.

    Returns:
        (h, w, c) float32 levels.
    """
    cover = ink.astype(np.float32) / 255
    level = dice.choice((dice.uniform(0, 90), dice.uniform(140, 255), dice.uniform(0, 255)))
    saturation = dice.choice((5, 35, 70))
    pixels, rough = _ground(cover.shape, level, saturation, scene, dice, channels)
    fill_level = contrasting(level, dice, 85 + rough)
    fill = colour_of(fill_level, dice.choice((3, 30, 60)), dice, channels)
    chance = scene.chance
    heavy = cover.shape[0] >= 24 and float(cover.mean()) > 0.08  # hairlines take no outline
    if chance(dice, 0.35):
        away = (
            dice.choice((-1, 1)) * dice.randint(1, 1 + cover.shape[0] // 18),
            dice.randint(0, 1 + cover.shape[0] // 18),
        )
        shade = np.roll(cover, (away[1], away[0]), axis=(0, 1)) * np.float32(dice.uniform(0.3, 1))
        shade = smoothed(shade, dice.uniform(0.5, 1.6)) if dice.random() < 0.5 else shade
        dark = colour_of(
            dice.uniform(0, 70) if fill_level > 80 else dice.uniform(150, 255), 10, dice, channels
        )
        if abs(float(dark.mean()) - fill_level) > 70:
            pixels = pixels + shade[:, :, None] * (dark - pixels)
    hollow = heavy and chance(dice, 0.06)
    if heavy and (hollow or chance(dice, 0.3)):
        rim = _grown(cover, 1 if cover.shape[0] < 36 else dice.randint(1, 2))
        edge = contrasting(level if hollow else fill_level, dice, 100)
        pixels = pixels + rim[:, :, None] * (colour_of(edge, dice.choice((3, 40)), dice, channels) - pixels)
        if hollow:
            fill = colour_of(level, saturation, dice, channels)
    if chance(dice, 0.12) and not hollow:  # a gradient from top to bottom
        other = colour_of(contrasting(level, dice, 85 + rough), 40, dice, channels)
        if (float(other.mean()) > level) == (fill_level > level):
            way = np.linspace(0, 1, cover.shape[0], dtype=np.float32)[:, None, None]
            return pixels + cover[:, :, None] * (fill + way * (other - fill) - pixels)
    if chance(dice, 0.08):  # worn paint
        cover = cover * np.clip(1.2 - np.abs(cloud(cover.shape, dice.choice((2, 4, 8)), dice)) * 0.5, 0.25, 1)
    return pixels + cover[:, :, None] * (fill - pixels)


def _grown(cover: np.ndarray, rounds: int) -> np.ndarray:
    """The letters and a rim of `rounds` px around them."""
    for _ in range(rounds):
        grown = cover.copy()
        np.maximum(grown[1:], cover[:-1], out=grown[1:])
        np.maximum(grown[:-1], cover[1:], out=grown[:-1])
        wide = grown.copy()
        np.maximum(wide[:, 1:], grown[:, :-1], out=wide[:, 1:])
        np.maximum(wide[:, :-1], grown[:, 1:], out=wide[:, :-1])
        cover = wide
    return cover


def _ground(
    shape: tuple[int, int], level: float, saturation: float, scene: Scene, dice: Random, channels: int
) -> tuple[np.ndarray, float]:
    """(h, w, c) float32, and by how many levels it strays from `level`."""
    h, w = shape
    base = colour_of(level, saturation, dice, channels)
    pixels = np.broadcast_to(base, (h, w, channels)).astype(np.float32)
    kind = dice.random()
    if not scene.chance(dice, 0.65):
        return pixels, 0.0
    if kind < 0.3:  # a gradient
        other = colour_of(min(255.0, max(0.0, level + dice.uniform(-45, 45))), saturation, dice, channels)
        along = np.linspace(0, 1, w, dtype=np.float32)[None, :, None]
        return pixels + along * (other - pixels), 20.0
    if kind < 0.6:
        texture = pattern(dice.choice(PATTERNS), shape, dice) * np.float32(dice.uniform(4, 22))
        return pixels + texture[:, :, None], 15.0
    if kind < 0.8:
        return pixels + cloud(shape, dice.choice((4, 16, 32, 64)), dice)[:, :, None] * np.float32(
            dice.uniform(5, 20)
        ), 15.0
    return _busy(pixels, level, dice), 25.0


def _busy(pixels: np.ndarray, level: float, dice: Random) -> np.ndarray:
    """Shapes as of a picture behind the text, within 50 levels of the ground; drawn small and scaled up."""
    h, w, channels = pixels.shape
    small = Image.new("RGB" if channels == 3 else "L", (max(2, w // 3), max(2, h // 3)), _ink(pixels[0, 0]))
    draw = ImageDraw.Draw(small)
    for _ in range(dice.randint(4, 14)):
        x, y = dice.uniform(0, small.width), dice.uniform(0, small.height)
        size = dice.uniform(0.2, 1.5) * small.height
        near = min(255.0, max(0.0, level + dice.uniform(-50, 50)))
        colour = _ink(colour_of(near, 40, dice, channels))
        if dice.random() < 0.6:
            draw.ellipse((x, y, x + size * dice.uniform(0.4, 3), y + size), fill=colour)
        else:
            draw.polygon([(x + dice.gauss(0, size), y + dice.gauss(0, size)) for _ in range(3)], fill=colour)
    values = np.asarray(small.resize((w, h), Image.Resampling.BILINEAR), dtype=np.float32)
    return values if channels == 3 else values[:, :, None]


def _ink(colour: np.ndarray) -> tuple[int, ...] | int:
    levels = tuple(int(value) for value in np.clip(colour, 0, 255))
    return levels if len(levels) == 3 else levels[0]
