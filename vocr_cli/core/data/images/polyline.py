"""Geometry of baselines: courses of points, positions along and above them, and their simplest form.

Points are (x, y) in px, y downwards; what is above a course is on its left, seen in its direction.
"""

from __future__ import annotations

import numpy as np

Points = np.ndarray
"""(N, 2) float, px."""


def direction(course: Points) -> float:
    """Degrees clockwise from a course to the right: 0 is a level line, 90 one that runs downwards."""
    (x0, y0), (x1, y1) = course[0], course[-1]
    return float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))


def length_of(course: Points) -> float:
    """The length of a course in px."""
    return float(np.hypot(*np.diff(course, axis=0).T).sum())


def simplified(course: Points, tolerance_px: float) -> Points:
    """Leaves points out from which the rest is no further away (Douglas and Peucker, 1973).

    Args:
        course: (M, 2), M >= 2.
        tolerance_px: How far a point that is left out may be from the course.
    """
    keep = np.zeros(len(course), bool)
    keep[[0, -1]] = True
    spans = [(0, len(course) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        start, chord = course[first], course[last] - course[first]
        inner = course[first + 1 : last] - start
        norm = float(np.hypot(*chord))
        away = np.abs(chord[0] * inner[:, 1] - chord[1] * inner[:, 0]) / norm if norm else np.hypot(*inner.T)
        worst = int(away.argmax())
        if away[worst] > tolerance_px:
            middle = first + 1 + worst
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return course[keep]


def along_and_above(points: Points, course: Points) -> tuple[np.ndarray, np.ndarray]:
    """Where points are, seen from a course that goes on straight beyond its ends.

    Args:
        points: (N, 2).
        course: (M, 2), no two neighbours alike.

    Returns:
        Two (N,) arrays: px along the course from its start, px above it (negative: below).
    """
    steps = np.diff(course, axis=0)  # (M - 1, 2)
    lengths = np.hypot(*steps.T)
    units = steps / lengths[:, None]
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    offsets = points[:, None, :] - course[None, :-1, :]  # (N, M - 1, 2)
    along = (offsets * units).sum(axis=2)
    above = offsets[:, :, 0] * units[:, 1] - offsets[:, :, 1] * units[:, 0]
    low, high = np.zeros(len(steps)), lengths.copy()
    low[0], high[-1] = -np.inf, np.inf
    beside = np.hypot(along - along.clip(low, high), above)
    nearest = beside.argmin(axis=1)
    rows = np.arange(len(points))
    return starts[nearest] + along[rows, nearest], above[rows, nearest]


def extended(course: Points, before_px: float, after_px: float) -> Points:
    """A course made longer at both ends, straight on."""
    first, last = course[1] - course[0], course[-1] - course[-2]
    ends = course.copy()
    ends[0] = course[0] - first / np.hypot(*first) * before_px
    ends[-1] = course[-1] + last / np.hypot(*last) * after_px
    return ends


def mitred_normals(course: Points) -> Points:
    """At each point what is 1 px above the course, on both sides of a bend: (M, 2)."""
    steps = np.diff(course, axis=0)
    units = steps / np.hypot(*steps.T)[:, None]
    normals = np.stack([units[:, 1], -units[:, 0]], axis=1)
    joined = np.concatenate([normals[:1], normals[:-1] + normals[1:], normals[-1:]])
    joined /= np.maximum(np.hypot(*joined.T)[:, None], 1e-6)
    cosines = np.ones(len(course))
    cosines[1:-1] = (joined[1:-1] * normals[1:]).sum(axis=1)
    return joined / np.maximum(cosines, 0.5)[:, None]
