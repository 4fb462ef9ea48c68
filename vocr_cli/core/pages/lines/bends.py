"""Lines that bend, as on a page that does not lie flat: the course of their middle, and what is cut along it.

A course is (K, 2) float64, px, in the direction of writing, K >= 3. Legend: h, the height of a line.
"""

from __future__ import annotations

import numpy as np

from vocr_cli.core.data.images.cut_line import LineShape

_POINTS = 9
_LONG = 6.0  # h: shorter lines are taken for straight
_BENT = 0.13  # h: what leaves its chord by less is straight
_MOST = 3.0  # h: an outline that leaves it by more is no line
_FOOT = 0.26  # h from the middle to the baseline


def course_of(u: np.ndarray, v: np.ndarray) -> np.ndarray | None:
    """Finds the course of the middle of an outline.

    Args:
        u: (N,) float64, how far along its line each point of the outline lies.
        v: (N,) float64, how far down.

    Returns:
        (K, 2) float64, along and down; None: it is straight, or too short to tell.
    """
    at = np.linspace(u.min(), u.max(), 2 * _POINTS + 1)[1:-1]
    upper, lower = _crossings(u, v, at)
    if not np.isfinite(lower - upper).all():
        return None
    thick = float(np.median(lower - upper))
    height = 2.6 * thick  # the network draws lines thinner
    if np.ptp(u) < _LONG * height:
        return None
    sound = lower - upper < 1.8 * thick  # elsewhere it touches a neighbour
    if sound.sum() < _POINTS:
        return None
    scale = max(1.0, float(np.ptp(u)) / 2)
    centre = float(u.min()) + scale
    curve = np.polynomial.Polynomial.fit(
        at[sound], (upper + lower)[sound] / 2, 3, domain=[centre - scale, centre + scale]
    )
    ends = np.linspace(u.min(), u.max(), _POINTS)
    course = curve(ends)
    chord = course[0] + (course[-1] - course[0]) * np.linspace(0, 1, _POINTS)
    away = float(np.abs(course - chord).max())
    off = float(np.abs(curve(at[sound]) - (upper + lower)[sound] / 2).max())
    if not _BENT * height < away < _MOST * height or off > 0.5 * away:
        return None
    return np.stack([ends, course], axis=1)


def _crossings(u: np.ndarray, v: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the closed outline crosses (K,) uprights first and last, (K,) each; infinite: nowhere."""
    u2, v2 = np.roll(u, -1), np.roll(v, -1)
    upright, side = np.nonzero((u <= at[:, None]) != (u2 <= at[:, None]))
    begin, end = u[side], u2[side]
    crossed = v[side] + (v2[side] - v[side]) * (at[upright] - begin) / (end - begin)
    upper, lower = np.full(len(at), np.inf), np.full(len(at), -np.inf)
    np.minimum.at(upper, upright, crossed)
    np.maximum.at(lower, upright, crossed)
    return upper, lower


def chord_quad(course: np.ndarray, height: float) -> np.ndarray:
    """The quad of that height between the ends of a course, (4, 2)."""
    begin, end = course[0], course[-1]
    down = _downs(np.array([begin, end]))[0] * height / 2
    return np.array([begin - down, end - down, end + down, begin + down])


def shape_of(course: np.ndarray, height: float) -> LineShape:
    """Outline and baseline of a line of that height along a course."""
    downs = _downs(course)
    outline = np.concatenate([course - downs * height / 2, (course + downs * height / 2)[::-1]])
    return LineShape(outline=outline, baseline=course + downs * _FOOT * height)


def _downs(course: np.ndarray) -> np.ndarray:
    """One px down from the line at each point of a course, (K, 2)."""
    along = np.gradient(course, axis=0)
    along /= np.maximum(1e-9, np.hypot(*along.T))[:, None]
    return np.stack([-along[:, 1], along[:, 0]], axis=1)
