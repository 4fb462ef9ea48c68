"""Reasons that lie in the lines and the model: what is trained, on what, how wide."""

from __future__ import annotations

from dataclasses import dataclass

from vocr_cli.core.autoconf.reasons.base import Reason


@dataclass(frozen=True)
class FewLines(Reason):
    """A larger model needs so many lines at least."""

    lines: int

    def __str__(self) -> str:
        return f"fewer than {self.lines:,} lines: a larger model would learn them by heart"


@dataclass(frozen=True)
class NewModel(Reason):
    """The model's size, and why it is that."""

    size: str
    why: Reason

    def __str__(self) -> str:
        return f"{self.size}: {self.why}"


@dataclass(frozen=True)
class StartsFrom(Reason):
    """What belongs to the weights that training starts from."""

    model: str

    def __str__(self) -> str:
        return f"of {self.model}, whose weights training starts from"


@dataclass(frozen=True)
class TrainingLines(Reason):
    """The stored lines, and the fraction of rendered ones beside them."""

    lines: int
    databases: int
    replay: float = 0.0

    def __str__(self) -> str:
        often = ", each of them equally often" if self.databases > 1 else ""
        print_too = f"; {self.replay:.0%} are rendered ones, so that print is not forgotten"
        return f"{self.lines:,} lines{often}" + (print_too if self.replay else "")


@dataclass(frozen=True)
class HeldBack(Reason):
    """Validation lines that the build set aside."""

    lines: int

    def __str__(self) -> str:
        return f"the {self.lines:,} lines that build-lmdb held back"


@dataclass(frozen=True)
class UnknownCharacters(Reason):
    """Labels with characters that the charset lacks, and what becomes of them under `policy`."""

    unknown_lines: int
    lines: int
    characters: tuple[str, ...]
    policy: str

    def __str__(self) -> str:
        shown = ", ".join(f"U+{ord(char):04X}" for char in self.characters[:6])
        shown += " …" if len(self.characters) > 6 else ""
        why = "too few to learn from" if self.policy == "skip-line" else "enough to learn them"
        return f"{self.unknown_lines:,} of {self.lines:,} lines hold {shown}: {why}"


@dataclass(frozen=True)
class CharactersJoin(UnknownCharacters):
    """The same of a model that has its characters already."""

    def __str__(self) -> str:
        return f"{super().__str__().rpartition(':')[0]}: they join the model's"


@dataclass(frozen=True)
class LongestLine(Reason):
    """Width of the longest line."""

    width_px: float

    def __str__(self) -> str:
        return f"the longest line has {self.width_px:,.0f} px at model height"


@dataclass(frozen=True)
class ColumnDemand(Reason):
    """What the median label needs of its line's columns."""

    demand: float
    low: float
    high: float

    def __str__(self) -> str:
        half = f"twice what the median label needs, {self.demand:.0%} of its line's columns"
        return f"{half}; within {self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class TenthOfWidth(Reason):
    """The median width that buckets are a tenth of."""

    width_px: float

    def __str__(self) -> str:
        return f"a tenth of the median width, {self.width_px:,.0f} px: little padding"
