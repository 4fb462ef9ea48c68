"""Quads of lines out of the outlines that a detector drew, each turned as the lines around it run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vocr_cli.core.data.images.line_crop import quad_size
from vocr_cli.core.pages.lines.directions import fit_directions, fold

_UNCLIP = 1.6  # the network draws lines thinner: an outline grows by so much of area over circumference
_OWN = 20.0  # times as long as high is the outline of a line that has a direction of its own
_ACROSS_RAD = math.radians(45)
_LEAST_PX = 4.0
_ACROSS = 3.0  # times as high as long: text that runs across the other lines


def fitted_quads(outlines: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Fits a quad to each outline.

    Short lines follow the direction of the long ones around: their own is no more than chance.

    Args:
        outlines: (N, 2) float64 each, px.
        size: Width and height of the page, px.

    Returns:
        (4, 2) float64 each, within the page.
    """
    segments = [_segment(outline) for outline in outlines]
    directions = fit_directions(segments, size)
    quads = []
    for outline, (centre, angle, length) in zip(outlines, segments, strict=True):
        turn = float(directions.at(centre))
        off = float(fold(np.array(angle - turn)))
        across = abs(off) > _ACROSS_RAD
        if length > (_ACROSS if across else _OWN):
            turn += off
            if across and math.cos(turn - directions.base) < -0.5:  # read downwards rather than upwards
                turn += math.pi
        quad = _grown(outline, turn).clip((0, 0), size)
        if min(quad_size(quad)) >= _LEAST_PX:
            quads.append(quad)
    return quads


def _segment(outline: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The centre (2,) of an outline, the angle of its longer side, and how many times as long as high."""
    import cv2

    centre, (width, height), degrees = cv2.minAreaRect(outline.astype(np.float32))
    if width < height:
        width, height, degrees = height, width, degrees + 90
    angle = float(fold(np.array(math.radians(degrees))))
    return np.array(centre), angle, (width + 1) / (height + 1)


def _grown(outline: np.ndarray, turn: float) -> np.ndarray:
    """The rectangle around an outline that is turned so, grown to the height of the letters; (4, 2)."""
    along = np.array([math.cos(turn), math.sin(turn)])
    down = np.array([-along[1], along[0]])
    u, v = outline @ along, outline @ down
    left, right, top, bottom = u.min(), u.max(), v.min(), v.max()
    width, height = right - left, bottom - top
    more = _UNCLIP * width * height / max(1e-6, 2 * (width + height))
    left, right, top, bottom = left - more, right + more, top - more, bottom + more
    return np.array(
        [along * u + down * v for u, v in ((left, top), (right, top), (right, bottom), (left, bottom))]
    )
