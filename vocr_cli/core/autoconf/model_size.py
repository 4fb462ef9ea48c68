"""Which size a new model of the `ctc` family gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocr_cli.core.autoconf.facts import DataFacts
from vocr_cli.core.autoconf.reasons.base import Reason, Sentence
from vocr_cli.core.autoconf.reasons.lines import FewLines
from vocr_cli.core.config.tree import CtcConfig

if TYPE_CHECKING:
    from vocr_cli.core.machine.precision import DeviceName

CTC_SIZES = {
    "ctc": CtcConfig(),
    "ctc-large": CtcConfig(channels=(48, 96, 192), blocks=(0, 2, 2), hidden=256, attention_layers=2, heads=4),
}
"""The sizes of the `ctc` family that are planned for: that of `vi-small`, and one three times as large."""

_LARGE_LINES = 100_000


def choose_size(device: DeviceName, data: DataFacts | None) -> tuple[str, Reason]:
    """Return which of `CTC_SIZES` suits, and why: the larger one where a GPU meets many lines."""
    if device != "cuda":
        return "ctc", Sentence.FAST_ON_CPU
    if data is not None and data.lines < _LARGE_LINES:
        return "ctc", FewLines(_LARGE_LINES)
    return "ctc-large", Sentence.GPU_AND_MANY_LINES
