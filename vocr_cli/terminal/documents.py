"""Documents that programs read: to a file, or to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from vocr_cli.terminal import console

STDOUT = Path("-")
"""A file's name that stands for stdout."""


def write_json(path: Path, document: object, indent: int = 2) -> None:
    """Writes a JSON document to a file or, for `-`, to stdout.

    Raises:
        DataError: The file cannot be written.
    """
    _write(path, json.dumps(document, ensure_ascii=False, indent=indent) + "\n")


def write_table(path: Path, rows: Iterable[str]) -> None:
    """Writes rows, each with its newline, to a file or, for `-`, to stdout.

    Raises:
        DataError: The file cannot be written.
    """
    _write(path, "".join(rows))


def _write(path: Path, text: str) -> None:
    if path == STDOUT:
        console.document(text)
        return
    from vocr_cli.core.machine.atomic_write import write_report

    write_report(path, text)
    console.note(f"Wrote {path}")
