"""How models that write step by step are read: beam, limits, length normalisation, what may repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import Field, model_validator

from vocr_cli.core.config.families import Settings
from vocr_cli.core.text import Charset

if TYPE_CHECKING:
    from torch import Tensor

Score = TypeVar("Score", float, "Tensor")

LONGEST_PERIOD = 8
"""Tokens of the longest repetition that the guard looks for."""

LEADERS = " .·…-–_"
"""Characters that may go on as long as they like: forms lead the eye with them."""


class DecodeOptions(Settings):
    """How tokens become readings."""

    max_steps: int = Field(
        129, ge=1, description="Tokens of a line, its end included. VietOCR's greedy search takes 129."
    )
    beam: int = Field(1, ge=1, description="Open readings a line; 1 reads as the greedy search does.")
    n_best: int = Field(1, ge=1, description="Readings returned a line, at most `beam`.")
    length_penalty: float = Field(
        1.0, ge=0, description="Scores are Σ log p / steps**this; 1: the mean log-probability, 0: the sum."
    )
    specials: int = Field(4, ge=3, description="Classes that are no characters: 0..specials-1.")
    repetition_steps: int = Field(
        32,
        ge=0,
        description="A line is stopped when its last so many tokens repeat up to 8 tokens; 0: never.",
    )
    leaders: frozenset[int] = Field(
        frozenset(), description="Classes (dots, dashes, spaces) that may repeat: forms are full of them."
    )

    def length_normalized(self, total: Score, steps: int) -> Score:
        """The score of a hypothesis: Σ log p over its steps to the power of the length penalty.

        Wu et al., 2016, with the length alone in place of their (5 + length) / 6.

        Args:
            total: Σ log p, ≤ 0; a number, or a tensor of any shape.
            steps: At least 1.
        """
        return total / steps**self.length_penalty

    def summed(self, score: Tensor, steps: Tensor) -> Tensor:
        """Σ log p of hypotheses of these scores: the inverse of `length_normalized`."""
        return score * steps**self.length_penalty

    @model_validator(mode="after")
    def _consistent(self) -> DecodeOptions:
        if self.n_best > self.beam:
            raise ValueError(f"n_best {self.n_best} is more than beam {self.beam}")
        if 0 < self.repetition_steps < 2 * LONGEST_PERIOD:
            raise ValueError(f"repetition_steps is 0 or at least {2 * LONGEST_PERIOD}")
        return self


def reading_options(charset: Charset, specials: int) -> DecodeOptions:
    """Returns how lines are read, in validation as in use; `specials` classes stand before the charset's."""
    leaders = charset.encode("".join(char for char in LEADERS if char in charset))
    return DecodeOptions(specials=specials, leaders=frozenset(number - 1 + specials for number in leaders))
