"""What a search of step-by-step models gives, and when it looks for an end. Loads no torch.

B lines, T steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.models.vietocr.constants import EOS

STEP_LIMIT = "step-limit"
"""Flag: the line had not ended when the steps were used up."""

REPETITION = "repetition"
"""Flag: the line was stopped because it said the same few characters over and over."""

LIVE_FRACTION = 0.75
"""Lines that ended leave the batch once those that go on are no more than this fraction of it.

Leaving costs a copy of what is held of the others: at this fraction at most three times the batch in all.
"""

GUARD_EVERY = 8
"""The guard looks every so many steps; a multiple, so that what it sees does not depend on the batch."""


@dataclass(frozen=True)
class TokenHypothesis:
    """A text that a line may say, in VietOCR's class numbers.

    Attributes:
        classes: What was chosen between start and end. Specials in the middle stay, as in VietOCR, which
            prints them: `<pad>` (0), `<sos>` (1) and, of four specials, `*` (3, the mask). A trained model
            never chooses them; under a mask of classes they cannot be chosen.
        confidences: The probability of each class, among those the mask allows.
        score: Σ log p over `classes` and the end (where it was reached), over the number of these steps to
            the power of the length penalty. Of an empty reading: the log-probability of its end.
        flags: `step-limit` or `repetition`, or none.
    """

    classes: list[int]
    confidences: list[float]
    score: float
    flags: tuple[str, ...] = ()


def guard_due(step: int, options: DecodeOptions) -> bool:
    """Returns whether `runaway` looks after step number `step` (from 0)."""
    done = step + 1
    return 0 < options.repetition_steps <= done and done % GUARD_EVERY == 0


def finished_hypothesis(
    classes: Sequence[int],
    log_probs: Sequence[float],
    *,
    ended: bool,
    flags: tuple[str, ...],
    options: DecodeOptions,
) -> TokenHypothesis:
    """Makes a hypothesis of its steps and their log-probabilities; where it `ended`, the last is the end."""
    emitted = len(classes) - ended
    confidences = [math.exp(log_prob) for log_prob in log_probs[:emitted]]
    score = options.length_normalized(sum(log_probs), len(classes))
    return TokenHypothesis(list(classes[:emitted]), confidences, score, flags)


def cut_hypotheses(
    chosen: Sequence[Sequence[int]],
    log_probs: Sequence[Sequence[float]],
    stopped: Sequence[int],
    options: DecodeOptions,
) -> list[TokenHypothesis]:
    """Cuts each line's T tokens and their log-probabilities at its end.

    Args:
        chosen: (B, T) tokens.
        log_probs: (B, T), of each token.
        stopped: (B,) steps of a line that the guard stopped; 0: it did not.
        options: How a line is scored.
    """
    hypotheses = []
    for classes, line_log_probs, stop in zip(chosen, log_probs, stopped, strict=True):
        ended = EOS in classes and not stop
        steps = stop or (classes.index(EOS) + 1 if ended else len(classes))
        flags = () if ended else (REPETITION if stop else STEP_LIMIT,)
        hypotheses.append(
            finished_hypothesis(
                classes[:steps], line_log_probs[:steps], ended=ended, flags=flags, options=options
            )
        )
    return hypotheses
