"""Turns a mask of ink into an image as PDFs, screens, scanners, phones and receipt printers give it.

Each scene is a set of ranges; `strength` 0..1 scales how often and how much. Legend: h, w px; c 1 or 3.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

Rng = np.random.Generator
SCENES = ("digital", "screen", "scan", "photo", "thermal", "coloured")
SCENE_SHARES = (0.32, 0.20, 0.20, 0.14, 0.07, 0.07)


@dataclass(frozen=True)
class Scene:
    """How an image came about, and how hard its chances are scaled."""

    kind: str
    strength: float

    def chance(self, rng: Rng, probability: float) -> bool:
        """Whether something of that probability at full strength happens."""
        return bool(rng.random() < probability * self.strength)


def choose_scene(rng: Rng, strength: float) -> Scene:
    """A scene by its share in use; clean documents alone at strength 0."""
    clean = rng.random() >= strength
    kind = "clean" if clean else SCENES[int(rng.choice(len(SCENES), p=SCENE_SHARES))]
    return Scene(kind, strength)


def degrade(ink: np.ndarray, scene: Scene, rng: Rng, channels: int) -> Image.Image:
    """The finished image.

    Args:
        ink: (h, w) uint8, 0 paper to 255 full ink.
        scene: What happened to it.
        rng: Where chance comes from.
        channels: 1: grey (mode L), 3: colour (mode RGB).
    """
    cover = ink.astype(np.float32) / 255
    cover = _marks(cover, scene, rng)
    cover = _strokes(cover, scene, rng)
    paper, colour = _tones(scene, rng, channels)
    if scene.kind in ("scan", "photo", "thermal") and scene.chance(rng, 0.15):
        cover = np.maximum(cover, cover[:, ::-1] * float(rng.uniform(0.03, 0.2)))  # bleed-through
    ground = np.broadcast_to(paper, (*cover.shape, channels)) + _ground(cover.shape, scene, rng)[:, :, None]
    pixels = ground + cover[:, :, None] * (colour - paper)
    pixels = _light(pixels, scene, rng)
    pixels = _blur(pixels, scene, rng)
    pixels = _low_resolution(pixels, scene, rng)
    pixels = _noise(pixels, scene, rng)
    if scene.kind == "scan" and scene.chance(rng, 0.12):
        middle = (paper.mean() + colour.mean()) / 2 + rng.uniform(-25, 25)
        soft = float(rng.uniform(1, 12))
        pixels = 255 / (1 + np.exp(np.clip((middle - pixels) / soft, -30, 30)))
    image = _image(pixels)
    probability = {"clean": 0, "digital": 0.15, "screen": 0.5, "scan": 0.5, "photo": 0.7}.get(scene.kind, 0.4)
    return _jpeg(image, int(rng.integers(18, 92))) if scene.chance(rng, probability) else image


def _image(pixels: np.ndarray) -> Image.Image:
    """(h, w, c) float to an image."""
    levels = np.clip(pixels, 0, 255).astype(np.uint8)
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)


def _pixels(image: Image.Image) -> np.ndarray:
    values = np.asarray(image, dtype=np.float32)
    return values[:, :, None] if values.ndim == 2 else values


def _marks(cover: np.ndarray, scene: Scene, rng: Rng) -> np.ndarray:
    """Rules, boxes, dotted lines and stray strokes that are not text."""
    if scene.kind == "clean":
        return cover
    h, w = cover.shape
    if scene.chance(rng, 0.05):  # a ruled or dotted line near the bottom
        y = int(rng.integers(max(1, int(h * 0.85)), h))
        step = int(rng.integers(2, 6)) if rng.random() < 0.6 else 1
        cover[y : y + 1, ::step] = np.maximum(cover[y : y + 1, ::step], rng.uniform(0.4, 1))
    if scene.chance(rng, 0.05):  # the side of a box or table cell
        side = int(rng.integers(4))
        edge = (
            (slice(0, 1), slice(None)),
            (slice(h - 1, h), slice(None)),
            (slice(None), slice(0, 1)),
            (slice(None), slice(w - 1, w)),
        )
        cover[edge[side]] = rng.uniform(0.4, 1)
    if scene.chance(rng, 0.03):  # a pen stroke across
        x = np.arange(w)
        phase, length = rng.uniform(0, 6.3), rng.uniform(0.5, 3) * w
        y = np.clip(h * (0.5 + 0.5 * np.sin(phase + 6.3 * x / length)), 0, h - 1).astype(np.intp)
        keep = slice(*sorted(rng.integers(0, w + 1, 2).tolist()))
        cover[y[keep], x[keep]] = rng.uniform(0.2, 0.8)
    if scene.chance(rng, 0.06):  # specks
        count = int(rng.integers(1, 12))
        cover[rng.integers(0, h, count), rng.integers(0, w, count)] = rng.uniform(0.2, 1)
    return cover


def _strokes(cover: np.ndarray, scene: Scene, rng: Rng) -> np.ndarray:
    """Ink that spreads, fades, breaks into dots or is lost in part."""
    if scene.kind == "clean":
        return cover
    if scene.chance(rng, 0.35):
        cover = cover ** np.float32(np.exp(rng.uniform(-0.6, 0.7)))  # below 1: fatter, above: thinner
    if scene.kind == "thermal" or (scene.kind == "photo" and scene.chance(rng, 0.1)):
        cover = _print_dots(cover, rng)
    if scene.chance(rng, 0.06):
        period = rng.uniform(2, 4)
        y, x = np.ogrid[: cover.shape[0], : cover.shape[1]]
        screen = 0.5 + 0.5 * np.cos(6.28 * x / period) * np.cos(6.28 * y / period)
        cover = cover * (1 - rng.uniform(0.2, 0.6) * screen).astype(np.float32)
    if scene.kind in ("scan", "thermal", "photo") and scene.chance(rng, 0.2):
        cover = cover * np.clip(1 - np.abs(_cloud(cover.shape, rng, 6)) * rng.uniform(0.1, 0.5), 0, 1)
    return cover


def _print_dots(cover: np.ndarray, rng: Rng) -> np.ndarray:
    """Thermal and dot-matrix heads: a coarse grid, each dot on or off."""
    h, w = cover.shape
    share = rng.uniform(0.55, 1.0)
    small = Image.fromarray((cover * 255).astype(np.uint8)).resize(
        (max(2, round(w * share)), max(8, round(h * share))), Image.Resampling.BOX
    )
    on = (np.asarray(small) > rng.uniform(60, 130)).astype(np.uint8) * 255
    return np.asarray(Image.fromarray(on).resize((w, h), Image.Resampling.BILINEAR), dtype=np.float32) / 255


def _tones(scene: Scene, rng: Rng, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels or colours of paper and ink, each (c,)."""
    tinted = scene.kind in ("digital", "screen") and scene.chance(rng, 0.12)
    if scene.kind == "clean":
        paper, ink = 255.0, 0.0
    elif tinted or scene.kind == "coloured":
        paper, ink = rng.uniform(0, 256, 2)
        if abs(paper - ink) < 70:
            paper, ink = max(paper, ink, 150.0), min(paper, ink, 80.0)
            paper, ink = (paper, ink) if rng.random() < 0.6 else (ink, paper)
    elif scene.kind == "digital":
        paper, ink = (255.0 if rng.random() < 0.85 else rng.uniform(225, 255)), max(0.0, rng.normal(10, 30))
    elif scene.kind == "screen":
        paper, ink = rng.uniform(235, 256), abs(rng.normal(0, 45))
    elif scene.kind == "scan":
        paper, ink = rng.uniform(215, 256), rng.uniform(0, 90)
    elif scene.kind == "thermal":
        paper = rng.uniform(140, 250)
        ink = paper - rng.uniform(60, 190)
    else:
        paper = rng.uniform(100, 230)
        ink = paper - rng.uniform(0.3, 0.9) * paper
    if scene.kind != "clean" and rng.random() < 0.03 * scene.strength:
        paper, ink = ink, paper
    if channels == 1:
        return np.array([paper], np.float32), np.array([ink], np.float32)
    spread = {"clean": 0, "digital": 12, "screen": 12, "scan": 8, "photo": 18, "thermal": 10}.get(
        scene.kind, 60
    )
    spread = 60 if tinted else spread
    # Tints that leave the luminance nearly where it was.
    tint = rng.normal(0, spread, (2, 3))
    tint -= (tint @ np.array([0.299, 0.587, 0.114]))[:, None]
    return (paper + tint[0]).astype(np.float32), (ink + tint[1]).astype(np.float32)


def _cloud(shape: tuple[int, ...], rng: Rng, cell_px: float) -> np.ndarray:
    """Smooth noise of unit variance at the knots, (h, w) float32."""
    h, w = shape[:2]
    knots = rng.standard_normal((max(2, round(h / cell_px)), max(2, round(w / cell_px)))).astype(np.float32)
    return np.asarray(Image.fromarray(knots).resize((w, h), Image.Resampling.BICUBIC))


def _ground(shape: tuple[int, ...], scene: Scene, rng: Rng) -> np.ndarray:
    """Paper texture, stains, and pictures behind the text: (h, w) grey levels to add."""
    ground = np.zeros(shape, np.float32)
    if scene.kind in ("clean", "digital", "screen"):
        return ground
    if scene.chance(rng, 0.6):
        ground += _cloud(shape, rng, rng.uniform(1.5, 4)) * rng.uniform(1, 7)
    if scene.chance(rng, 0.35):
        ground += _cloud(shape, rng, rng.uniform(8, 60)) * rng.uniform(2, 18)
    if scene.kind == "coloured" and scene.chance(rng, 0.5):
        ground += _cloud(shape, rng, rng.uniform(4, 40)) * rng.uniform(5, 30)
        if scene.chance(rng, 0.4):
            y, x = np.ogrid[: shape[0], : shape[1]]
            angle, period = rng.uniform(0, 3.14), rng.uniform(3, 30)
            wave = np.sin(6.28 * (x * np.cos(angle) + y * np.sin(angle)) / period)
            ground += (wave * rng.uniform(4, 22)).astype(np.float32)
    return ground


def _light(pixels: np.ndarray, scene: Scene, rng: Rng) -> np.ndarray:
    """Uneven light: a slope and a soft shadow."""
    if scene.kind not in ("scan", "photo", "thermal", "coloured") or not scene.chance(rng, 0.5):
        return pixels
    h, w, _ = pixels.shape
    along = np.linspace(-1, 1, w, dtype=np.float32)[None, :] * np.float32(rng.normal(0, 0.12))
    across = np.linspace(-1, 1, h, dtype=np.float32)[:, None] * np.float32(rng.normal(0, 0.08))
    light = 1 + along + across
    if scene.chance(rng, 0.25):
        edge = (np.arange(w, dtype=np.float32) - np.float32(rng.uniform(0, w))) / np.float32(
            rng.uniform(4, 80)
        )
        light = light * (1 - np.float32(rng.uniform(0.05, 0.4)) / (1 + np.exp(np.clip(edge, -30, 30))))
    return pixels * np.clip(light, 0.3, 1.5)[:, :, None]


def _blur(pixels: np.ndarray, scene: Scene, rng: Rng) -> np.ndarray:
    probability, largest = {
        "clean": (0, 0), "digital": (0.1, 0.6), "screen": (0.2, 0.6), "scan": (0.5, 0.9), "photo": (0.7, 1.2)
    }.get(scene.kind, (0.4, 0.9))  # fmt: skip
    if not scene.chance(rng, probability):
        return pixels
    # Fine print must stay legible: the radius grows with the height of the line.
    radius = float(rng.uniform(0.2, largest)) * min(pixels.shape[0] / 28, 2.0)
    if rng.random() < 0.2:  # motion along the line
        steps = 1 + round(2 * radius)
        return np.mean([np.roll(pixels, step, axis=1) for step in range(steps)], axis=0)
    image = _image(pixels).filter(ImageFilter.GaussianBlur(radius))
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.UnsharpMask(1.5, int(rng.integers(50, 200)), 0))
    return _pixels(image)


def _low_resolution(pixels: np.ndarray, scene: Scene, rng: Rng) -> np.ndarray:
    """Scaled down and up again, as copies of copies are."""
    if scene.kind == "clean" or not scene.chance(rng, 0.12):
        return pixels
    h, w, _ = pixels.shape
    low = max(15.0, h * rng.uniform(0.5, 0.95)) / h
    if low >= 1:
        return pixels
    small = _image(pixels).resize((max(2, round(w * low)), max(2, round(h * low))), Image.Resampling.BILINEAR)
    return _pixels(small.resize((w, h), Image.Resampling.BICUBIC))


def _noise(pixels: np.ndarray, scene: Scene, rng: Rng) -> np.ndarray:
    probability, largest = {"clean": (0, 0), "digital": (0.05, 5), "screen": (0.1, 5), "scan": (0.4, 12)}.get(
        scene.kind, (0.6, 14)
    )
    if not scene.chance(rng, probability):
        return pixels
    h, w, _ = pixels.shape
    noise = rng.standard_normal((h, w, 1), dtype=np.float32) * np.float32(rng.uniform(1, largest))
    return pixels + noise


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return Image.open(buffer).convert(image.mode)
