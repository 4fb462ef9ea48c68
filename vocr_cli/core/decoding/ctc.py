"""CTC decoding. B lines, T columns, C classes; class 0 is the blank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_RUN = 5
_CROWDED_PITCH = 2.5


@dataclass(frozen=True)
class CtcPath:
    """What one line reads.

    Attributes:
        classes: Class numbers.
        confidences: The probability of each.
        crowded: Whether a run of one character, such as a dot leader, stands so close that characters may
            be lost: CTC needs two columns for each (the character and the blank that parts it from the next).
    """

    classes: list[int]
    confidences: list[float]
    crowded: bool = False


def confidence_of(confidences: Sequence[float]) -> float:
    """Of a line, by those of its characters, of which there is at least one: their geometric mean."""
    return math.exp(sum(math.log(max(value, 1e-30)) for value in confidences) / len(confidences))


def ctc_greedy(logits: Tensor, columns: Tensor | None = None) -> list[CtcPath]:
    """Best class per column, repeats merged, blanks dropped (Graves et al., 2006).

    The confidence of a character is the highest probability that any of its columns gives it.

    Args:
        logits: (B, T, C) float, unnormalised.
        columns: (B,) int64, columns before padding, 1..T; None: all of them.

    Raises:
        ValueError: `columns` and `logits` disagree on B.
    """
    lines, width, _ = logits.shape
    if columns is not None and columns.shape != (lines,):
        raise ValueError(f"columns has shape {tuple(columns.shape)}, logits hold {lines} lines")
    best = _best(logits)
    spoken = best != 0
    picked = logits[spoken].float()  # (columns that are no blank, C): the softmax is not needed elsewhere
    probability = np.zeros((lines, width), np.float32)
    path, kept = best.cpu().numpy(), spoken.cpu().numpy()
    probability[kept] = torch.exp(picked.amax(dim=-1) - picked.logsumexp(dim=-1)).cpu().numpy()
    if columns is not None:
        path[np.arange(width) >= columns.cpu().numpy()[:, None]] = 0
    starts = path != 0
    starts[:, 1:] &= path[:, 1:] != path[:, :-1]
    readings = []
    for line in range(lines):
        first = np.flatnonzero(starts[line])
        if not len(first):
            readings.append(CtcPath([], []))
            continue
        shown = np.where(path[line] != 0, probability[line], 0)
        classes = path[line, first]
        confidences = np.maximum.reduceat(shown, first).tolist()
        readings.append(CtcPath(classes.tolist(), confidences, _crowded(classes, first)))
    return readings


def _best(logits: Tensor) -> Tensor:
    """(..., C) to the (...) int64 greatest of each; numpy finds it in a fifth of torch's time."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        return torch.from_numpy(logits.detach().numpy().argmax(-1))
    return logits.argmax(dim=-1)


def _crowded(classes: np.ndarray, first: np.ndarray) -> bool:
    """Whether `_RUN` equal classes follow each other within `_CROWDED_PITCH` columns each.

    Args:
        classes: (L,) what was read.
        first: (L,) the column where each begins.
    """
    if len(classes) < _RUN:
        return False
    span = first[_RUN - 1 :] - first[: 1 - _RUN]
    equal = np.logical_and.reduce(
        [classes[_RUN - 1 :] == classes[shift : shift + len(span)] for shift in range(_RUN - 1)]
    )
    return bool((equal & (span <= _CROWDED_PITCH * (_RUN - 1))).any())
