"""What becomes of a test page: a rendered PDF, a noisy and tilted scan, a photograph."""

from __future__ import annotations

import io
import math
from pathlib import Path
from random import Random

import numpy as np
import pypdfium2
from PIL import Image, ImageFilter

from vocr_cli.core.synth.effects.textures import cloud, noise

DPI = 200
TILT_DEGREES = 2.0
_PHOTO_PX = (2448, 3264)

CONDITIONS = ("pdf", "scan", "photo")


def render(pdf: Path, dpi: int = DPI) -> Image.Image:
    """Draws the first page of a PDF."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return document[0].render(scale=dpi / 72).to_pil().convert("RGB")
    finally:
        document.close()


def scanned(page: Image.Image, dice: Random) -> Image.Image:
    """A flatbed scan: tilted, a little blurred, noisy, its paper not quite white, and compressed."""
    angle = TILT_DEGREES * dice.choice((-1, 1))
    turned = page.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=_ground(page))
    turned = turned.filter(ImageFilter.GaussianBlur(dice.uniform(0.4, 0.8)))
    pixels = np.asarray(turned, np.float32)
    shape = pixels.shape[:2]
    paper, ink = dice.uniform(232, 248), dice.uniform(20, 50)
    pixels = ink + pixels * ((paper - ink) / 255)
    pixels += noise(shape, dice)[:, :, None] * dice.uniform(7, 10)
    pixels += cloud(shape, 64, dice)[:, :, None] * dice.uniform(2, 5)
    return _jpeg(pixels, dice.randint(70, 85))


def photographed(page: Image.Image, dice: Random) -> Image.Image:
    """A phone's photograph: on a table, in perspective, unevenly lit, a little blurred, compressed."""
    width, height = _PHOTO_PX
    scale = min(0.9 * width / page.width, 0.9 * height / page.height)
    w, h = page.width * scale, page.height * scale
    angle, middle = math.radians(dice.uniform(-3, 3)), np.array([width / 2, height / 2])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.array([[-w / 2, -h / 2], [w / 2, -h / 2], [w / 2, h / 2], [-w / 2, h / 2]])
    corners *= np.array([[1 - dice.uniform(0.04, 0.1)], [1 - dice.uniform(0.04, 0.1)], [1.0], [1.0]])
    corners = corners @ turn.T + middle + np.array([[dice.uniform(-20, 20) for _ in "xy"] for _ in range(4)])
    flat = np.array([[0, 0], [page.width, 0], [page.width, page.height], [0, page.height]], float)
    coefficients = perspective(corners, flat)
    desk = np.array([dice.uniform(60, 120) for _ in "rgb"], np.float32)
    bicubic = Image.Resampling.BICUBIC
    paper = page.transform((width, height), Image.Transform.PERSPECTIVE, coefficients, bicubic)
    mask = Image.new("L", page.size, 255)
    mask = mask.transform((width, height), Image.Transform.PERSPECTIVE, coefficients, bicubic)
    cover = np.asarray(mask, np.float32)[:, :, None] / 255
    table = desk + cloud((height, width), 32, dice)[:, :, None] * 12
    pixels = table * (1 - cover) + np.asarray(paper, np.float32) * cover
    slope = np.linspace(-1, 1, width)[None, :] * dice.uniform(-0.12, 0.12)
    slope = slope + np.linspace(-1, 1, height)[:, None] * dice.uniform(-0.12, 0.12)
    light = 0.8 + slope + cloud((height, width), 64, dice) * 0.03
    pixels = pixels * light[:, :, None].astype(np.float32) * np.array([1.02, 1.0, 0.93], np.float32)
    blurred = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    blurred = blurred.filter(ImageFilter.GaussianBlur(dice.uniform(0.8, 1.3)))
    pixels = np.asarray(blurred, np.float32) + noise((height, width), dice)[:, :, None] * dice.uniform(4, 7)
    return _jpeg(pixels, dice.randint(75, 90))


def perspective(source: np.ndarray, target: np.ndarray) -> list[float]:
    """Coefficients of the projective map from `source` to `target`, each (4, 2); as Pillow takes them."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]


def _ground(page: Image.Image) -> tuple[int, int, int]:
    red, green, blue = page.getpixel((3, 3))  # type: ignore[misc]
    return red, green, blue


def _jpeg(pixels: np.ndarray, quality: int) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality, dpi=(DPI, DPI))
    file.seek(0)
    return Image.open(file)
