"""How labelled lines are to be read where the user says so, the same for all commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.data.readers.entries import Source
from vocr_cli.core.errors import ConfigError, DataError

_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
_OPTION_NAMES = {
    "images": "--images",
    "columns": "--columns",
    "separator": "--separator",
    "header": "--no-header",
    "split": "--split",
}


@dataclass(frozen=True)
class Columns:
    """The names, or numbers from 1, of the columns that hold image and text; empty: they are looked for."""

    image: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What the user says of labelled lines; everything else is found out by looking at them.

    Attributes:
        images: The folder that relative paths start from; None: the list's own.
        columns: Which columns of a table hold image and text.
        separator: What stands between columns of a text file; empty: what is found there.
        header: False: the first row of a table is a line like the others.
        split: The part of a data set to take, such as `train`.
        usual_splits: Those to take where a data set has several and none is asked for, the first that is
            there; empty: the user is asked.
        for_images: Images are wanted, those of all splits, whether they have labels or not.
    """

    images: Path | None = None
    columns: Columns = Columns()
    separator: str = ""
    header: bool = True
    split: str = ""
    usual_splits: tuple[str, ...] = ()
    for_images: bool = False

    @property
    def given(self) -> frozenset[str]:
        """The names of the options that the user has set."""
        states = {
            "images": self.images is not None,
            "columns": self.columns != Columns(),
            "separator": bool(self.separator),
            "header": not self.header,
            "split": bool(self.split),
        }
        return frozenset(name for name, is_set in states.items() if is_set)


AS_FOUND = SourceOptions()
"""Everything is found out by looking."""


class NothingLabelled(DataError):
    """What was named may be anything, but holds no labelled lines that are known here."""


class SplitNeeded(DataError):
    """A data set has several splits, and nothing says which of them is wanted.

    Args:
        problem: What is there.
        fix: How to name one.
        splits: What each split holds, in words, by its name.
    """

    def __init__(self, problem: str, fix: str, splits: Mapping[str, str]) -> None:
        super().__init__(problem, fix)
        self.splits = dict(splits)


def parse_columns(written: str) -> Columns:
    """Reads `image=NAME,text=NAME`, either of which may be left out.

    Raises:
        ConfigError: It is written otherwise.
    """
    pairs = [part.partition("=") for part in written.split(",") if part]
    if any(kind not in {"image", "text"} or not name for kind, _, name in pairs):
        raise ConfigError(f"--columns {written} cannot be read.", "Write image=NAME,text=NAME.")
    return Columns(**{kind: name for kind, _, name in pairs})


def parse_separator(written: str) -> str:
    r"""Reads a separator: the characters themselves, `\t`, or tab, space, comma, semicolon, bar."""
    return _NAMED_SEPARATORS.get(written.lower(), written)


def refuse_unused(options: SourceOptions, sources: Sequence[Source]) -> None:
    """Refuses options that mean nothing to any of the sources, rather than drop them in silence.

    Raises:
        ConfigError: There is one.
    """
    used = frozenset[str]().union(*(source.uses for source in sources))
    unused = [name for name in _OPTION_NAMES if name in options.given - used]
    if unused:
        kinds = ", ".join(dict.fromkeys(f"{source.path} ({source.layout})" for source in sources[:3]))
        raise ConfigError(
            f"{_OPTION_NAMES[unused[0]]} means nothing to {kinds}.",
            f"Leave {' and '.join(_OPTION_NAMES[name] for name in unused)} out.",
        )
