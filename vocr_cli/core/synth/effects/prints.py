"""What printers, copiers and typewriters make of ink: dots, bands, gaps, spread. (h, w) uint8 in and out."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image

from vocr_cli.core.synth.effects.textures import cloud, noise, pattern
from vocr_cli.core.synth.scenes import Scene


def printed(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """The ink as the scene's device brings it to paper; dot-matrix print comes back larger."""
    darkest = int(ink.max())
    if darkest < 190 and scene.kind not in (
        "digital",
        "screen",
    ):  # hairlines: what follows must not lose them
        ink = np.minimum(ink * np.float32(min(190 / max(darkest, 1), 1.7)), 255).astype(np.uint8)
    maker = _MAKERS.get(scene.kind)
    if maker is not None:
        ink = maker(ink, scene, dice)
    if scene.kind not in ("matrix", "hand") and scene.chance(dice, 0.25):
        ink = np.asarray(Image.fromarray(ink).point(_power_curve(dice.randint(-6, 6))))
    if scene.kind in ("scan", "copy", "thermal", "photo", "typed") and scene.chance(dice, 0.2):
        ink = _faded(ink, dice, dice.uniform(0.1, 0.5))
    if scene.kind not in ("matrix", "hand", "typed") and scene.chance(
        dice, 0.03
    ):  # printed as a screen of dots
        dots = np.clip(pattern("halftone", ink.shape, dice), 0, 1) * np.float32(dice.uniform(0.2, 0.6))
        ink = (ink * (1 - dots)).astype(np.uint8)
    if scene.kind in ("scan", "photo") and scene.chance(dice, 0.05):
        share = np.float32(dice.uniform(0.03, 0.2))  # bleed-through from the back
        ink = np.maximum(ink, (ink[:, ::-1] * share).astype(np.uint8))
    return ink


@lru_cache(maxsize=64)
def _power_curve(twelfths: int) -> list[int]:
    """Levels 0..255 to the power e^(twelfths / 12): below 0 fatter strokes, above thinner."""
    return [round(255 * (level / 255) ** math.exp(twelfths / 12)) for level in range(256)]


@lru_cache(maxsize=256)
def _steep_curve(middle: int, softness: int) -> list[int]:
    """What is darker than `middle` becomes ink; softness in levels."""
    return [
        round(255 / (1 + math.exp(max(-30.0, min(30.0, (middle - level) / softness)))))
        for level in range(256)
    ]


def _hardened(ink: np.ndarray, middle: float, softness: float) -> np.ndarray:
    return np.asarray(
        Image.fromarray(ink).point(_steep_curve(5 * round(middle / 5), max(1, round(softness))))
    )


def _faded(ink: np.ndarray, dice: Random, depth: float) -> np.ndarray:
    """Ink lost in blots, by at most `depth`."""
    loss = np.abs(cloud(ink.shape[:2], dice.choice((4, 8, 16, 64)), dice)) * np.float32(depth)
    return (ink * np.clip(1 - loss, 1 - depth, 1)).astype(np.uint8)


def _thermal(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """A heated head: dots on or off, rows that were fed too fast, elements that are dead."""
    h, w = ink.shape
    if scene.chance(dice, 0.6):
        ink = _hardened(ink, dice.uniform(70, 140), dice.uniform(4, 30))
    gain = np.ones((h, 1), np.float32)
    if scene.chance(dice, 0.35):  # bands of the feed
        period, depth = dice.uniform(2, 9), dice.uniform(0.1, 0.5)
        gain -= np.float32(depth) * (
            np.sin(np.arange(h, dtype=np.float32) * np.float32(6.28 / period))[:, None] > 0.4
        )
    if scene.chance(dice, 0.2):  # one row was skipped
        gain[dice.randrange(h)] *= dice.uniform(0, 0.5)
    across = np.ones(w, np.float32)
    if scene.chance(dice, 0.25):  # the head is worn, or pressed unevenly
        across -= np.float32(dice.uniform(0, 0.5)) * np.linspace(
            dice.choice((0, 1)), 0.5, w, dtype=np.float32
        )
    if scene.chance(dice, 0.2):  # dead elements leave a white line along the paper
        for _ in range(dice.randint(1, 3)):
            across[dice.randrange(w)] = dice.uniform(0, 0.4)
    ink = (ink * (gain * across)).astype(np.uint8)
    return _faded(ink, dice, dice.uniform(0.2, 0.7)) if scene.chance(dice, 0.35) else ink


@lru_cache(maxsize=64)
def _dot(pitch: int, tenths: int) -> np.ndarray:
    """(pitch, pitch) float32: one pin's dot, its diameter in tenths of the pitch."""
    at = (np.arange(pitch, dtype=np.float32) - (pitch - 1) / 2) / pitch
    away = np.sqrt(at[:, None] ** 2 + at[None, :] ** 2)
    return np.clip((tenths / 20 - away) * pitch + 0.5, 0, 1)


def _matrix(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """Each pixel struck by a pin: dots with gaps, worn ribbons, weak pins."""
    h, w = ink.shape
    # 9 pins leave dots apart, 24 pins overlap.
    pitch = 3 if h < 26 else 2
    tenths = dice.randint(8, 13) if h < 26 else dice.randint(10, 15)
    strike = (ink > 100).astype(np.float32)
    if scene.chance(dice, 0.6):  # the ribbon and the pins are uneven
        strike *= np.clip(1 - np.abs(noise((h, w), dice)) * np.float32(dice.uniform(0.05, 0.3)), 0.2, 1)
    if scene.chance(dice, 0.3):
        strike[dice.randrange(h)] *= dice.uniform(0.1, 0.6)
    if scene.chance(dice, 0.4):
        strike *= 1 - np.float32(dice.uniform(0.1, 0.6)) * np.linspace(
            dice.choice((0, 1)), 0.5, w, dtype=np.float32
        )
    large = np.repeat(np.repeat(strike, pitch, axis=0), pitch, axis=1)
    # Dots wider than the pitch reach their neighbours: struck twice, half a pitch apart.
    dots = large * np.tile(_dot(pitch, tenths), (h, w))
    if tenths > 10:
        dots[:, 1:] = np.maximum(dots[:, 1:], 0.8 * dots[:, :-1])
    image = Image.fromarray((dots * 255).astype(np.uint8))
    share = dice.uniform(0.55, 1.0)
    if h * pitch * share > 64:
        share = 64 / (h * pitch)
    return np.asarray(
        image.resize((round(w * pitch * share), max(8, round(h * pitch * share))), Image.Resampling.BOX)
    )


def _copied(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """Photocopies of photocopies, or a fax of 98 lines per inch."""
    h, w = ink.shape
    if h >= 26 and scene.chance(dice, 0.3):
        rows = ink[: h - h % 2].reshape(h // 2, 2, w).mean(axis=1, dtype=np.float32)
        hard = (rows + noise(rows.shape, dice) * np.float32(12) > dice.uniform(55, 115)) * np.uint8(255)
        return np.repeat(hard, 2, axis=0)
    grain = cloud((h, w), 2, dice) * np.float32(dice.uniform(5, 45)) + cloud((h, w), 16, dice) * np.float32(
        15
    )
    soft = ink.astype(np.float32)
    soft[:, 1:] = (soft[:, 1:] + soft[:, :-1]) / 2
    rough = np.clip(soft + grain, 0, 255).astype(np.uint8)
    return _hardened(rough, dice.uniform(90, 150), dice.uniform(6, 30))


def _typed(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """The cloth of a ribbon, hammered through unevenly."""
    h, w = ink.shape
    if scene.chance(dice, 0.6):
        weave = np.clip(1 - np.float32(dice.uniform(0.1, 0.5)) * np.abs(pattern("weave", (h, w), dice)), 0, 1)
        ink = (ink * weave).astype(np.uint8)
    return _faded(ink, dice, dice.uniform(0.1, 0.6)) if scene.chance(dice, 0.4) else ink


def _penned(ink: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """A pen that presses more and less: strokes grow and shrink along the line."""
    h, w = ink.shape
    if scene.chance(dice, 0.7):
        pressure = np.float32(255) * np.float32(dice.uniform(0.05, 0.25)) * cloud((h, w), 16, dice)
        soft = ink.astype(np.float32)
        soft[:, 1:-1] = (soft[:, :-2] + 2 * soft[:, 1:-1] + soft[:, 2:]) / 4
        ink = np.clip((soft + pressure * (soft > 20) - 40) * np.float32(1.8), 0, 255).astype(np.uint8)
    return _faded(ink, dice, dice.uniform(0.1, 0.5)) if scene.chance(dice, 0.4) else ink


_MAKERS: dict[str, Callable[[np.ndarray, Scene, Random], np.ndarray]] = {
    "thermal": _thermal,
    "matrix": _matrix,
    "copy": _copied,
    "typed": _typed,
    "hand": _penned,
}
