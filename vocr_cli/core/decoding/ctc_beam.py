"""CTC decoding that sums over alignments. T columns, C classes, L characters; class 0 is the blank."""

from __future__ import annotations

import math
from array import array
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vocr_cli.core.decoding.ctc import CtcHypothesis
from vocr_cli.core.text import Charset

if TYPE_CHECKING:
    from vocr_cli.core.language_model.ngram import NgramModel
    from vocr_cli.core.language_model.text_score import TextScorer

FUSED_BEAM, LM_WEIGHT, LM_BONUS, LM_FLOOR, UNSURE = 8, 0.4, 1.0, -5.0, 0.7
"""How a language model is heard, as `benchmarks/lm_fusion.py` chose it on rendered lines."""
_UNSURE_BLANK = 0.9
"""Below it a blank may stand for a character: two more lines of clean print in a hundred are searched."""

_NEVER = -math.inf

_Ends = dict[int, tuple[float, float, float]]
"""For each prefix the logarithms of the probabilities that it was spelled with a blank at the end, without
one, and either way."""


class HasConfidences(Protocol):
    """A greedy reading."""

    @property
    def confidences(self) -> Sequence[float]:
        """The probability of each character."""


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
    return _search(log_probabilities, beam, _candidates(log_probabilities, classes_per_column, least))


def fused_beam(
    log_probs: np.ndarray,
    lm: NgramModel,
    charset: Charset,
    beam: int = FUSED_BEAM,
    weight: float = LM_WEIGHT,
    bonus: float = LM_BONUS,
    *,
    floor: float = LM_FLOOR,
    classes_per_column: int = 8,
    least: float = -5.0,
    gap: float = 5.0,
) -> list[CtcPrefix]:
    """Searches the texts that the columns and a language model together find likeliest.

    The score of a text is its CTC log-probability plus weight * log p + bonus for each letter, each space
    after one, each run of signs and each code, with the p of the language model; what a sign or a code says,
    CTC decides alone (`language_model/text_score.py`). With a weight and a bonus of 0, the limits of
    `ctc_beam` and an infinite gap, it finds what `ctc_beam` finds.

    Args:
        log_probs: (T, C) float, of one line.
        lm: The language model.
        charset: The C - 1 characters.
        beam: Prefixes kept from column to column, and hypotheses given back at most.
        weight: Of the language model's log-probabilities.
        bonus: For each judgement of the language model; without it, shorter texts would win.
        floor: What the language model finds less likely than this log-probability counts as this.
        classes_per_column: In each column only so many classes, the likeliest, extend a prefix.
        least: Nor do those whose logarithm lies below this.
        gap: Prefixes that score so much less than the best are dropped.

    Returns:
        At least one hypothesis, best first, with the scores of both together.
    """
    from vocr_cli.core.language_model.text_score import TextScorer  # few lines are searched with one

    scorer = TextScorer(lm, charset, weight=weight, bonus=bonus, floor=floor)
    candidates = _candidates(log_probs, classes_per_column, least)
    return _search(log_probs, beam, candidates, scorer, gap)


def is_unsure(hypothesis: HasConfidences, threshold: float = UNSURE) -> bool:
    """Returns whether a greedy reading is worth a search with a language model: a character is doubtful."""
    return min(hypothesis.confidences, default=1.0) < threshold


def misses_a_character(hypothesis: CtcHypothesis) -> bool:
    """Returns whether a greedy reading may have passed over a character, which a search could find."""
    return bool(hypothesis.classes) and hypothesis.least_blank < _UNSURE_BLANK


def _search(
    log_probabilities: np.ndarray,
    beam: int,
    candidates: list[list[int]],
    scorer: TextScorer | None = None,
    gap: float = math.inf,
) -> list[CtcPrefix]:
    """Runs over the columns; `candidates` are the classes of each that may extend a prefix."""
    tree = _PrefixTree(scorer)
    last, text_scores = tree.last, tree.text_scores
    logs = array("d", np.ascontiguousarray(log_probabilities, np.float64).tobytes())  # quick to index
    ends = {tree.ROOT: (0.0, _NEVER, 0.0)}
    most, size = 0.0, log_probabilities.shape[1]  # the score of the best prefix in the column before
    for at, classes in zip(range(0, len(logs), size), candidates, strict=True):
        column = logs[at : at + size]
        if not classes:  # nothing is extended, so there is nothing to drop
            most += column[0]
            for prefix, (_, non_blank, either) in ends.items():
                blank, non_blank = either + column[0], non_blank + column[last[prefix]]
                ends[prefix] = blank, non_blank, _add(blank, non_blank)
            continue
        # No prefix of this column will be far below the best one, extended by the likeliest class.
        least = most + max(column[0], *(column[number] for number in classes)) - gap
        ranked = []
        for prefix, (blank, non_blank) in _grown(tree, ends, column, classes, least, beam=beam).items():
            either = _add(blank, non_blank)
            ranked.append((-either - text_scores[prefix], prefix, (blank, non_blank, either)))
        ranked.sort()
        most = -ranked[0][0]
        ends = {prefix: logarithms for cost, prefix, logarithms in ranked[:beam] if cost <= gap - most}
    found = sorted((-end[2] - text_scores[prefix], tree.classes(prefix)) for prefix, end in ends.items())
    return [CtcPrefix(classes, -cost) for cost, classes in found]


def _grown(
    tree: _PrefixTree, ends: _Ends, column: array[float], classes: list[int], least: float, *, beam: int
) -> dict[int, tuple[float, float]]:
    """Takes prefixes on by a column: the logarithms of what they become, with and without a blank at the end.

    One of `classes` more follows where that scores above `least` and may be among the `beam` best.
    """
    last, text_scores, numbers = tree.last, tree.text_scores, tree.numbers
    extensions = [(number, column[number]) for number in classes]
    grown: dict[int, tuple[float, float]] = {}
    longer: list[tuple[float, int, int, float]] = []
    for prefix, (blank, non_blank, either) in ends.items():
        final, text_score = last[prefix], text_scores[prefix]
        stays = non_blank + column[final]
        known = grown.get(prefix)  # from its own beginning, a character shorter
        grown[prefix] = either + column[0], stays if known is None else _add(known[1], stays)
        for number, log in extensions:
            score = log + (blank if number == final else either)  # a blank parts two equal characters
            if score + text_score <= least:
                continue
            child = numbers.get((prefix, number))
            if child is None or child not in ends:
                longer.append((-score - text_score, prefix, number, score))
                continue
            known = grown.get(child)
            grown[child] = (_NEVER, score) if known is None else (known[0], _add(known[1], score))
    # The likeliest first, until no other can be among the best, whatever the scorer thinks of its character.
    best = sorted(_add(*both) + text_scores[prefix] for prefix, both in grown.items())[-beam:]
    longer.sort()
    for cost, prefix, number, score in longer:
        if len(best) == beam and tree.most_gain - cost < best[0]:
            break
        child = tree.child(prefix, number)
        grown[child] = _NEVER, score
        insort(best, score + text_scores[child])
        del best[:-beam]
    return grown


class _PrefixTree:
    """Numbers prefixes as they are met, so that long ones are as quick to look up as short ones.

    Args:
        scorer: Adds the scores of texts to those of CTC; None: CTC decides alone.
    """

    ROOT = 0
    """The empty prefix."""

    def __init__(self, scorer: TextScorer | None) -> None:
        self._scorer = scorer
        self.most_gain = 0.0 if scorer is None else scorer.most_gain
        """What one character more can add to a score."""
        self.numbers: dict[tuple[int, int], int] = {}
        """Of the prefixes that one more class, the second of a key, makes of others."""
        self._parents = [-1]
        self._states = [] if scorer is None else [scorer.start]
        self.last = [0]
        """The last class of each prefix; 0 for the empty one."""
        self.text_scores = [0.0]
        """What the scorer thinks of each prefix."""

    def child(self, prefix: int, number: int) -> int:
        """Returns the prefix that a class more makes of another."""
        key = prefix, number
        child = self.numbers.get(key)
        if child is None:
            child = self.numbers[key] = len(self.last)
            self.last.append(number)
            self._parents.append(prefix)
            if self._scorer is None:
                self.text_scores.append(0.0)
            else:
                state = self._scorer.advance(self._states[prefix], number)
                self._states.append(state)
                self.text_scores.append(state.finished + state.token)
        return child

    def classes(self, prefix: int) -> tuple[int, ...]:
        """Returns the classes of a prefix in their order."""
        backwards = []
        while prefix != self.ROOT:
            backwards.append(self.last[prefix])
            prefix = self._parents[prefix]
        return tuple(reversed(backwards))


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
    skipping = np.where(may_skip, 0, _NEVER)[2:]
    emitted = log_probabilities[:, states]  # (T, 2L + 1)
    options = np.full((3, len(states)), _NEVER)  # stay, step from the state before, from two before
    score = options[0]
    score[:2] = emitted[0, :2]
    came_from = np.zeros(emitted.shape, np.int64)
    for time in range(1, len(emitted)):
        options[1, 1:] = score[:-1]
        np.add(score[:-2], skipping, out=options[2, 2:])
        options.argmax(axis=0, out=came_from[time])
        np.maximum(score, options[1], out=score)
        np.maximum(score, options[2], out=score)
        score += emitted[time]
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
    likely = characters >= max(least, np.finfo(np.float64).min)
    for column in np.flatnonzero(likely.sum(axis=1) > most):
        likely[column, np.argpartition(-characters[column], most - 1)[most:]] = False
    columns, classes = np.nonzero(likely)
    ends = np.cumsum(np.bincount(columns, minlength=len(characters))).tolist()
    numbers = (classes + 1).tolist()
    return [numbers[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _add(one: float, other: float) -> float:
    """Returns log(exp(one) + exp(other))."""
    if one < other:
        one, other = other, one
    return one if other == _NEVER else one + math.log1p(math.exp(other - one))
