"""bad-lines.tsv: the lines that a run leaves out, with the reasons."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vocr_cli.core.data.readers.labelled import BadLine
from vocr_cli.core.machine.atomic_write import write_report
from vocr_cli.core.training.record.unwritable import writing

BAD_LINES = "bad-lines.tsv"
"""Where in a run folder the lines left out are listed."""


def write_bad_lines(lines: Iterable[BadLine], folder: Path) -> None:
    """Lists lines: source, line number, reason, content; writes nothing where there are none.

    Raises:
        DataError: The list cannot be written.
    """
    if rows := _rows(lines):
        write_report(folder / BAD_LINES, rows)


def append_bad_lines(lines: Iterable[BadLine], folder: Path) -> None:
    """Adds lines to the list, which is begun if need be.

    Raises:
        ModelError: The list cannot be written.
    """
    path = folder / BAD_LINES
    with writing(path), open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(_rows(lines))


def _rows(lines: Iterable[BadLine]) -> str:
    return "".join(f"{line.source}\t{line.number}\t{line.reason}\t{line.content}\n" for line in lines)
