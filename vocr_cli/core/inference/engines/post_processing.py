"""From what a model computes to the characters of a line: the step behind pre-processing and the model.

B lines, T columns, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vocr_cli.core.decoding.ctc import BestPath, CtcHypothesis, best_path, merge_repeats, seen_spaces
from vocr_cli.core.decoding.ctc_beam import (
    CtcPrefix,
    aligned_confidences,
    ctc_beam,
    is_unsure,
    misses_a_character,
)
from vocr_cli.core.inference.engines.decoding import Decoding

CROWDED = "crowded"
"""Flag: a run of one character stands closer than CTC can tell apart, so some may be lost."""


@dataclass(frozen=True, slots=True)
class LineHypothesis:
    """What one line says, in the charset's class numbers (the first character is 1; 0 never appears).

    Attributes:
        classes: Class numbers.
        confidences: The probability of each.
        empty_confidence: The probability that nothing stands there; where `classes` is empty only, else 0.
        flags: What makes the reading doubtful.
        alternatives: From a beam: class numbers and score, best first, `classes` itself among them.
        posterior: Of a line that a language model searched: the probability of `classes` among the texts
            that the search kept, each as likely as columns and language model together find it.
    """

    classes: list[int]
    confidences: list[float]
    empty_confidence: float = 0.0
    flags: tuple[str, ...] = ()
    alternatives: list[tuple[list[int], float]] = field(default_factory=list)
    posterior: float | None = None


def ctc_hypotheses(logits: Sequence[np.ndarray], decoding: Decoding) -> list[LineHypothesis]:
    """Decodes logits by the best class per column, or with a beam into the likeliest text.

    Args:
        logits: Of each line, (T, C) float32, T of its own.
        decoding: What may be read, and how it is searched for.
    """
    if decoding.mask is not None:
        logits = [line + decoding.mask for line in logits]
    return searched_hypotheses(_greedy(logits), logits.__getitem__, decoding)


def _greedy(logits: Sequence[np.ndarray]) -> list[CtcHypothesis]:
    """Decodes lines of any T together: all but the best class of each column is done once for all of them."""
    columns = max((len(line) for line in logits), default=0)  # none where all were in a cache
    best, character = np.zeros((2, len(logits), columns), np.int64)
    probability = np.ones(best.shape, np.float32)
    for row, line in enumerate(logits):
        path, within = best_path(line), slice(len(line))
        best[row, within], probability[row, within] = path.best, path.probability
        character[row, within] = path.character
    return merge_repeats(BestPath(best, probability, character))


def searched_hypotheses(
    best: Sequence[CtcHypothesis], logits_of: Callable[[int], np.ndarray], decoding: Decoding
) -> list[LineHypothesis]:
    """Makes line hypotheses of what the greedy search found, or searches lines further.

    Args:
        best: Of B lines.
        logits_of: Gives the (T, C) logits of a line by its index; asked for empty and searched lines only.
        decoding: A beam searches all lines, a language model those that are doubtful.
    """
    return [_line_hypothesis(line, index, logits_of, decoding) for index, line in enumerate(best)]


def _line_hypothesis(
    greedy: CtcHypothesis, index: int, logits_of: Callable[[int], np.ndarray], decoding: Decoding
) -> LineHypothesis:
    flags = (CROWDED,) if greedy.crowded else ()
    if len(seen := seen_spaces(greedy.classes, decoding.space)) < len(greedy.classes):
        shown, sure = [greedy.classes[at] for at in seen], [greedy.confidences[at] for at in seen]
        greedy = replace(greedy, classes=shown, confidences=sure)
    heard = decoding.language_model is not None and (is_unsure(greedy) or misses_a_character(greedy))
    if not heard and decoding.beam == 1:
        empty = 0.0 if greedy.classes else _empty_probability(log_softmax(logits_of(index)))
        return LineHypothesis(greedy.classes, greedy.confidences, empty, flags)
    log_probs = log_softmax(logits_of(index))
    if heard and decoding.language_model is not None:
        prefixes = decoding.language_model.search(log_probs, decoding.beam)
    else:
        prefixes = ctc_beam(log_probs, decoding.beam)
    spelled = prefixes[0].classes
    seen = seen_spaces(spelled, decoding.space)
    classes, confidences = [spelled[at] for at in seen], greedy.confidences
    # The best class of each column is the likeliest alignment of the text that it spells.
    if classes != greedy.classes:
        aligned = aligned_confidences(log_probs, spelled)
        confidences = [aligned[at] for at in seen]
    texts = _told_apart(prefixes, decoding.space)
    return LineHypothesis(
        classes,
        confidences,
        0.0 if classes else _empty_probability(log_probs),
        flags,
        [(list(text), score) for text, score in texts[: decoding.n_best]] if decoding.beam > 1 else [],
        posterior([score for _, score in texts]) if heard else None,
    )


def _told_apart(prefixes: Sequence[CtcPrefix], space: int) -> list[tuple[tuple[int, ...], float]]:
    """Texts and their scores, best first; of those that look alike, the best alone, with its score."""
    texts: dict[tuple[int, ...], float] = {}
    for prefix in prefixes:
        text = tuple(prefix.classes[at] for at in seen_spaces(prefix.classes, space))
        texts.setdefault(text, prefix.score)
    return list(texts.items())


def posterior(scores: Sequence[float]) -> float:
    """The probability, 0..1, of the first of N texts, by the natural logarithms of their weights."""
    return 1 / sum(math.exp(score - scores[0]) for score in scores)


def _empty_probability(log_probs: np.ndarray) -> float:
    """The probability that nothing stands in a line: the mean of the blank's over the columns of (T, C)."""
    return float(np.exp(log_probs[:, 0]).mean())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the probabilities, (T, C), of (T, C) logits."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised
