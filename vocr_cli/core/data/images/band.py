"""Pixels of a line: the band along its baseline as a rectangle, background over what is not the line's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vocr_cli.core.data.images.polyline import Points, mitred_normals


def band(page: Image.Image, course: Points, above_px: float, below_px: float) -> Image.Image:
    """Lays the band along a course out: each piece of the course is a quadrilateral of the page.

    Args:
        page: Any mode.
        course: (M, 2).
        above_px: How far the band reaches above the course.
        below_px: How far it reaches below.

    Returns:
        A rectangle as long as the course, of the page's mode; 0 beyond the page.
    """
    normals = mitred_normals(course)
    upper, lower = course + above_px * normals, course - below_px * normals
    lengths = np.hypot(*np.diff(course, axis=0).T)
    stops = np.round(np.concatenate([[0], np.cumsum(lengths)])).astype(int)
    height = max(1, round(above_px + below_px))
    pieces = []
    for index, (start, stop) in enumerate(zip(stops[:-1].tolist(), stops[1:].tolist(), strict=True)):
        if stop > start:
            corners = (upper[index], lower[index], lower[index + 1], upper[index + 1])
            pieces.append(((start, 0, stop, height), flat(np.stack(corners))))
    size = (max(1, int(stops[-1])), height)
    return page.transform(size, Image.Transform.MESH, pieces, Image.Resampling.BICUBIC, fillcolor=0)


def outline_mask(
    outline: Points, others: Sequence[Points], size: tuple[int, int], pad_px: float
) -> Image.Image:
    """Marks what lies inside an outline, or no more than `pad_px` beside it and in no other.

    Args:
        outline: (N, 2).
        others: Outlines of other lines.
        size: Width and height of the mask, px.
        pad_px: The margin.

    Returns:
        A mask of mode L: 255 inside, 0 outside.
    """
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    ring = np.concatenate([outline, outline[:1]])
    draw.line(flat(ring), fill=255, width=round(2 * pad_px) + 1, joint="curve")
    for other in others:
        draw.polygon(flat(other), fill=0)
    draw.polygon(flat(outline), fill=255)
    return mask


def over_background(line: Image.Image, mask: Image.Image) -> Image.Image:
    """Lays background, the median of what is inside, over what is outside a mask."""
    pixels = np.asarray(line)
    inside = np.asarray(mask) >= 128
    if inside.all() or not inside.any():
        return line
    ground = np.median(pixels[inside], axis=0).astype(np.uint8)
    return Image.fromarray(np.where(inside if pixels.ndim == 2 else inside[:, :, None], pixels, ground))


def flat(points: Points) -> list[float]:
    """Gives x0, y0, x1, y1, … as Pillow takes them."""
    return [float(value) for value in points.reshape(-1)]
