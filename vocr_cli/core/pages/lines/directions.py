"""Which way the lines of a page run: alike on a scan, slowly turning over a photograph.

Angles are radians, clockwise as seen on the page (y points down); 0: text runs to the right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_LONG = 4.0  # times as long as high: such a line tells a direction
_LONGEST = 40.0  # no line weighs more than one so many times as long as high
_NEAR_RAD = math.radians(20)
_ROUNDS = 4
_DOUBT_RAD = math.radians(0.4)  # of a line's angle: those that are farther off than that count less
_STEADY = 0.02  # keeps a direction from turning where few lines tell it to
_SHORT = 12.0  # times as long as high: where such a line stands in its row tells more than its own angle
_FAR = 16.0  # of a line's height from middle to middle: farther on, the next row could be meant
_TURN_RAD = math.radians(4)  # of a neighbour's place from the direction of the lines
_ALIKE = 1.5  # times as high


class Segment(NamedTuple):
    """A line as far as its direction goes.

    Attributes:
        centre: (2,) float64, px.
        angle: Of its longer side, within ±π/2.
        length: Of that side, px.
        height: Of the other, px.
    """

    centre: np.ndarray
    angle: float
    length: float
    height: float

    @property
    def slenderness(self) -> float:
        """How many times as long as high it is."""
        return self.length / max(1e-6, self.height)


@dataclass(frozen=True)
class Directions:
    """The direction of text at each point of a page.

    Attributes:
        base: 0, or where lines run down the page, π/2.
        constant: What is added to `base`.
        slope: How that changes along x and y, radians per px.
        centre: The point that `constant` holds for, px.
    """

    base: float
    constant: float
    slope: tuple[float, float]
    centre: tuple[float, float]

    def at(self, points: np.ndarray) -> np.ndarray:
        """The angles at (..., 2) points; (...)."""
        away = points - np.array(self.centre)
        turned: np.ndarray = self.base + self.constant + away @ np.array(self.slope)
        return turned

    def flat(self, points: np.ndarray) -> np.ndarray:
        """Where (..., 2) points lie once lines run level from left to right; (..., 2), px."""
        x, y = np.moveaxis(points - np.array(self.centre), -1, 0)
        cos, sin = math.cos(self.base), math.sin(self.base)
        along, across = x * cos + y * sin, y * cos - x * sin
        # The direction halfway to the middle of the page is that of the whole way there.
        half = np.stack([along * cos / 2 - across * sin, along * sin / 2 + across * cos], axis=-1)
        angle = self.constant + half @ np.array(self.slope)
        return np.stack([along, across - along * np.tan(angle)], axis=-1)


def fit_directions(segments: Sequence[Segment], size: tuple[int, int]) -> Directions:
    """Fits the direction of text to lines, and where these are short, to how they stand in their rows.

    Args:
        segments: The lines.
        size: Width and height of the page, px.
    """
    centre = (size[0] / 2, size[1] / 2)
    long = [segment for segment in segments if segment.slenderness >= _LONG]
    weights = np.array([min(segment.slenderness, _LONGEST) for segment in long])
    angles = np.array([segment.angle for segment in long])
    down = float(weights[np.abs(angles) > math.pi / 4].sum()) if long else 0.0
    base = math.pi / 2 if down > weights.sum() / 2 else 0.0
    beside = _neighbours(segments, base + (_middle(fold(angles - base), weights) if long else 0.0))
    long += beside
    weights = np.append(weights, [segment.slenderness for segment in beside])
    off = fold(np.append(angles, [segment.angle for segment in beside]) - base)
    near = np.abs(off) < _NEAR_RAD
    if not near.any():
        return Directions(base, 0.0, (0.0, 0.0), centre)
    off, weights = off[near], weights[near]
    away = (np.array([segment.centre for segment in long])[near] - np.array(centre)) / max(size)
    terms = np.column_stack([np.ones(len(off)), away])
    trust, solution = weights.copy(), np.zeros(3)
    solution[0] = _middle(off, weights)
    for _ in range(_ROUNDS):
        trust = weights / (1 + ((off - terms @ solution) / _DOUBT_RAD) ** 2)
        steady = np.diag([0.0, 1.0, 1.0]) * _STEADY * trust.sum()
        solution = np.linalg.solve(
            terms.T @ (terms * trust[:, None]) + steady + 1e-12 * np.eye(3), terms.T @ (trust * off)
        )
    constant, along_x, along_y = (float(value) for value in solution)
    return Directions(base, constant, (along_x / max(size), along_y / max(size)), centre)


def _neighbours(segments: Sequence[Segment], direction: float) -> list[Segment]:
    """From short lines to the next ones in their rows, middle to middle.

    The outline of a short line has steps of whole pixels, and the box around them lies level more often than
    not: a table seen from one side seems straight by its cells, and askew by its rows.
    """
    short = [segment for segment in segments if segment.slenderness < _SHORT]
    if len(short) < 2:
        return []
    centres, heights = np.array([each.centre for each in short]), np.array([each.height for each in short])
    found = []
    for segment in short:
        away = centres - segment.centre
        distance = np.hypot(*away.T)
        turn = fold(np.arctan2(away[:, 1], away[:, 0]) - direction, 2 * math.pi)
        ratio = heights / max(1e-6, segment.height)
        beside = (np.abs(turn) < _TURN_RAD) & (ratio < _ALIKE) & (ratio > 1 / _ALIKE)
        beside &= (distance > _LONG * segment.height) & (distance < _FAR * segment.height)
        if beside.any():
            other = int(np.flatnonzero(beside)[distance[beside].argmin()])
            middle = (segment.centre + centres[other]) / 2
            angle = float(fold(direction + turn[other]))
            found.append(Segment(middle, angle, float(distance[other]), segment.height))
    return found


def fold(angle: np.ndarray, period: float = math.pi) -> np.ndarray:
    """Angles within ± half a period."""
    folded: np.ndarray = (angle + period / 2) % period - period / 2
    return folded


def _middle(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted median."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
