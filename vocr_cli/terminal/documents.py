"""Documents that programs read: to a file, or to stdout."""

from __future__ import annotations

import json
from pathlib import Path

from vocr_cli.terminal import console

STDOUT = Path("-")
"""A file's name that stands for stdout."""


def write_json(path: Path, document: object, indent: int = 2) -> None:
    """Writes a JSON document to a file or, for `-`, to stdout.

    Raises:
        DataError: The file cannot be written.
    """
    text = json.dumps(document, ensure_ascii=False, indent=indent) + "\n"
    if path == STDOUT:
        console.document(text)
        return
    from vocr_cli.core.machine.atomic_write import write_report

    write_report(path, text)
    console.note(f"Wrote {path}")
