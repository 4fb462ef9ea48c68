"""The edges of columns made upright: on a tilted scan they lean, on a photograph they draw together.

A box is (left, top, right, bottom), px; lines run level.
"""

from __future__ import annotations

import numpy as np

_NEAR = 1.5  # of a line's height: how far apart the ends of two lines of one edge may be
_REACH = 3.0  # of a line's height: how far down the next line of an edge may be
_STEEPEST = 0.35  # px aside for one down
_DOUBT = 0.02
_ROUNDS = 5
_FEW = 4


def upright_edges(boxes: np.ndarray) -> np.ndarray:
    """Moves boxes sideways such that the edges of columns are upright.

    A point at (u, v) came from u' = (u - c v) / (1 + k v): edges lean by c, and by k more the farther right
    they are. Both are fitted to pairs of lines, one below the other, whose ends lie near to each other.

    Args:
        boxes: (N, 4) float64.

    Returns:
        (N, 4) float64, as high as before.
    """
    positions, slopes = _leaning(boxes)
    if len(slopes) < _FEW:
        return boxes
    scale = float(max(1.0, np.abs(positions).max()))
    terms = np.column_stack([np.ones(len(slopes)), positions / scale])
    solution = np.array([np.median(slopes), 0.0])
    for _ in range(_ROUNDS):
        trust = 1 / (1 + ((slopes - terms @ solution) / _DOUBT) ** 2)
        steady = np.diag([0.0, 0.05]) * trust.sum()
        solution = np.linalg.solve(
            terms.T @ (terms * trust[:, None]) + steady + 1e-9 * np.eye(2), terms.T @ (trust * slopes)
        )
    lean, drawn = float(solution[0]), float(solution[1]) / scale
    v = (boxes[:, 1] + boxes[:, 3]) / 2
    shrink = np.maximum(0.2, 1 + drawn * v)
    moved = boxes.copy()
    moved[:, 0] = (boxes[:, 0] - lean * v) / shrink
    moved[:, 2] = (boxes[:, 2] - lean * v) / shrink
    return moved


def _leaning(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the ends of lines of one edge lie, px, and how far aside they go for one px down."""
    heights = boxes[:, 3] - boxes[:, 1]
    v = (boxes[:, 1] + boxes[:, 3]) / 2
    positions, slopes = [], []
    for side in (0, 2):
        for index in range(len(boxes)):
            down = v - v[index]
            aside = boxes[:, side] - boxes[index, side]
            near = (down > 0.5 * heights[index]) & (down < _REACH * heights[index])
            near &= np.abs(aside) < _NEAR * heights[index]
            if near.any():
                nearest = int(np.flatnonzero(near)[down[near].argmin()])
                slope = aside[nearest] / down[nearest]
                if abs(slope) < _STEEPEST:
                    positions.append(boxes[index, side])
                    slopes.append(slope)
    return np.array(positions), np.array(slopes)
