"""Documents that programs read: to a file, or to stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from vocr_cli.terminal import console

STDOUT = Path("-")
"""A file's name that stands for stdout."""


def write_json(path: Path, document: object, indent: int = 2) -> None:
    """Writes a JSON document to a file or, for `-`, to stdout; null stands for what is not finite.

    Raises:
        DataError: The file cannot be written.
    """
    text = json.dumps(_finite(document), ensure_ascii=False, indent=indent, allow_nan=False)
    _write(path, text + "\n")


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


def _finite(value: object) -> object:
    """The document without NaN and infinity, for which JSON has no words."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
