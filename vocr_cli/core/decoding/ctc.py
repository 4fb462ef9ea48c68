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
class CtcHypothesis:
    """What one line says.

    Attributes:
        classes: Class numbers.
        confidences: The probability of each.
        crowded: Whether a run of one character, such as a dot leader, stands so close that characters may
            be lost: CTC needs two columns for each (the character and the blank that parts it from the next).
    """

    classes: list[int]
    confidences: list[float]
    crowded: bool = False


def geometric_mean(confidences: Sequence[float]) -> float:
    """Returns the geometric mean of a line's character probabilities, of which there is at least one."""
    return math.exp(sum(math.log(max(value, 1e-30)) for value in confidences) / len(confidences))


def ctc_greedy(logits: Tensor, columns: Tensor | None = None) -> list[CtcHypothesis]:
    """Takes the best class of each column, merges repeats and drops blanks (Graves et al., 2006).

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
    best = _best(logits)  # (B, T)
    emitted = best != 0
    emitted_logits = logits[emitted].float()  # (columns that are no blank, C): only these need a softmax
    probability = np.zeros((lines, width), np.float32)
    best_path, is_emitted = best.cpu().numpy(), emitted.cpu().numpy()
    probability[is_emitted] = (
        torch.exp(emitted_logits.amax(dim=-1) - emitted_logits.logsumexp(dim=-1)).cpu().numpy()
    )
    if columns is not None:
        best_path[np.arange(width) >= columns.cpu().numpy()[:, None]] = 0
    starts = best_path != 0
    starts[:, 1:] &= best_path[:, 1:] != best_path[:, :-1]
    hypotheses = []
    for line in range(lines):
        first = np.flatnonzero(starts[line])
        if not len(first):
            hypotheses.append(CtcHypothesis([], []))
            continue
        emitted_probability = np.where(best_path[line] != 0, probability[line], 0)  # (T,)
        classes = best_path[line, first]
        confidences = np.maximum.reduceat(emitted_probability, first).tolist()
        hypotheses.append(CtcHypothesis(classes.tolist(), confidences, _crowded(classes, first)))
    return hypotheses


def _best(logits: Tensor) -> Tensor:
    """Returns the index of the greatest of (..., C) as (...) int64; numpy takes a fifth of torch's time."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        return torch.from_numpy(logits.detach().numpy().argmax(-1))
    return logits.argmax(dim=-1)


def _crowded(classes: np.ndarray, first: np.ndarray) -> bool:
    """Returns whether `_RUN` equal classes follow each other within `_CROWDED_PITCH` columns each.

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
