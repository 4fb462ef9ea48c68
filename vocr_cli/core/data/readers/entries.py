"""What a database is built from: one kind of entry, whatever file it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import open_input


class Entry(NamedTuple):
    """One labelled line as its source gives it, or why there is none.

    Attributes:
        number: The number of the line, row, record or file in its source, from 1.
        name: The image's path or key, as the source writes it.
        label: The label as written, not cleaned.
        image: The image's file, or its encoded bytes.
        fault: Why the entry cannot be used; empty: nothing is known against it.
        source: The path of its source, where there are several.
    """

    number: int
    name: str
    label: str
    image: str | bytes = b""
    fault: str = ""
    source: str = ""

    @property
    def location(self) -> str:
        """Where the entry stands, as reports say it."""
        return f"{self.source}: line {self.number:,}" if self.source else f"line {self.number}"

    @property
    def content(self) -> str:
        """What the entry holds, in one row of text."""
        written = f"{self.name}\t{self.label}" if self.label else self.name
        return written.replace("\n", " ").replace("\r", " ")[:400]


class Source(Protocol):
    """A source of entries, read one after the other.

    Iterating anew gives the same entries in the same order, bad ones included.
    """

    path: Path

    @property
    def lines(self) -> int | None:
        """How many entries there are at most; None: nobody knows before they are read."""
        ...

    def __iter__(self) -> Iterator[Entry]: ...

    def fingerprint(self) -> str:
        """A text that changes when the entries do."""
        ...


def content_digest(path: Path) -> str:
    """The SHA-256 of a file's content.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with open_input(path, pipes=False) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None


def stamp(path: Path) -> str:
    """The name, size and time of a file, which stand for a content too large to be read twice."""
    try:
        facts = path.stat()
    except OSError:  # whoever reads it says why
        return f"{path.name} unreadable"
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"
