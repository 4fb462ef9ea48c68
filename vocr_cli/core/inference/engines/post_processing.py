"""From what a model computes to the characters of a line: the step behind pre-processing and the model.

B lines, T columns, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vocr_cli.core.decoding.ctc import ctc_greedy
from vocr_cli.core.decoding.ctc_beam import aligned_confidences, ctc_beam
from vocr_cli.core.decoding.greedy import TokenHypothesis

CROWDED = "crowded"
"""Flag: a run of one character stands closer than CTC can tell apart, so some may be lost."""


@dataclass(frozen=True)
class LineHypothesis:
    """What one line says, in the charset's class numbers (the first character is 1; 0 never appears).

    Attributes:
        classes: Class numbers.
        confidences: The probability of each.
        empty_confidence: The probability that nothing stands there; where `classes` is empty only, else 0.
        flags: What makes the reading doubtful.
        alternatives: From a beam: class numbers and score, best first, `classes` itself among them.
    """

    classes: list[int]
    confidences: list[float]
    empty_confidence: float = 0.0
    flags: tuple[str, ...] = ()
    alternatives: list[tuple[list[int], float]] = field(default_factory=list)


def ctc_hypotheses(logits: Tensor, mask: Tensor | None, beam: int, n_best: int) -> list[LineHypothesis]:
    """Decodes logits by the best class per column, or with a beam into the likeliest text.

    Args:
        logits: (B, T, C) float.
        mask: (C,), 0 for what may be read, -inf for the rest; None: all may be read.
        beam: Prefixes kept from column to column; 1: greedy.
        n_best: Alternatives given from a beam.
    """
    if mask is not None:
        logits = logits + mask
    best = ctc_greedy(logits)
    flags = [(CROWDED,) if hypothesis.crowded else () for hypothesis in best]
    if beam > 1:
        log_probs = logits.float().log_softmax(-1).cpu().numpy()  # (B, T, C)
        return [
            _beam_hypothesis(line, beam, n_best, flag) for line, flag in zip(log_probs, flags, strict=True)
        ]
    return [
        LineHypothesis(
            hypothesis.classes,
            hypothesis.confidences,
            0.0 if hypothesis.classes else mean_blank_probability(logits[line]),
            flag,
        )
        for line, (hypothesis, flag) in enumerate(zip(best, flags, strict=True))
    ]


def mean_blank_probability(logits: Tensor) -> float:
    """Returns the mean probability of the blank over the columns of (T, C) logits."""
    return float(logits.float().softmax(-1)[:, 0].mean())


def _beam_hypothesis(log_probs: np.ndarray, beam: int, n_best: int, flags: tuple[str, ...]) -> LineHypothesis:
    """Decodes the (T, C) log-probabilities of one line with a beam."""
    prefixes = ctc_beam(log_probs, beam)
    best = prefixes[0].classes
    return LineHypothesis(
        list(best),
        aligned_confidences(log_probs, best),
        0.0 if best else float(np.exp(log_probs[:, 0]).mean()),
        flags,
        alternatives=[(list(prefix.classes), prefix.score) for prefix in prefixes[:n_best]],
    )


class TokenPostProcessor:
    """Translates between the class numbers of a model that writes step by step and those of the charset.

    Such a model has `specials` classes that are no characters (start, end, padding), then the charset's in
    order; the charset counts its characters from 1.

    Args:
        classes: C of the model, specials included.
        specials: How many of them are no characters.
    """

    def __init__(self, classes: int, specials: int) -> None:
        self._classes, self._specials = classes, specials

    def allowed_classes(self, mask: Tensor) -> Tensor:
        """Translates a charset's mask into the model's classes: (C,) bool, true for what is allowed."""
        allowed = torch.zeros(self._classes, dtype=torch.bool, device=mask.device)
        allowed[self._specials :] = mask[1:] == 0
        return allowed

    def line_hypothesis(self, hypothesis: TokenHypothesis) -> LineHypothesis:
        """Translates what a greedy search found, without specials, which a trained model does not write."""
        return self._translated(hypothesis, [])

    def beam_hypothesis(self, hypotheses: Sequence[TokenHypothesis]) -> LineHypothesis:
        """Translates what a beam search found, best first: the best one, and all as its alternatives."""
        alternatives = [(self._in_charset(each.classes), each.score) for each in hypotheses]
        return self._translated(hypotheses[0], alternatives)

    def _translated(
        self, hypothesis: TokenHypothesis, alternatives: list[tuple[list[int], float]]
    ) -> LineHypothesis:
        tokens = zip(hypothesis.classes, hypothesis.confidences, strict=True)
        confidences = [confidence for token, confidence in tokens if token >= self._specials]
        empty_confidence = 0.0 if confidences else math.exp(hypothesis.score)
        classes = self._in_charset(hypothesis.classes)
        return LineHypothesis(classes, confidences, empty_confidence, hypothesis.flags, alternatives)

    def _in_charset(self, tokens: Sequence[int]) -> list[int]:
        return [token - self._specials + 1 for token in tokens if token >= self._specials]
