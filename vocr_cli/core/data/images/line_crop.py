"""Lines cut out of pages: upright, tilted, in perspective, or along an outline.

A quad is (4, 2) float: a line's corners upper left, upper right, lower right, lower left, as its reader sees
them. Coordinates are px of the page; a pixel's centre lies at half a px.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from vocr_cli.core.errors import ImageError

_STRAIGHT_PX = 0.75  # corners this near to an upright rectangle: pixels are taken as they are
_LEAST_PX = 1.0
_MOST_PX = 65_500
_MOST_PIXELS = 100_000_000


def quad_size(quad: np.ndarray) -> tuple[float, float]:
    """Width and height of the line in a quad, px: the means of opposite sides."""
    sides = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)  # upper, right, lower, left
    return float(sides[0] + sides[2]) / 2, float(sides[1] + sides[3]) / 2


def crop_quad(pixels: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Cuts out what lies in a quad, rectified; what lies beyond the page repeats its edge.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        quad: The corners.

    Returns:
        (h, w) or (h, w, 3) uint8, h and w as `quad_size` gives them, rounded.

    Raises:
        ImageError: The quad has no area, or far more than a line; it says so without naming the line.
    """
    width, height = quad_size(quad)
    if not (
        _LEAST_PX <= min(width, height) and max(width, height) <= _MOST_PX and width * height <= _MOST_PIXELS
    ):
        raise ImageError(
            f"it would be {width:,.0f} × {height:,.0f} px", "Correct its corners, or leave it out."
        )
    w, h = max(1, round(width)), max(1, round(height))
    left, top = (math.floor(value) for value in quad.min(axis=0))
    right, bottom = (math.ceil(value) for value in quad.max(axis=0))
    if _is_upright(quad):
        x, y = round(float(quad[0, 0])), round(float(quad[0, 1]))
        return _window(pixels, x, y, x + w, y + h)
    around = _window(pixels, left - 2, top - 2, right + 2, bottom + 2)
    corners = quad - np.array([left - 2, top - 2])
    image = Image.fromarray(around)
    data = _projection(np.array([[0, 0], [w, 0], [w, h], [0, h]], float), corners)
    return np.asarray(image.transform((w, h), Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC))


def blank_outside(pixels: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Lays the colour of the ground over all that lies outside an outline.

    Args:
        pixels: (h, w) or (h, w, 3) uint8.
        outline: (N, 2) float, px of these pixels.

    Returns:
        The same shape.
    """
    mask = Image.new("1", (pixels.shape[1], pixels.shape[0]))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline], fill=1, outline=1)
    inside = np.asarray(mask)
    blanked = pixels.copy()
    blanked[~inside] = ground_colour(pixels)
    return blanked


def ground_colour(pixels: np.ndarray) -> np.ndarray:
    """The colour that most of a line's pixels have nearly: (), or (3,) for colours, uint8."""
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2).astype(np.uint8)
    counts = np.bincount(grey.ravel() >> 3, minlength=32)
    at = int(counts.argmax())
    most = (grey >> 3) == at
    return np.asarray(np.median(pixels[most], axis=0)).astype(np.uint8)


def _is_upright(quad: np.ndarray) -> bool:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad
    off = max(abs(ay - by), abs(bx - cx), abs(cy - dy), abs(dx - ax))
    return bool(off <= _STRAIGHT_PX and bx > ax and dy > ay)


def _window(pixels: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """The pixels of a window; where it reaches beyond the page, the page's edge is repeated."""
    height, width = pixels.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return pixels[top:bottom, left:right]
    rows = np.arange(top, bottom).clip(0, height - 1)
    columns = np.arange(left, right).clip(0, width - 1)
    return pixels[np.ix_(rows, columns)]


def _projection(source: np.ndarray, target: np.ndarray) -> list[float]:
    """Coefficients of the projective map from `source` to `target`, (4, 2) each, as Pillow takes them."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]
