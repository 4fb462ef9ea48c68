"""Boxes of lines out of the outlines that a detector drew, each turned as the lines around it run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vocr_cli.core.data.images.line_crop import quad_size
from vocr_cli.core.pages.detectors.detector import TextBox
from vocr_cli.core.pages.lines.bends import chord_quad, course_of
from vocr_cli.core.pages.lines.directions import Segment, fit_directions, fold

_UNCLIP = 1.6  # the network draws lines thinner: an outline grows by so much of area over circumference
_OWN = 20.0  # times as long as high is the outline of a line that has a direction of its own
_ACROSS_RAD = math.radians(45)
_LEAST_PX = 4.0
_ACROSS = 3.0  # times as high as long: text that runs across the other lines


def fitted_boxes(outlines: Sequence[np.ndarray], size: tuple[int, int]) -> list[TextBox]:
    """Fits a box to each outline, and to those that bend the course of their middle.

    Short lines follow the direction of the long ones around: their own is no more than chance.

    Args:
        outlines: (N, 2) float64 each, px.
        size: Width and height of the page, px.

    Returns:
        Boxes within the page.
    """
    segments = [_segment(outline) for outline in outlines]
    directions = fit_directions(segments, size)
    boxes = []
    for outline, segment in zip(outlines, segments, strict=True):
        turn = float(directions.at(segment.centre))
        off = float(fold(np.array(segment.angle - turn)))
        across = abs(off) > _ACROSS_RAD
        if segment.slenderness > (_ACROSS if across else _OWN):
            turn += off
            if across and math.cos(turn - directions.base) < -0.5:  # read downwards rather than upwards
                turn += math.pi
        box = _box(outline, turn)
        quad = box.quad.clip((0, 0), size)
        if min(quad_size(quad)) >= _LEAST_PX:
            boxes.append(replace(box, quad=quad))
    return boxes


def _segment(outline: np.ndarray) -> Segment:
    import cv2

    centre, (width, height), degrees = cv2.minAreaRect(outline.astype(np.float32))
    if width < height:
        width, height, degrees = height, width, degrees + 90
    angle = float(fold(np.array(math.radians(degrees))))
    return Segment(np.array(centre), angle, width + 1, height + 1)


def _box(outline: np.ndarray, turn: float) -> TextBox:
    """The box around an outline whose line runs so, grown to the height of the letters."""
    along = np.array([math.cos(turn), math.sin(turn)])
    down = np.array([-along[1], along[0]])
    u, v = outline @ along, outline @ down
    course = course_of(u, v)
    left, right, top, bottom = u.min(), u.max(), v.min(), v.max()
    if course is not None:
        drawn = float(abs(_area(u, v)) / (right - left))  # high, as the network draws it
        more = _UNCLIP * drawn * (right - left) / (2 * (right - left + drawn))
        step = (course[-1] - course[0]) / max(1e-6, right - left) * more
        middle = np.concatenate([[course[0] - step], course[1:-1], [course[-1] + step]])
        middle = middle[:, :1] * along + middle[:, 1:] * down
        return TextBox(chord_quad(middle, drawn + 2 * more), course=middle)
    width, height = right - left, bottom - top
    more = _UNCLIP * width * height / max(1e-6, 2 * (width + height))
    left, right, top, bottom = left - more, right + more, top - more, bottom + more
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return TextBox(np.array([along * u + down * v for u, v in corners]))


def _area(u: np.ndarray, v: np.ndarray) -> float:
    return float(u @ np.roll(v, -1) - v @ np.roll(u, -1)) / 2
