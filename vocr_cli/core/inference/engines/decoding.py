"""How engines turn what a model computes into text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.text import Charset

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
        from vocr_cli.core.decoding.ctc_beam import FUSED_BEAM, LM_BONUS, LM_WEIGHT, fused_beam

        weight = LM_WEIGHT if self._weight is None else self._weight
        bonus = weight / LM_WEIGHT * LM_BONUS  # heard more, it favours short texts more
        return fused_beam(log_probs, self.model(), self._charset, max(beam, FUSED_BEAM), weight, bonus)

    def written_text_scores(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Scores whole texts, as is added to the Σ log p, natural logarithms, of a model that writes them.

        Args:
            texts: Of N texts the class numbers of the charset, 1 for its first character.

        Returns:
            N scores; texts of more letters may have higher ones (`TextScorer`, its bonus).

        Raises:
            ModelError: The file is no language model, or is damaged.
        """
        from vocr_cli.core.decoding.ctc_beam import LM_FLOOR
        from vocr_cli.core.language_model.text_score import TextScorer

        scorer = TextScorer(
            self.model(), self._charset, weight=WRITTEN_WEIGHT, bonus=WRITTEN_BONUS, floor=LM_FLOOR
        )
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
    """

    mask: np.ndarray | None = None
    beam: int = 1
    n_best: int = 1
    language_model: LanguageModelSearch | None = None
    space: int = 0
