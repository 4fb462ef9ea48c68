"""What readers of tables have in common: rows of cells, under names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vocr_cli.core.machine.files.input_file import MAX_LINE_BYTES

TOO_LONG = f"more than {MAX_LINE_BYTES:,} bytes are no row of a list"
"""The fault of a row that is not taken into memory."""


class Row(NamedTuple):
    """A row of a table, or why there is none.

    Attributes:
        number: Of its line, row or record in the table, from 1.
        cells: One for each column that was asked for; nothing where there is a fault.
        fault: Why the row cannot be used; empty: nothing is known against it.
        content: What stands there, where the cells do not say it.
        name: What an image in it is called that has no name of its own.
    """

    number: int
    cells: Sequence[Any] = ()
    fault: str = ""
    content: str = ""
    name: str = ""


class Rows(Protocol):
    """A table, read row by row as often as is asked for.

    Attributes:
        path: Of its file or folder.
        layout: How its kind is called.
        names: Of its columns; numbers from 1 where it has no heading.
        lines: How many rows there are; None: nobody knows before they are read.
        uses: Names of the options in `SourceOptions` that mean something to it, besides the columns.
        notes: What was found out about it.
    """

    path: Path
    layout: str
    names: Sequence[str]
    uses: frozenset[str]
    notes: list[str]

    @property
    def lines(self) -> int | None: ...  # noqa: D102

    def read(self, names: Sequence[str]) -> Iterator[Row]:
        """Gives the rows, each with the cells of the named columns."""
        ...

    def fingerprint(self) -> str:
        """A text that changes when the rows do."""
        ...
