"""From what a model computes to the characters of a line: the step behind pre-processing and the model.

B lines, T columns, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vocr_cli.core.decoding.ctc import (
    BestPath,
    CtcHypothesis,
    best_path,
    ctc_log_likelihoods,
    merge_repeats,
    seen_spaces,
    without_idle_columns,
)
from vocr_cli.core.decoding.ctc_beam import (
    FUSED_BEAM,
    CtcPrefix,
    aligned_confidences,
    ctc_beam,
    is_unsure,
    misses_a_character,
)
from vocr_cli.core.inference.engines.decoding import Decoding

_CERTAIN = 0.9
"""Of the texts that a search kept, one that is likelier stands: a second look found no better one."""
_LOOK_TEXTS = 4
"""Of each look that are weighed: eight of each read no better."""
CROWDED = "crowded"
"""Flag: a run of one character stands closer than CTC can tell apart, so some may be lost."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the columns of a line say, kept until another look at it was taken.

    Attributes:
        log_probs: (T, C) float32, without idle columns.
        texts: Class numbers of the likeliest texts, spaces included that no image shows; at least one.
        empty_probability: That nothing stands in the line.
    """

    log_probs: np.ndarray
    texts: tuple[tuple[int, ...], ...]
    empty_probability: float


@dataclass(frozen=True, slots=True)
class LineHypothesis:
    """What one line says, in the charset's class numbers (the first character is 1; 0 never appears).

    Attributes:
        classes: Class numbers.
        confidences: The probability of each.
        empty_confidence: The probability that nothing stands there; where `classes` is empty only, else 0.
        flags: What makes the reading doubtful.
        alternatives: From a beam: class numbers and score, best first, `classes` itself among them.
        certainty: Of a line that a language model searched: how likely `classes` are, see `certainty_of`.
        look: Of a line that is worth a second look, or is having one, what `joint_hypothesis` makes a text
            of; until then, all but `flags` is as by the best class of each column.
    """

    classes: list[int]
    confidences: list[float]
    empty_confidence: float = 0.0
    flags: tuple[str, ...] = ()
    alternatives: list[tuple[list[int], float]] = field(default_factory=list)
    certainty: float | None = None
    look: Look | None = field(default=None, compare=False, repr=False)


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
    doubtful = decoding.looks == "second" or is_unsure(greedy) or misses_a_character(greedy)
    heard = decoding.language_model is not None and doubtful
    looked_at = decoding.looks != "one" and (doubtful or greedy.crowded)
    if not (heard or looked_at) and decoding.beam == 1:
        empty = 0.0 if greedy.classes else empty_probability(log_softmax(logits_of(index)))
        return LineHypothesis(greedy.classes, greedy.confidences, empty, flags)
    log_probs = log_softmax(logits_of(index))
    told = without_idle_columns(log_probs)
    if heard and decoding.language_model is not None:
        prefixes = decoding.language_model.search(told, decoding.beam)
    else:
        prefixes = ctc_beam(told, max(decoding.beam, FUSED_BEAM) if looked_at else decoding.beam)
    texts = told_apart(prefixes, decoding.space)
    scores = [score for _, score in texts]
    if decoding.looks == "second" or (looked_at and (greedy.crowded or posterior(scores) < _CERTAIN)):
        most = max(_LOOK_TEXTS, decoding.n_best)
        look = Look(told, tuple(prefix.classes for prefix in prefixes[:most]), empty_probability(log_probs))
        return LineHypothesis(greedy.classes, greedy.confidences, 0.0, flags, look=look)
    spelled = prefixes[0].classes
    seen = seen_spaces(spelled, decoding.space)
    classes, confidences = [spelled[at] for at in seen], greedy.confidences
    # The best class of each column is the likeliest alignment of the text that it spells.
    if classes != greedy.classes:
        aligned = aligned_confidences(told, spelled)
        confidences = [aligned[at] for at in seen]
    certainty = None
    if heard:
        (columns_say,) = ctc_log_likelihoods([told], [each.classes for each in prefixes])
        certainty = certainty_of(scores, columns_say)
    return LineHypothesis(
        classes,
        confidences,
        0.0 if classes else empty_probability(log_probs),
        flags,
        [(list(text), score) for text, score in texts[: decoding.n_best]] if decoding.beam > 1 else [],
        certainty,
    )


def told_apart(prefixes: Sequence[CtcPrefix], space: int) -> list[tuple[tuple[int, ...], float]]:
    """Texts and their scores, best first; of those that look alike, the best alone, with its score."""
    texts: dict[tuple[int, ...], float] = {}
    for prefix in prefixes:
        text = tuple(prefix.classes[at] for at in seen_spaces(prefix.classes, space))
        texts.setdefault(text, prefix.score)
    return list(texts.items())


def posterior(scores: Sequence[float]) -> float:
    """The probability, 0..1, of the first of N texts, by the natural logarithms of their weights."""
    return 1 / sum(math.exp(score - scores[0]) for score in scores)


def certainty_of(scores: Sequence[float], log_likelihoods: Sequence[float] | np.ndarray) -> float:
    """How likely the first of N texts is, 0..1, by a model and a language model together; to be calibrated.

    It is the text's probability among the N, times the fourth root of the share of the model's probability
    that they all make up. Where nothing can be read, one of several bad texts may well be likelier than the
    others; that share, however, is small then. Of its powers, this one told right from wrong best on rendered
    lines.

    Args:
        scores: Natural logarithms of the weights that model and language model together give the texts.
        log_likelihoods: Natural logarithms of the texts' probabilities by the model alone.
    """
    share = min(1.0, float(np.exp(log_likelihoods).sum()))
    return posterior(scores) * math.sqrt(math.sqrt(share))


def empty_probability(log_probs: np.ndarray) -> float:
    """The probability that nothing stands in a line: the mean of the blank's over the columns of (T, C)."""
    return float(np.exp(log_probs[:, 0]).mean())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the probabilities, (T, C), of (T, C) logits."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised
