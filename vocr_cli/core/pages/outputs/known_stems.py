"""Which files the documents of a folder are of, so that a later run gives none the name of another's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from vocr_cli.core.pages.inputs.documents import Document

_NAME = ".vocr-read.documents.jsonl"


def known_stems(folder: Path) -> dict[str, Path]:
    """The stems of the documents that earlier runs wrote to a folder, with the file of each.

    A folder that none was written to, or by a vocr that kept no list, has none. A file that is gone is left
    out: its stem is free for the one that took its place.

    Args:
        folder: Where the documents lie.
    """
    known: dict[str, Path] = {}
    for stem, source in _records(folder):
        known[stem] = Path(os.path.normpath(folder / source))
    return {stem: source for stem, source in known.items() if source.exists()}


def note_stems(folder: Path, documents: Iterable[Document]) -> None:
    """Notes which files documents are of, by paths from their folder, so that both may be moved together.

    Several processes that share the folder may do so at once.

    Args:
        folder: Where the documents lie.
        documents: Those that were written.

    Raises:
        OSError: The list cannot be written.
    """
    before = dict(_records(folder))
    lines = []
    for document in documents:
        try:
            source = os.path.relpath(document.path, folder)
        except ValueError:  # another drive of Windows
            source = os.path.abspath(document.path)
        if before.get(document.stem) != source:
            lines.append(json.dumps({"stem": document.stem, "source": source}) + "\n")
    if lines:
        with (folder / _NAME).open("a", encoding="ascii") as file:
            file.write("".join(lines))


def _records(folder: Path) -> Iterator[tuple[str, str]]:
    """What is noted, the latest last; lines that a full disk or a kill cut short are passed over."""
    with suppress(OSError), (folder / _NAME).open(encoding="ascii", errors="replace") as file:
        for line in file:
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                yield str(record["stem"]), str(record["source"])
