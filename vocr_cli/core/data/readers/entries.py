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
        remedy: What the user can do about the fault; empty: correct the line.
        confidence: Of a reading, 0..1, where the source holds readings and says so.
    """

    number: int
    name: str
    label: str
    image: str | bytes = b""
    fault: str = ""
    source: str = ""
    remedy: str = ""
    confidence: float | None = None

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

    Attributes:
        path: What was named.
        layout: How its kind is called, such as `CSV`.
        notes: What was chosen or found elsewhere, one sentence each.
        uses: Those of the options in `SourceOptions` that mean something to this kind.
    """

    path: Path
    layout: str
    uses: frozenset[str]

    @property
    def notes(self) -> list[str]: ...  # noqa: D102

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


def writable(entry: Entry) -> Entry:
    """The entry, or one that says why it cannot be written as UTF-8."""
    try:
        (entry.name + entry.label).encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        fault = "not UTF-8" if 0xDC80 <= code <= 0xDCFF else f"half of a character (U+{code:04X})"
        name, label = (text.encode("utf-8", "replace").decode() for text in (entry.name, entry.label))
        return entry._replace(name=name, label=label, image=b"", fault=fault)
    return entry


def stamp(path: Path) -> str:
    """The name, size and time of a file, which stand for a content too large to be read twice."""
    try:
        facts = path.stat()
    except OSError:  # whoever reads it says why
        return f"{path.name} unreadable"
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"
