"""What a line says, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from vocr_cli.core.decoding.ctc import geometric_mean
from vocr_cli.core.inference.engines.post_processing import LineHypothesis
from vocr_cli.core.models.calibration import Calibration

UNSURE = "unsure"
"""Flag: the confidence is below the one that was asked for."""


NO_NUMBER = "computed what is no number (NaN)"
NO_NUMBER_REMEDY = "Read with --precision fp32; if that does not help, the model is damaged."


@dataclass(frozen=True)
class Reading:
    """What a line says.

    Attributes:
        text: NFC.
        confidence: 0..1. By a model with a calibration, the probability that `text` is right to the last
            character; by another, the geometric mean of `char_confidences`. For an empty text, the
            probability that nothing stands there.
        char_confidences: The probability of each character of `text`, as the model gives it.
        flags: What makes the image doubtful as a line, "page-like" or "squeezed", or the reading:
            "step-limit" (longer than the model can write), "repetition" (one text over and over, stopped),
            "crowded" (dots or the like too close for this model to be counted), "unsure" (less confident
            than was asked for).
        alternatives: From a beam: texts and scores, best first (stopped repetitions last), `text` itself
            the first. A score is the logarithm of the text's probability, by the `vietocr` family over its
            length.
    """

    text: str
    confidence: float
    char_confidences: tuple[float, ...]
    flags: tuple[str, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()

    def flagged(self, flags: tuple[str, ...]) -> Reading:
        """The same with `flags` before its own."""
        return replace(self, flags=(*flags, *self.flags))

    @property
    def is_number(self) -> bool:
        """Whether the model computed numbers: where it overflowed, or its weights are none, it did not."""
        return math.isfinite(sum(self.char_confidences, self.confidence))

    @property
    def min_confidence(self) -> float:
        """That of the least sure character; for an empty text, `confidence`."""
        return min(self.char_confidences, default=self.confidence)


def line_confidence(hypothesis: LineHypothesis, calibration: Calibration | None) -> float:
    """Returns how sure a line is, 0..1; without a calibration, the geometric mean of its characters'."""
    if not hypothesis.classes:
        return hypothesis.empty_confidence
    if calibration is None:
        return geometric_mean(hypothesis.confidences)
    if hypothesis.certainty is not None and calibration.searched is not None:
        return calibration.searched(hypothesis.certainty)
    return calibration.direct(math.prod(hypothesis.confidences))
