"""From tokens of a model that writes step by step to the characters of a line. C classes. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vocr_cli.core.decoding.ctc_beam import is_unsure
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.token_hypothesis import TokenHypothesis
from vocr_cli.core.inference.engines.decoding import Decoding, LanguageModelSearch
from vocr_cli.core.inference.engines.post_processing import LineHypothesis, certainty_of

HEARD_BEAM = 8
"""Hypotheses of a doubtful line among which a language model chooses."""

ReadGreedily = Callable[[DecodeOptions], list[TokenHypothesis]]
"""Reads all lines of a batch."""

SearchLines = Callable[[Sequence[int], DecodeOptions], list[list[TokenHypothesis]]]
"""Searches lines of a batch by their rising indices, with a beam; hypotheses of each, best first."""


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

    def read(
        self,
        count: int,
        greedily: ReadGreedily,
        search: SearchLines,
        options: DecodeOptions,
        decoding: Decoding,
    ) -> list[LineHypothesis]:
        """Reads a batch as `decoding` says; a language model chooses among the hypotheses of doubtful lines.

        Args:
            count: Lines of the batch.
            greedily: Reads them all.
            search: Searches some of them.
            options: How lines are read; its `beam` and `n_best` are taken from `decoding`.
            decoding: A beam searches all lines, a language model those that are doubtful.

        Returns:
            Per line what it says, without specials.

        Raises:
            ModelError: The language model's file is none, or is damaged.
        """
        options = options.model_copy(update={"beam": decoding.beam, "n_best": decoding.n_best})
        if decoding.beam > 1:
            read = [self._beam_hypothesis(found) for found in search(range(count), options)]
        else:
            read = [self.line_hypothesis(hypothesis) for hypothesis in greedily(options)]
        if (lm := decoding.language_model) is None:
            return read
        doubtful = [index for index, line in enumerate(read) if is_unsure(line)]
        if doubtful:
            beam = max(decoding.beam, HEARD_BEAM)
            summed = options.model_copy(update={"beam": beam, "n_best": beam, "length_penalty": 0.0})
            for index, found in zip(doubtful, search(doubtful, summed), strict=True):
                read[index] = self._chosen(found, lm, decoding) or read[index]
        return read

    def line_hypothesis(self, hypothesis: TokenHypothesis) -> LineHypothesis:
        """Translates what a greedy search found, without specials, which a trained model does not write."""
        return self._translated(hypothesis, [])

    def _beam_hypothesis(self, hypotheses: Sequence[TokenHypothesis]) -> LineHypothesis:
        """Translates what a beam search found, best first: the best one, and all as its alternatives."""
        alternatives = [(self._in_charset(each.classes), each.score) for each in hypotheses]
        return self._translated(hypotheses[0], alternatives)

    def _chosen(
        self, hypotheses: Sequence[TokenHypothesis], lm: LanguageModelSearch, decoding: Decoding
    ) -> LineHypothesis | None:
        """Of hypotheses scored by Σ log p the one that a language model, too, finds likeliest.

        None: every one was stopped before its end.
        """
        ended = [hypothesis for hypothesis in hypotheses if not hypothesis.flags]
        if not ended:
            return None
        texts = [self._in_charset(hypothesis.classes) for hypothesis in ended]
        text_scores = lm.written_text_scores(texts)
        scores = [hypothesis.score + score for hypothesis, score in zip(ended, text_scores, strict=True)]
        order = sorted(range(len(ended)), key=scores.__getitem__, reverse=True)
        alternatives = [(texts[index], scores[index]) for index in order[: decoding.n_best]]
        chosen = self._translated(ended[order[0]], alternatives if decoding.beam > 1 else [])
        certainty = certainty_of([scores[index] for index in order], [each.score for each in ended])
        return replace(chosen, certainty=certainty)

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
