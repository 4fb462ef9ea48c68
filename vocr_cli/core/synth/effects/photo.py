"""Light, lenses, sensors and compression. Pixels are float32 levels 0..255, (h, w) or (h, w, c)."""

from __future__ import annotations

import io
import math
from random import Random

import numpy as np
from PIL import Image

from vocr_cli.core.synth.effects.textures import cloud, noise
from vocr_cli.core.synth.scenes import Scene

_BLUR = {  # probability, and the largest radius in px of a line 28 px high
    "digital": (0.1, 0.6),
    "screen": (0.15, 0.6),
    "scan": (0.5, 0.9),
    "photo": (0.7, 1.3),
    "sign": (0.5, 1.1),
    "thermal": (0.5, 0.9),
}
_NOISE = {"digital": (0.05, 5), "screen": (0.08, 5), "scan": (0.4, 12), "sign": (0.5, 12)}
_JPEG = {"digital": 0.12, "screen": 0.35, "scan": 0.4, "photo": 0.6, "sign": 0.5, "hand": 0.35}


def spread(field: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A field (h, w) with the axes of the pixels that it is combined with."""
    return field if pixels.ndim == 2 else field[:, :, None]


def image_of(pixels: np.ndarray) -> Image.Image:
    """(h, w), (h, w, 1) or (h, w, 3) float to an image."""
    levels = np.clip(pixels, 0, 255).astype(np.uint8)
    return Image.fromarray(levels[:, :, 0] if levels.ndim == 3 and levels.shape[2] == 1 else levels)


def lit(pixels: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """Uneven light: a slope, shadows with edges, glare."""
    kind = scene.kind
    if kind not in ("scan", "copy", "photo", "thermal", "coloured", "sign", "hand", "matrix"):
        return pixels
    h, w = pixels.shape[:2]
    if scene.chance(dice, 0.4):
        along = np.linspace(-1, 1, w, dtype=np.float32) * np.float32(dice.gauss(0, 0.12))
        across = np.linspace(-1, 1, h, dtype=np.float32)[:, None] * np.float32(dice.gauss(0, 0.08))
        pixels = pixels * spread(np.clip(1 + along + across, 0.4, 1.4), pixels)
    if kind in ("scan", "copy"):
        return pixels
    if scene.chance(dice, 0.2):  # the shadow of a hand, a phone, a page
        angle, soft = dice.uniform(-1.0, 1.0), dice.uniform(0.6, 25)
        x = np.arange(w, dtype=np.float32) - np.float32(dice.uniform(0, w))
        side = (x + np.arange(h, dtype=np.float32)[:, None] * np.float32(math.tan(angle))) / np.float32(soft)
        shade = 1 - np.float32(dice.uniform(0.1, 0.5)) / (1 + np.exp(np.clip(side, -20, 20)))
        pixels = pixels * spread(shade, pixels)
    if scene.chance(dice, 0.06):  # glare: a soft bright spot that never hides the text
        x = (np.arange(w, dtype=np.float32) - dice.uniform(0, w)) / (dice.uniform(0.6, 4) * h)
        y = (np.arange(h, dtype=np.float32) - dice.uniform(0, h)) / (dice.uniform(0.3, 1.5) * h)
        spot = np.exp(-(y**2))[:, None].astype(np.float32) * np.exp(-(x**2)).astype(np.float32)
        pixels = pixels + (255 - pixels) * spread(spot * np.float32(dice.uniform(0.2, 0.7)), pixels)
    return pixels


def blurred(pixels: np.ndarray, scene: Scene, dice: Random) -> np.ndarray:
    """Out of focus, or moved while the shutter was open."""
    probability, largest = _BLUR.get(scene.kind, (0.4, 0.9))
    if scene.kind == "clean" or not scene.chance(dice, probability):
        return pixels
    # Fine print must stay legible: the radius grows with the height of the line.
    radius = dice.uniform(0.2, largest) * min(pixels.shape[0] / 28, 2.0)
    if scene.kind in ("photo", "sign", "thermal", "hand") and dice.random() < 0.25:
        return _moved(pixels, 1 + round(1.6 * radius), dice.choice(((0, 1), (0, 1), (1, 0), (1, 1))))
    pixels = smoothed(pixels, radius)
    if dice.random() < 0.15:  # sharpened again by the camera
        pixels = pixels + np.float32(dice.uniform(0.5, 1.5)) * (pixels - smoothed(pixels, 1.0))
    return pixels


def smoothed(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Blurred with a standard deviation of `radius` px by three-tap filters; edges keep their values."""
    rounds = 1 if radius <= 0.8 else 2 if radius <= 1.13 else 3
    outer = np.float32(min(radius**2 / rounds / 2, 0.33))
    for _ in range(rounds):
        for axis in (0, 1):
            if pixels.shape[axis] < 3:
                continue
            middle, before, after = (
                tuple([slice(None)] * axis + [part])
                for part in (slice(1, -1), slice(None, -2), slice(2, None))
            )
            mixed = pixels.copy()
            mixed[middle] += outer * (pixels[before] + pixels[after] - 2 * pixels[middle])
            pixels = mixed
    return pixels


def _moved(pixels: np.ndarray, steps: int, way: tuple[int, int]) -> np.ndarray:
    """The mean of the picture at `steps` places one px apart."""
    total = pixels.copy()
    for step in range(1, steps + 1):
        total += np.roll(pixels, (step * way[0], step * way[1]), axis=(0, 1))
    return total / np.float32(steps + 1)


def resampled(pixels: np.ndarray, scene: Scene, dice: Random, em_px: float) -> np.ndarray:
    """Scaled down and up again, as small crops and copies of copies are; not below a font size of 12 px."""
    strong = scene.kind in ("photo", "sign", "screen", "digital")
    if scene.kind == "clean" or not scene.chance(dice, 0.14 if strong else 0.08):
        return pixels
    h, w = pixels.shape[:2]
    low = max(12 / em_px, 14 / h, dice.uniform(0.42, 0.9))
    if low >= 1:
        return pixels
    small = image_of(pixels).resize(
        (max(2, round(w * low)), max(2, round(h * low))),
        dice.choice((Image.Resampling.BILINEAR, Image.Resampling.BOX)),
    )
    if dice.random() < 0.25:
        small = jpeg(small, dice.randint(30, 85))
    if dice.random() < 0.5:  # left small, as it was found
        back = small
    else:
        back = small.resize((w, h), dice.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))
    values = np.asarray(back, dtype=np.float32)
    return values[:, :, None] if values.ndim < pixels.ndim else values


def noisy(pixels: np.ndarray, scene: Scene, dice: Random, share: float = 1.0) -> np.ndarray:
    """The sensor's noise, fine or in blots, and the colour noise of cheap ones; `share` scales it."""
    probability, largest = _NOISE.get(scene.kind, (0.6, 14))
    if scene.kind == "clean" or not scene.chance(dice, probability):
        return pixels
    shape = pixels.shape[:2]
    level = np.float32(share * dice.uniform(1, largest))
    field = noise(shape, dice) if dice.random() < 0.7 else cloud(shape, 2, dice)
    pixels = pixels + spread(field * level, pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 3 and dice.random() < 0.3:
        pixels = pixels + np.stack([cloud(shape, 2, dice) * level for _ in range(3)], axis=2)
    return pixels


def jpeg_probability(scene: Scene) -> float:
    """How often images of the scene have been compressed."""
    return 0.0 if scene.kind == "clean" else _JPEG.get(scene.kind, 0.3)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Compressed and opened again."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert(image.mode)
