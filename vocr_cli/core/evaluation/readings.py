"""Readings of a labelled set, and those of other programs that are matched with one. N lines."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vocr_cli.core.data.readers.labelled import LabelledLine, LabelledSet
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.evaluation.line_scores import UNREAD
from vocr_cli.core.machine.files.input_file import MAX_TEXT_BYTES, read_within
from vocr_cli.core.text import clean

_TABLES = {".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow"}


@dataclass(frozen=True)
class FileReading:
    """A reading that stands in a file.

    Attributes:
        text: Cleaned as labels are.
        confidence: 0..1; None where the file has none.
    """

    text: str
    confidence: float | None


@dataclass(frozen=True)
class Readings:
    """What was read of N lines, in their order.

    Attributes:
        texts: N texts; "" for a line that could not be read.
        confidences: N confidences, 0..1; None: not known.
        flags: What makes each of the N lines doubtful, `UNREAD` among it.
        unread: (name, reason) of each line that could not be read.
    """

    texts: list[str] = field(default_factory=list)
    confidences: list[float | None] = field(default_factory=list)
    flags: list[tuple[str, ...]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)

    def add(self, text: str, confidence: float | None, flags: tuple[str, ...] = ()) -> None:
        """Takes the reading of the next line."""
        self.texts.append(text)
        self.confidences.append(confidence)
        self.flags.append(flags)

    def add_unread(self, name: str, reason: str) -> None:
        """Takes in that the next line could not be read."""
        self.add("", None, (UNREAD,))
        self.unread.append((name, reason))


def read_from_file(labelled: LabelledSet, file: Path) -> Readings:
    """Take the readings of N lines from a file, as `load_readings` and `match_readings` do.

    Raises:
        DataError: The file cannot be used, or not one reading in it belongs to a line.
    """
    read = Readings()
    matched = match_readings(labelled, load_readings(file), file)
    for line, reading in zip(labelled.lines, matched, strict=True):
        if reading is None:
            read.add_unread(line.name, f"no reading in {file}")
        else:
            read.add(reading.text, reading.confidence)
    return read


def load_readings(file: Path) -> dict[str, FileReading]:
    """Return readings by path, from rows of path, text and, if known, confidence.

    The file is of any kind that labels may be: what `vocr infer` writes (TSV, CSV, JSON Lines, Parquet), or
    another OCR's list. In TSV, a path alone is an empty reading; elsewhere, a row without a text is none.

    Raises:
        DataError: The file cannot be read, or gives two different readings for one path.
        DependencyError: It is Parquet, and pyarrow is not installed.
    """
    readings: dict[str, FileReading] = {}
    for number, path, reading in _rows(file):
        if path in readings and readings[path].text != reading.text:
            raise DataError(
                f"{file}, line {number}: {path} was read differently further up.",
                "Keep one reading for each path.",
            )
        readings[path] = reading
    return readings


def _rows(file: Path) -> Iterator[tuple[int, str, FileReading]]:
    """Gives the number of each row, the path in it, and what was read."""
    if file.suffix.lower() not in _TABLES:
        yield from _rows_of_tabs(file)
        return
    for entry in open_source(file, SourceOptions()):
        # A reading counts whether or not its image is found.
        if entry.name and (entry.label or not entry.fault):
            yield entry.number, entry.name, FileReading(clean(entry.label), entry.confidence)


def _rows_of_tabs(file: Path) -> Iterator[tuple[int, str, FileReading]]:
    try:
        rows = read_within(file, MAX_TEXT_BYTES).decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {reason_of(error)}.", "Give a file of path<TAB>text lines."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    for number, row in enumerate(rows, start=1):
        path, *columns = row.rstrip("\r").split("\t")
        if path and not (number == 1 and (path, columns[:1]) == ("path", ["text"])):
            yield number, path, FileReading(clean(columns[0]) if columns else "", _confidence(columns[1:]))


def match_readings(
    labelled: LabelledSet, readings: dict[str, FileReading], file: Path
) -> list[FileReading | None]:
    """Return one reading for each of the N lines, None where the file has none.

    A reading belongs to a line when it names the line as the annotation does, or names the same file, its
    path taken from the working directory or from the folder of `file`. Of lines that are no files, the name
    counts from the folder, archive or table that holds them.

    Raises:
        DataError: Not one reading belongs to a line.
    """
    by_file: dict[str, FileReading] = {}
    for folder in (file.parent, Path()):  # the working directory wins
        by_file.update({os.path.abspath(folder / path): reading for path, reading in readings.items()})
    matched = []
    lines = labelled.lines
    for line in lines:
        found = (by_file.get(path) for path in _places(line, labelled.path))
        matched.append(readings.get(line.name) or next(filter(None, found), None))
    if lines and not any(matched):
        example = next(iter(readings), "(nothing)")
        raise DataError(
            f"No reading in {file} belongs to the data: it names {example!r}, the data {lines[0].name!r}.",
            "Let the first column name the images as the annotation does, or as files that exist.",
        )
    return matched


def _places(line: LabelledLine, data: Path) -> Iterator[str]:
    """The paths by which readings may call a line: that of its image, or of its name in what holds it."""
    if isinstance(line.image, str):
        yield os.path.abspath(line.image)
    else:
        yield os.path.abspath(os.path.join(data, line.name))
        yield os.path.abspath(os.path.join(data.parent, line.name))


def _confidence(columns: Sequence[str]) -> float | None:
    try:
        value = float(columns[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None
