"""How much a zip file says that it becomes when it is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

_SLACK_BYTES = 1 << 20


class Inflation(ValueError):
    """A file would become larger than it is; the message completes "cannot be read: …"."""


def refuse_inflation(path: Path) -> None:
    """Refuses a zip file whose parts are larger than the file: torch packs none of those that it writes.

    Raises:
        Inflation: They are.
        OSError: The file cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            claimed = sum(part.file_size for part in file.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # torch will say what is wrong
        return
    size = path.stat().st_size
    if claimed > size + _SLACK_BYTES:
        raise Inflation(f"{size:,} bytes would become {claimed:,}, and no model is packed like that")
