"""How engines turn what a model computes into text."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np

from vocr_cli.core.errors import DataError
from vocr_cli.core.text import Charset, describe_character

if TYPE_CHECKING:
    from vocr_cli.core.decoding.ctc_beam import CtcPrefix
    from vocr_cli.core.language_model.ngram import NgramModel

WRITTEN_WEIGHT, WRITTEN_BONUS = 0.2, 0.5
"""How a language model is heard beside a model that writes step by step: half as much as beside CTC, since
such a model has learnt the language of its training lines itself."""


class LanguageModelSearch:
    """Searches doubtful lines with a language model, which is opened when the first of them comes.

    Args:
        path: The file of the language model.
        charset: What the classes mean.
        weight: How much it counts beside CTC's probabilities; None: as was tuned for `vi-small`.
    """

    def __init__(self, path: Path, charset: Charset, weight: float | None = None) -> None:
        self.path = path
        self._charset, self._weight = charset, weight
        self._opening = Lock()
        self._model: NgramModel | None = None

    def search(self, log_probs: np.ndarray, beam: int) -> list[CtcPrefix]:
        """Searches a line with the beam that was tuned, or a wider one that is asked for.

        Args:
            log_probs: (T, C) float.
            beam: Prefixes kept at least.

        Raises:
            ModelError: The file is no language model, or is damaged.
        """
        from vocr_cli.core.decoding.ctc_beam import FUSED_BEAM, fused_beam

        weight, bonus = self._weight_and_bonus()
        return fused_beam(log_probs, self.model(), self._charset, max(beam, FUSED_BEAM), weight, bonus)

    def text_scores(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Scores whole texts, as `search` adds it to CTC's log-probabilities.

        Args:
            texts: Of N texts the class numbers.

        Returns:
            N scores.

        Raises:
            ModelError: The file is no language model, or is damaged.
        """
        return self._scores(texts, *self._weight_and_bonus())

    def written_text_scores(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Scores whole texts, as is added to the Σ log p, natural logarithms, of a model that writes them.

        Args:
            texts: Of N texts the class numbers of the charset, 1 for its first character.

        Returns:
            N scores; texts of more letters may have higher ones (`TextScorer`, its bonus).

        Raises:
            ModelError: The file is no language model, or is damaged.
        """
        return self._scores(texts, WRITTEN_WEIGHT, WRITTEN_BONUS)

    def _weight_and_bonus(self) -> tuple[float, float]:
        from vocr_cli.core.decoding.ctc_beam import LM_BONUS, LM_WEIGHT

        weight = LM_WEIGHT if self._weight is None else self._weight
        return weight, weight / LM_WEIGHT * LM_BONUS  # heard more, it favours short texts more

    def _scores(self, texts: Sequence[Sequence[int]], weight: float, bonus: float) -> list[float]:
        from vocr_cli.core.decoding.ctc_beam import LM_FLOOR
        from vocr_cli.core.language_model.text_score import TextScorer

        scorer = TextScorer(self.model(), self._charset, weight=weight, bonus=bonus, floor=LM_FLOOR)
        return [reduce(scorer.advance, text, scorer.start).score for text in texts]

    def model(self) -> NgramModel:
        """Opens the language model, or gives the open one; errors as of `search`."""
        from vocr_cli.core.language_model.ngram import open_language_model

        with self._opening:
            if self._model is None:
                self._model = open_language_model(str(self.path))
            return self._model


@dataclass(frozen=True, eq=False)
class Decoding:
    """What may be read, and how it is searched for.

    Attributes:
        mask: (C,) float32 of the charset: 0 for what may be read (the first stands for nothing, or the end),
            -inf for the rest; None: all may be read.
        beam: Hypotheses kept; 1: greedy.
        n_best: Alternatives given from a beam; few are found sooner than many.
        language_model: Searches lines of which a character is doubtful; None: there is none. For models
            that write step by step it chooses among the hypotheses of a beam.
        space: The class of the space, of which CTC's texts have none at their ends and one of each run; 0:
            there is none. What VietOCR's models write stays as it is.
        looks: Whether lines that CTC reads and that are worth a second look are kept for one, or this is
            that look, and all are.
    """

    mask: np.ndarray | None = None
    beam: int = 1
    n_best: int = 1
    language_model: LanguageModelSearch | None = None
    space: int = 0
    looks: Literal["one", "first", "second"] = "one"


def class_mask(charset: Charset, allow: str, deny: str) -> np.ndarray | None:
    """(C,) float32: 0 for no character and for what may be read, else -inf; None: there are no limits.

    Raises:
        DataError: A character of `allow` is not in the charset, or none is left to read.
    """
    if not allow and not deny:
        return None
    allowed = unicodedata.normalize("NFC", allow) or charset.characters
    lacking = [describe_character(char) for char in dict.fromkeys(allowed) if char not in charset]
    if lacking:
        raise DataError(
            f"The model cannot read {', '.join(lacking)}.", "Allow only characters that it can read."
        )
    readable = set(allowed) - set(unicodedata.normalize("NFC", deny))
    if not readable:
        raise DataError("What is allowed and denied leaves no character to read.", "Deny fewer characters.")
    blocked = [char not in readable for char in charset.characters]
    return np.where([False, *blocked], -math.inf, 0).astype(np.float32)
