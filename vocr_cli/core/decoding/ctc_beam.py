"""CTC decoding that sums over alignments. T columns, C classes, L characters; class 0 is the blank."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_NEVER = -math.inf


@dataclass(frozen=True)
class CtcPrefix:
    """A text that a line may say.

    Attributes:
        classes: (L,) class numbers.
        score: Natural logarithm of its probability, summed over the alignments that the search kept.
    """

    classes: tuple[int, ...]
    score: float


def ctc_beam(
    log_probabilities: np.ndarray, beam: int, classes_per_column: int = 16, least: float = -12.0
) -> list[CtcPrefix]:
    """Searches the likeliest texts by prefix beam search (Hannun et al., 2014), without a language model.

    Prefixes that the same characters spell are one, whatever columns they take. With a beam, and classes per
    column, beyond all there are, and `least` at minus infinity, the scores are exact.

    Args:
        log_probabilities: (T, C) float, of one line.
        beam: Prefixes kept from column to column, and hypotheses given back at most.
        classes_per_column: In each column only so many classes, the likeliest, extend a prefix.
        least: Nor do those whose logarithm lies below this.

    Returns:
        At least one hypothesis, best first; equal scores in the order of their classes.
    """
    # The logarithms of the probabilities that a prefix was spelled with a blank at the end, and without one.
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _NEVER)}
    for column, candidates in zip(
        log_probabilities.tolist(), _candidates(log_probabilities, classes_per_column, least), strict=True
    ):
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (blank, non_blank) in prefixes.items():
            either = _add(blank, non_blank)
            last = prefix[-1] if prefix else 0
            repeated = non_blank + column[last] if prefix else _NEVER
            _put(grown, prefix, either + column[0], repeated)
            for number in candidates:
                before = blank if number == last else either  # a blank parts two equal characters
                if before != _NEVER:
                    _put(grown, (*prefix, number), _NEVER, before + column[number])
        ranked = sorted(grown.items(), key=lambda item: (-_add(*item[1]), item[0]))
        prefixes = dict(ranked[:beam])
    return [CtcPrefix(prefix, _add(*ends)) for prefix, ends in prefixes.items()]


def aligned_confidences(log_probabilities: np.ndarray, classes: tuple[int, ...]) -> list[float]:
    """Returns the highest probability among the columns of each character, in the likeliest alignment.

    Args:
        log_probabilities: (T, C) float.
        classes: (L,) a text that T columns can say.
    """
    states = np.zeros(2 * len(classes) + 1, np.int64)  # a blank before, between and after the characters
    states[1::2] = classes
    may_skip = np.zeros(len(states), bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    emitted = log_probabilities[:, states]  # (T, 2L + 1)
    score = np.full(len(states), _NEVER)
    score[:2] = emitted[0, :2]
    came_from = np.zeros(emitted.shape, np.int64)
    for time in range(1, len(emitted)):
        options = np.full((3, len(states)), _NEVER)  # stay, step from the state before, from two before
        options[0] = score
        options[1, 1:] = score[:-1]
        options[2, 2:] = np.where(may_skip[2:], score[:-2], _NEVER)
        came_from[time] = options.argmax(axis=0)
        score = options.max(axis=0) + emitted[time]
    best = np.full(len(classes), _NEVER)
    state = len(states) - 1 - int(len(states) > 1 and score[-2] > score[-1])
    for time in range(len(emitted) - 1, -1, -1):
        if state % 2:
            best[state // 2] = max(best[state // 2], emitted[time, state])
        state -= int(came_from[time, state])
    confidences: list[float] = np.exp(best).tolist()
    return confidences


def _candidates(log_probabilities: np.ndarray, most: int, least: float) -> list[list[int]]:
    """Returns for each column the classes other than the blank that may extend a prefix."""
    characters = log_probabilities[:, 1:]  # (T, C - 1)
    most = min(most, characters.shape[1])
    top = np.argpartition(-characters, most - 1, axis=1)[:, :most]  # (T, most)
    likely = np.take_along_axis(characters, top, axis=1) >= max(least, np.finfo(np.float64).min)
    return [(row[good] + 1).tolist() for row, good in zip(top, likely, strict=True)]


def _put(
    prefixes: dict[tuple[int, ...], tuple[float, float]],
    prefix: tuple[int, ...],
    blank: float,
    non_blank: float,
) -> None:
    """Adds the probabilities of more alignments to a prefix."""
    known = prefixes.get(prefix)
    if known is not None:
        blank, non_blank = _add(known[0], blank), _add(known[1], non_blank)
    prefixes[prefix] = blank, non_blank


def _add(one: float, other: float) -> float:
    """Returns log(exp(one) + exp(other))."""
    if one < other:
        one, other = other, one
    return one if other == _NEVER else one + math.log1p(math.exp(other - one))
