"""What the model of every family has: the tables by which weights are frozen, decayed and taken over."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

Stages = dict[str, tuple[str, ...]]
"""The prefixes of each stage's weights, in the order in which a line goes through the stages; `head` last."""


class RecognitionModel(nn.Module):
    """Base of the models. A family whose tables depend on its settings overrides the methods."""

    STAGES: ClassVar[Stages] = {}
    CLASS_ROWS: ClassVar[tuple[str, ...]] = ()
    """Weights with a row per class."""
    POSITION_TABLE: ClassVar[str | None] = None
    """A table of positions that is computed, not learned, and so may be longer than that of another model."""

    def stages(self) -> Stages:
        """The prefixes of each stage's weights; of two that fit a weight, the longer one counts."""
        return self.STAGES

    def class_rows(self) -> tuple[str, ...]:
        """Weights with a row per class."""
        return self.CLASS_ROWS

    def position_table(self) -> str | None:
        """A table of positions that is computed, not learned; None: the model has none."""
        return self.POSITION_TABLE
