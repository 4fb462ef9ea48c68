"""The lines of a source of any kind as a list, each to be read at any time; bad ones are named."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from vocr_cli.core.data.lmdb.layout import StoredLine
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.annotations import label_fault
from vocr_cli.core.data.readers.databases import Database
from vocr_cli.core.data.readers.entries import Source
from vocr_cli.core.data.readers.folders.source_group import SourceGroup
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.packed_lines import PackedLines
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions, refuse_unused
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean

_CORRECT = "Correct its lines, or name its columns: --columns image=NAME,text=NAME."


class StoredLines(Protocol):
    """Lines with their images, by number, from 0."""

    def __getitem__(self, number: int, /) -> StoredLine: ...


class LabelledLine(NamedTuple):
    """A line whose text is known.

    Attributes:
        name: As the list, the table or the database has it.
        label: Cleaned.
        image: The image's file, or where it is stored, and its number there.
        number: Of the line in its source, from 1; in a database that of the record, from 0.
        source: The path of the source in which the line has that number.
    """

    name: str
    label: str
    image: str | tuple[StoredLines, int]
    number: int
    source: str

    @property
    def location(self) -> str:
        """Where the line stands, as reports say it."""
        return f"{self.source}, line {self.number}"


class BadLine(NamedTuple):
    """A line that cannot be used.

    Attributes:
        number: In its source, from 1.
        reason: Why it cannot be used.
        content: What it holds.
        source: The path of its source.
        remedy: What helps; empty: to correct it.
    """

    number: int
    reason: str
    content: str
    source: str
    remedy: str = ""

    @property
    def location(self) -> str:
        """Where the line stands, as reports say it."""
        return f"{self.source}, line {self.number}"


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """The lines of a source.

    Attributes:
        path: Of the source.
        layout: How its kind is called.
        lines: Those that can be used, in their order.
        bad: The others.
        notes: What was chosen on the way.
        normalised: How many labels were brought into Unicode form NFC; of databases, nobody has counted.
        duplicates: Names that stand there more than once; all are kept.
        uses: The options that mean something to the source.
    """

    path: Path
    layout: str
    lines: tuple[LabelledLine, ...]
    bad: tuple[BadLine, ...]
    notes: tuple[str, ...]
    normalised: int
    duplicates: tuple[str, ...]
    uses: frozenset[str]

    @property
    def unusable(self) -> list[tuple[str, str]]:
        """(location, reason) of each line that cannot be used."""
        return [(bad.location, bad.reason) for bad in self.bad]


def load_labelled(path: Path, limit: int | None = None, options: SourceOptions = AS_FOUND) -> LabelledSet:
    """Lists the lines of a source of any kind, at most `limit` that can be used.

    Images that lie in archives or tables are unpacked into a temporary file; those of databases and of files
    stay where they are.

    Raises:
        ConfigError: An option means nothing to the source.
        DataError: There is nothing there, or nothing labelled in it.
        DependencyError: Its kind needs a package that is not installed.
    """
    source = open_source(path, options)
    refuse_unused(options, [source])
    return list_lines(source, limit)


def list_lines(source: Source, limit: int | None = None) -> LabelledSet:
    """Lists the lines of a source that is open, as `load_labelled` does.

    Raises:
        DataError: No line can be used.
    """
    lines: list[LabelledLine] = []
    bad: list[BadLine] = []
    normalised = 0
    for line, was_nfc in _lines_of(source):
        if limit is not None and len(lines) >= limit:
            break
        if isinstance(line, BadLine):
            bad.append(line)
            continue
        lines.append(line)
        normalised += not was_nfc
    if not lines:
        raise nothing_usable(source.path, bad)
    names = Counter(line.name for line in lines)
    return LabelledSet(
        path=source.path,
        layout=source.layout,
        lines=tuple(lines),
        bad=tuple(bad),
        notes=tuple(source.notes),
        normalised=normalised,
        duplicates=tuple(name for name, count in names.items() if count > 1),
        uses=source.uses,
    )


def nothing_usable(path: Path, bad: list[BadLine]) -> DataError:
    """The error of a source of whose lines none can be used, with the remedy that helps the first."""
    if not bad:
        return DataError(f"{path} holds no line.", "Name other labels.")
    first = f"line {bad[0].number}: {bad[0].reason.rstrip('.')}"
    return DataError(f"{path} has no usable line; {first}.", bad[0].remedy or _CORRECT)


def _lines_of(source: Source) -> Iterator[tuple[LabelledLine | BadLine, bool]]:
    """Gives each line, and whether its label was NFC."""
    parts = source.sources if isinstance(source, SourceGroup) else [source]
    packed: PackedLines | None = None
    for part in parts:
        prefix = source.prefix(part) if isinstance(source, SourceGroup) else ""
        if isinstance(part, Database):
            yield from ((line, True) for line in _of_database(part, prefix))
            continue
        for entry in part:
            label = clean(entry.label)
            where = entry.source or str(part.path)
            if fault := entry.fault or label_fault(label):
                yield BadLine(entry.number, fault, entry.content, where, entry.remedy), True
                continue
            image: str | tuple[StoredLines, int]
            if isinstance(entry.image, bytes):
                packed = packed or PackedLines()
                image = packed, packed.add(StoredLine(entry.image, label, entry.name))
            else:
                image = entry.image
            line = LabelledLine(f"{prefix}{entry.name}", label, image, entry.number, where)
            yield line, unicodedata.is_normalized("NFC", entry.label)
    for entry in source.unlisted() if isinstance(source, SourceGroup) else ():
        yield BadLine(entry.number, entry.fault, entry.name, entry.source, entry.remedy), True


def _of_database(database: Database, prefix: str) -> Iterator[LabelledLine | BadLine]:
    store = LineStore(database.path)
    for number in range(len(store)):
        try:
            name, text = store.name_and_text(number)
        except DataError as error:
            yield BadLine(number, error.problem, "", str(database.path))
        else:
            yield LabelledLine(f"{prefix}{name}", text, (store, number), number, str(database.path))
