"""From tokens of a model that writes step by step to the characters of a line. C classes. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vocr_cli.core.decoding.token_hypothesis import TokenHypothesis
from vocr_cli.core.inference.engines.post_processing import LineHypothesis


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

    def allowed_classes(self, mask: np.ndarray) -> np.ndarray:
        """Translates a charset's mask into the model's classes: (C,) bool, true for what is allowed."""
        allowed = np.zeros(self._classes, bool)
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
