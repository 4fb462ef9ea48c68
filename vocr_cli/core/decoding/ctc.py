"""Greedy CTC decoding in numpy. B lines, T columns, C classes; class 0 is the blank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RUN = 5
_CROWDED_PITCH = 2.5


@dataclass(frozen=True, slots=True)
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


def is_surer(confidences: Sequence[float], than: Sequence[float]) -> bool:
    """Returns whether the characters of a line, read again, are surer than those read first.

    A reading without characters is never the surer one: nothing says that it lost none.

    Args:
        confidences: The probability of each character of the second reading.
        than: Of each of the first.
    """
    if not confidences or not than:
        return bool(confidences)
    return geometric_mean(confidences) > geometric_mean(than)


def ctc_greedy(logits: np.ndarray, columns: np.ndarray | None = None) -> list[CtcHypothesis]:
    """Takes the best class of each column, merges repeats and drops blanks (Graves et al., 2006).

    The confidence of a character is the highest probability that any of its columns gives it.

    Args:
        logits: (B, T, C) float32, unnormalised.
        columns: (B,) int64, columns before padding, 1..T; None: all of them.

    Raises:
        ValueError: `columns` and `logits` disagree on B.
    """
    return merge_repeats(*best_path(logits), columns)


def best_path(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the best class of each column, and its probability.

    Args:
        logits: (..., T, C) float32, unnormalised.

    Returns:
        (..., T) int64, and (..., T) float32, 0 where the best class is the blank.
    """
    best = logits.argmax(-1)
    emitted = best != 0
    emitted_logits = logits[emitted]  # (columns that are no blank, C): only these need a softmax
    greatest = emitted_logits.max(axis=-1, keepdims=True, initial=-math.inf)
    probability = np.zeros(best.shape, np.float32)
    probability[emitted] = 1 / np.exp(emitted_logits - greatest).sum(axis=-1)
    return best, probability


def merge_repeats(
    best: np.ndarray, probability: np.ndarray, columns: np.ndarray | None = None
) -> list[CtcHypothesis]:
    """Makes texts of the best class of each column: repeats are one character, blanks none.

    Args:
        best: (B, T) int, the class with the highest probability.
        probability: (B, T) float, that of `best`; of blanks any.
        columns: As for `ctc_greedy`.

    Raises:
        ValueError: `columns` and `best` disagree on B.
    """
    lines, width = best.shape
    if columns is not None:
        if columns.shape != (lines,):
            raise ValueError(f"columns has shape {columns.shape}, logits hold {lines} lines")
        best = np.where(np.arange(width) < columns[:, None], best, 0)
    emitted = best != 0
    starts = emitted.copy()
    starts[:, 1:] &= best[:, 1:] != best[:, :-1]
    first = np.flatnonzero(starts)  # in the (B * T) columns of all lines
    if not len(first):
        return [CtcHypothesis([], []) for _ in range(lines)]
    flat = best.ravel()[first]
    # Up to the next start, which may lie in the next line, all other columns are blanks: those count 0.
    confidences = np.maximum.reduceat(np.where(emitted, probability, 0).ravel(), first).tolist()
    classes = flat.tolist()
    ends = np.cumsum(np.count_nonzero(starts, axis=1)).tolist()
    crowded = set((_crowded_starts(flat, first, width)).tolist())
    hypotheses, begin = [], 0
    for line, end in enumerate(ends):
        hypotheses.append(CtcHypothesis(classes[begin:end], confidences[begin:end], line in crowded))
        begin = end
    return hypotheses


def _crowded_starts(classes: np.ndarray, first: np.ndarray, width: int) -> np.ndarray:
    """Returns the lines in which `_RUN` equal classes follow each other within `_CROWDED_PITCH` columns each.

    Args:
        classes: (N,) characters of all lines.
        first: (N,) where each begins, in the columns of all lines.
        width: T, columns of a line.

    Returns:
        Indices of lines, some of them more than once.
    """
    same = classes[1:] == classes[:-1]
    run = same[_RUN - 2 :].copy()  # of `_RUN` characters in a row; ends with the last of them
    for shift in range(_RUN - 2):
        run &= same[shift : shift + len(run)]
    begins = np.flatnonzero(run)
    ends = begins + _RUN - 1
    close = first[ends] - first[begins] <= _CROWDED_PITCH * (_RUN - 1)
    lines: np.ndarray = first[begins] // width
    return lines[close & (lines == first[ends] // width)]
