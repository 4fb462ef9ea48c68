"""Greedy CTC decoding in numpy. B lines, T columns, C classes; class 0 is the blank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_COLUMNS_UNSCALED = 4
_CERTAIN_BLANK = -1e-4  # natural logarithm
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
        least_blank: Where nothing is read, the lowest probability that nothing stands there, against that of
            the best character there. What the characters before or behind may still reach into does not
            count. A letter that was passed over shows here alone: no character of the text is doubtful.
    """

    classes: list[int]
    confidences: list[float]
    crowded: bool = False
    least_blank: float = 1.0


def seen_spaces(classes: Sequence[int], space: int) -> list[int]:
    """The indices of a text's classes that a line can show: no space at its ends, one of each run.

    A line image does not show how many spaces were typed, so labels are written in this way too.

    Args:
        classes: Class numbers.
        space: The class of the space; 0: there is none.
    """
    if not space or space not in classes:
        return list(range(len(classes)))
    kept = [at for at, each in enumerate(classes) if each != space or (at and classes[at - 1] != space)]
    if kept and classes[kept[-1]] == space:
        kept.pop()
    return kept


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
    return merge_repeats(best_path(logits), columns)


def without_idle_columns(log_probabilities: np.ndarray) -> np.ndarray:
    """Leaves out columns that say nothing new: a blank, all but certain, behind another such one.

    The probability of a text changes by less than a ten-thousandth for each of them.

    Args:
        log_probabilities: (T, C) float, of one line.

    Returns:
        (T', C), T' at most T.
    """
    idle = log_probabilities[:, 0] > _CERTAIN_BLANK
    idle[1:] &= idle[:-1].copy()
    idle[:1] = False
    return log_probabilities[~idle] if idle.any() else log_probabilities


def ctc_log_likelihoods(looks: Sequence[np.ndarray], texts: Sequence[Sequence[int]]) -> np.ndarray:
    """The log-probabilities of texts, summed over all alignments: CTC's forward pass (Graves et al., 2006).

    Args:
        looks: Of K readings of one line the log-probabilities, each (T, C) float with a T of its own.
        texts: Of N texts, the class numbers.

    Returns:
        (K, N) float64, natural logarithms; -inf for a text that T columns cannot say, or say only at the cost
        of what floats hold: a part of it e^700 times less likely than what else the columns up to it say.
    """
    lengths = np.array([len(text) for text in texts], np.int64)
    spelled = np.zeros((2 * int(lengths.max(initial=0)) + 1, len(texts)), np.int64)
    for row, text in enumerate(texts):  # a blank before, between and after the characters
        spelled[1 : 2 * len(text) : 2, row] = text
    skips = np.zeros((*spelled.shape, len(looks)))  # of a blank, between two characters that differ
    skips[3::2] = (spelled[3::2] != spelled[1:-2:2])[:, :, None]
    used, states = np.unique(spelled, return_inverse=True)
    states = states.reshape(spelled.shape)
    probabilities = np.zeros((max(map(len, looks)), len(used), len(looks)))
    probabilities[:, 0] = 1  # where a shorter one has ended: a certain blank, which changes nothing
    for at, look in enumerate(looks):
        probabilities[: len(look), :, at] = np.exp(look[:, used], dtype=np.float64)
    # How likely each beginning of each text is up to a column; two more, in front, stay 0.
    reached, onward = np.zeros((2, len(spelled) + 2, len(texts), len(looks)))
    reached[2] = 1
    sums = np.empty(skips.shape)
    logs = np.zeros((len(texts), len(looks)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, len(probabilities), _COLUMNS_UNSCALED):
            for emitted in probabilities[start : start + _COLUMNS_UNSCALED].take(states, axis=1):
                np.multiply(reached[:-2], skips, out=sums)
                sums += reached[1:-1]
                sums += reached[2:]
                np.multiply(sums, emitted, out=onward[2:])
                reached, onward = onward, reached
            scale = reached.max(axis=0)  # before the numbers are too small for floats
            reached /= np.where(scale > 0, scale, 1)
            logs += np.log(scale)
        each, end = np.arange(len(texts)), 2 * lengths + 2
        # In front of a text without characters lies one of those that stay 0.
        log_likelihoods: np.ndarray = logs + np.log(reached[end, each] + reached[end - 1, each])
    return log_likelihoods.T


@dataclass(frozen=True, slots=True)
class BestPath:
    """The best class of each column, of one line or several: arrays (..., T).

    Attributes:
        best: int64, the class with the highest probability.
        probability: float32, that of `best`; where that is the blank, its probability against the best
            character's alone.
        character: int64, the best class other than the blank.
    """

    best: np.ndarray
    probability: np.ndarray
    character: np.ndarray


def best_path(logits: np.ndarray) -> BestPath:
    """Finds the best class of each column, and how sure it is.

    Args:
        logits: (..., T, C) float32, unnormalised.
    """
    character = logits[..., 1:].argmax(-1) + 1
    ahead = np.take_along_axis(logits, character[..., None], -1)[..., 0] - logits[..., 0]
    emitted = ahead > 0
    emitted_logits = logits[emitted]  # (columns that are no blank, C): only these need a softmax
    greatest = emitted_logits.max(axis=-1, keepdims=True, initial=-math.inf)
    with np.errstate(over="ignore"):
        probability = 1 / (1 + np.exp(ahead, dtype=np.float32))
    probability[emitted] = 1 / np.exp(emitted_logits - greatest).sum(axis=-1)
    return BestPath(np.where(emitted, character, 0), probability, character)


def merge_repeats(path: BestPath, columns: np.ndarray | None = None) -> list[CtcHypothesis]:
    """Makes texts of the best class of each column: repeats are one character, blanks none.

    Args:
        path: Arrays (B, T).
        columns: As for `ctc_greedy`.

    Raises:
        ValueError: `columns` and `path` disagree on B.
    """
    best, probability = path.best, path.probability
    lines, width = best.shape
    if columns is not None:
        if columns.shape != (lines,):
            raise ValueError(f"columns has shape {columns.shape}, logits hold {lines} lines")
        within = np.arange(width) < columns[:, None]
        best, probability = np.where(within, best, 0), np.where(within, probability, 1)
    emitted = best != 0
    least_blanks = _least_blanks(best, probability, path.character).tolist()
    starts = emitted.copy()
    starts[:, 1:] &= best[:, 1:] != best[:, :-1]
    first = np.flatnonzero(starts)  # in the (B * T) columns of all lines
    if not len(first):
        return [CtcHypothesis([], [], least_blank=least) for least in least_blanks]
    flat = best.ravel()[first]
    # Up to the next start, which may lie in the next line, all other columns are blanks: those count 0.
    confidences = np.maximum.reduceat(np.where(emitted, probability, 0).ravel(), first).tolist()
    classes = flat.tolist()
    ends = np.cumsum(np.count_nonzero(starts, axis=1)).tolist()
    crowded = set((_crowded_starts(flat, first, width)).tolist())
    hypotheses, begin = [], 0
    for line, end in enumerate(ends):
        hypotheses.append(
            CtcHypothesis(classes[begin:end], confidences[begin:end], line in crowded, least_blanks[line])
        )
        begin = end
    return hypotheses


def _least_blanks(best: np.ndarray, probability: np.ndarray, character: np.ndarray) -> np.ndarray:
    """`CtcHypothesis.least_blank` of each line, (B,), of (B, T) arrays as in `BestPath`."""
    if not best.size:
        return np.ones(len(best), np.float32)
    emitted = best != 0
    at = np.arange(best.shape[1])
    # Where no character stands before or behind: the first or last column, a blank, which is no rival.
    before = np.maximum.accumulate(np.where(emitted, at, 0), axis=1)
    behind = np.minimum.accumulate(np.where(emitted, at, at[-1])[:, ::-1], axis=1)[:, ::-1]
    apart = ~emitted
    for neighbour in (before, behind):
        apart &= character != np.take_along_axis(best, neighbour, 1)
    least: np.ndarray = np.where(apart, probability, 1).min(axis=1)
    return least


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
