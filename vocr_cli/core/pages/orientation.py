"""Which way up a page is: a detector tells along which axis text runs, what is read in which direction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.pages.order.arrange import directions_of

_DOUBT = 0.5  # median confidence of a page below which it may stand on its head
_FEW = 4  # characters: shorter lines tell little


class Orientation:
    """Along which axis the lines of a page run.

    Args:
        quads: (N, 4, 2) float64, px.
        size: Width and height of the page, px.

    Attributes:
        across: (N,) bool: lines that run across most others.
    """

    def __init__(self, quads: np.ndarray, size: tuple[int, int]) -> None:
        base = directions_of(quads, size).base
        along = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
        self.across = np.abs(along @ [math.cos(base), math.sin(base)]) < np.hypot(*along.T) * math.cos(
            math.pi / 4
        )


def needs_doubt(readings: Sequence[Reading], orientation: Orientation) -> Iterator[list[int]]:
    """Groups of lines, by their indices, that may stand on their head: the page's, and each line across."""
    along = [index for index in range(len(readings)) if not orientation.across[index]]
    long = [index for index in along if len(readings[index].text) >= _FEW] or along
    if long and float(np.median([readings[index].confidence for index in long])) < _DOUBT:
        yield along
    for index in np.flatnonzero(orientation.across).tolist():
        if readings[index].confidence < _DOUBT:
            yield [index]


def turned_degrees(quads: np.ndarray, readings: Sequence[Reading]) -> int:
    """By how many degrees clockwise, in quarter turns, a page has to be turned to stand upright."""
    along = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    weights = np.array([len(reading.text) for reading in readings], np.float64)
    x, y = (along * weights[:, None]).sum(axis=0)
    quarter = round(math.degrees(math.atan2(y, x)) / 90) % 4
    return (-90 * quarter) % 360
