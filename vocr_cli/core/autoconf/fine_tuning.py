"""What fine-tuning is planned with: the recipe that BENCHMARKS.md measures under Handwriting.

Nothing is read or timed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vocr_cli.core.autoconf.facts import DataFacts
from vocr_cli.core.autoconf.reasons.base import Reason, Sentence
from vocr_cli.core.autoconf.reasons.lines import ColumnDemand, StartsFrom
from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import Config

CPU_PIXELS: dict[Head, int] = {"ctc": 400_000}
"""Pixels of a step on a CPU that the recipe was measured with, by the head of the model."""

WARMUP_STEPS = 300
SYNTH_SEED = 7
"""Of rendered training lines: not `vocr synth`'s default, so that lines rendered for a test are others."""

_DROPOUT = 0.1
_STRETCH_RANGE = 1.0, 2.0


@dataclass(frozen=True)
class FineTuning:
    """What is fine-tuned, and how.

    Attributes:
        model: Name of the weights to start from.
        replay: Fraction of the training lines that is rendered, 0..1, so that print is not forgotten.
        start_cer: Of those weights on lines to learn, 0..; None: not known.
    """

    model: str
    replay: float = 0.0
    start_cer: float | None = None


def fine_tuning_choices(
    start: Config, fine_tuning: FineTuning, data: DataFacts | None
) -> Iterator[tuple[str, Any, Reason]]:
    """Yield key, value and reason of each setting in which fine-tuning differs from training.

    Args:
        start: Gives model, image settings and charset of the weights.
        fine_tuning: What is fine-tuned.
        data: The lines; None: rendered ones.
    """
    yield "charset.characters", start.charset.characters, StartsFrom(fine_tuning.model)
    if start.model.HEAD == "ctc":
        if "dropout" in type(start.model).model_fields:
            yield "model.dropout", _DROPOUT, Sentence.LEARNED_BY_HEART
        if data is not None and data.column_demand:
            low, high = _STRETCH_RANGE
            stretch = round(min(max(2 * data.column_demand, low), high), 1)
            yield "image.stretch", stretch, ColumnDemand(data.column_demand, low, high)
        yield "optim.name", "muon", Sentence.MUON_FROM_WEIGHTS
    else:
        yield "optim.name", "adamw", Sentence.ADAMW_FOR_VIETOCR
    yield "augment.strength", 0.6, Sentence.LEARNED_BY_HEART
    yield "optim.weight_decay", 0.05, Sentence.LEARNED_BY_HEART
    yield "optim.ema_decay", 0.998, Sentence.SHORT_AVERAGE
