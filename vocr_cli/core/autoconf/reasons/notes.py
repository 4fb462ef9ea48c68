"""What a user should know of a plan besides its values: notes as data, their English here alone."""

from __future__ import annotations

from dataclasses import dataclass

from vocr_cli.core.config.tree import COLUMN_PX
from vocr_cli.core.machine.sizes import show_size
from vocr_cli.core.text import UnknownCharacter


class Note:
    """Something worth knowing; `str` gives the sentence."""


@dataclass(frozen=True)
class NoValidationLines(Note):
    """Nothing was held back for validation."""

    def __str__(self) -> str:
        how = "use `vocr build-lmdb --valid-share 0.05`, or `vocr train --valid LMDB`"
        return f"No validation lines: {how}."


@dataclass(frozen=True)
class UnreadableImages(Note):
    """Stored images that cannot be read."""

    lines: int

    def __str__(self) -> str:
        return f"{self.lines:,} lines have images that cannot be read."


@dataclass(frozen=True)
class ScaledWhenLoaded(Note):
    """Lines that are not stored at the model's size."""

    lines: int

    def __str__(self) -> str:
        return (
            f"{self.lines:,} lines are scaled anew whenever they are loaded; databases that "
            "`vocr build-lmdb DATABASE OUT --fit CONFIG` makes of them load faster."
        )


@dataclass(frozen=True)
class NotInCharset(Note):
    """A character of the labels that the charset lacks."""

    character: UnknownCharacter

    def __str__(self) -> str:
        return f"Not in the charset: {self.character}"


@dataclass(frozen=True)
class Squeezed(Note):
    """Lines that are wider than the model takes them."""

    lines: int
    width_px: int

    def __str__(self) -> str:
        return f"{self.lines:,} lines are squeezed to {self.width_px:,} px."


@dataclass(frozen=True)
class Crowded(Note):
    """Lines that have fewer columns than characters."""

    lines: int

    def __str__(self) -> str:
        why = f"less than {COLUMN_PX} px a character at model height"
        return f"{self.lines:,} lines are stretched to be learned: {why}."


@dataclass(frozen=True)
class StepTooLarge(Note):
    """Not even a step of one line fits in memory."""

    width_px: int
    needed_bytes: float
    limit_bytes: int

    @property
    def problem(self) -> str:
        """What is wrong, without a remedy."""
        return (
            f"A step of one line {self.width_px:,} px wide takes about {show_size(self.needed_bytes)}, "
            f"more than the {show_size(self.limit_bytes)} allowed."
        )

    def __str__(self) -> str:
        return f"{self.problem} Free some memory before training."
