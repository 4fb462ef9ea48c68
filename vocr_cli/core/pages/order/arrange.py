"""Lines of a page put in reading order and parted into paragraphs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vocr_cli.core.pages.detectors.detector import Rules
from vocr_cli.core.pages.lines.directions import Directions, Segment, fit_directions, fold
from vocr_cli.core.pages.lines.edges import upright_edges
from vocr_cli.core.pages.order.paragraphs import paragraphs_of
from vocr_cli.core.pages.order.reading_order import Placed, reading_order

_NO_RULES = Rules()


@dataclass(frozen=True)
class Arranged:
    """A line's place.

    Attributes:
        index: Of the line.
        row: Lines of one row stand side by side.
        cell: Lines of one cell of a row follow each other.
        block: The paragraph, or the row of a table.
    """

    index: int
    row: int
    cell: int
    block: int


def arrange(quads: np.ndarray, size: tuple[int, int], rules: Rules = _NO_RULES) -> list[Arranged]:
    """Puts lines in reading order.

    Args:
        quads: (N, 4, 2) float64, px.
        size: Width and height of the page, px.
        rules: What stands between them.
    """
    if not len(quads):
        return []
    boxes = flat_boxes(quads, size)
    order = reading_order(boxes, rules)
    blocks = paragraphs_of(boxes, order, rules)
    return [
        Arranged(place.index, place.row, place.cell, block)
        for place, block in zip(order, blocks, strict=True)
    ]


def kept_order(quads: np.ndarray, size: tuple[int, int]) -> list[Arranged]:
    """Keeps lines in the order that they come in, and parts them into paragraphs.

    Args:
        quads: (N, 4, 2) float64, px.
        size: Width and height of the page, px.
    """
    if not len(quads):
        return []
    order = [Placed(index, index, 0, 0) for index in range(len(quads))]
    blocks = paragraphs_of(flat_boxes(quads, size), order, _NO_RULES)
    return [
        Arranged(place.index, place.row, place.cell, block)
        for place, block in zip(order, blocks, strict=True)
    ]


def flat_boxes(quads: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) of lines once they run level: left, top, right, bottom; px."""
    directions = directions_of(quads, size)
    flat = directions.flat(quads)
    if _is_upside_down(quads, directions):
        flat = -flat
    middle = flat.mean(axis=1)
    half = np.stack(
        [
            np.abs(flat[:, [1, 2], 0].mean(axis=1) - flat[:, [0, 3], 0].mean(axis=1)) / 2,
            np.abs(flat[:, [2, 3], 1].mean(axis=1) - flat[:, [0, 1], 1].mean(axis=1)) / 2,
        ],
        axis=1,
    )
    across = half[:, 1] < 1e-6  # lines that run across the others
    half[across] = np.abs(flat[across] - middle[across, None]).max(axis=1)
    return upright_edges(np.concatenate([middle - half, middle + half], axis=1))


def directions_of(quads: np.ndarray, size: tuple[int, int]) -> Directions:
    """The direction of text on a page, by the upper and lower sides of its lines."""
    segments = []
    for quad in quads:
        along = (quad[1] - quad[0] + quad[2] - quad[3]) / 2
        down = (quad[3] - quad[0] + quad[2] - quad[1]) / 2
        angle = float(fold(np.array(math.atan2(along[1], along[0]))))
        length, height = float(np.hypot(*along)), float(np.hypot(*down))
        segments.append(Segment(quad.mean(axis=0), angle, length, height))
    return fit_directions(segments, size)


def _is_upside_down(quads: np.ndarray, directions: Directions) -> bool:
    """Whether most lines are read against the direction that was fitted, whose sign is open."""
    along = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    towards = np.array([math.cos(directions.base), math.sin(directions.base)])
    return bool((along @ towards).sum() < 0)
