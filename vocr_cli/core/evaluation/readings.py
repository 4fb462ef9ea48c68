"""A labelled set of lines, and readings for it that were made elsewhere. N lines."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.annotations import read_annotations
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean

ANNOTATION_NAMES = ("labels.tsv", "labels.txt", "annotations.tsv", "annotations.txt", "gt.txt")
"""What an annotation file inside a folder may be called; the first that exists is taken."""

_FIX = "Give an LMDB folder, an annotation file (path<TAB>text), or a folder that holds labels.tsv."


@dataclass(frozen=True)
class LabelledLine:
    """A line whose text is known: its name in the annotation or database, and where its image is."""

    name: str
    label: str
    image: Path | int  # a file, or a number in the set's store


@dataclass(frozen=True)
class LabelledSet:
    """The lines to be scored, and what was wrong with the entries that cannot be: (place, reason)."""

    lines: tuple[LabelledLine, ...]
    store: LineStore | None
    unusable: tuple[tuple[str, str], ...]

    def source(self, line: LabelledLine) -> Path | tuple[LineStore, int]:
        """The image's file, or the database and the line's number in it."""
        if isinstance(line.image, Path):
            return line.image
        assert self.store is not None
        return self.store, line.image


@dataclass(frozen=True)
class GivenReading:
    """A reading from a file."""

    text: str
    confidence: float | None


def load_labelled(data: Path, limit: int | None = None) -> LabelledSet:
    """Finds out what `data` is and lists its lines, at most `limit`.

    Raises:
        DataError: There is nothing there, or nothing labelled in it.
    """
    if not data.exists():
        raise DataError(f"There is nothing at {data}.", _FIX)
    if data.suffix == ".mdb" or (data / "data.mdb").is_file():
        return _from_store(data, limit)
    if data.is_dir():
        found = next((data / name for name in ANNOTATION_NAMES if (data / name).is_file()), None)
        if found is None:
            raise DataError(f"{data} holds neither data.mdb nor {', '.join(ANNOTATION_NAMES)}.", _FIX)
        data = found
    return _from_annotations(data, limit)


def load_readings(file: Path) -> dict[str, GivenReading]:
    """Readings by path, from lines of `path<TAB>text[<TAB>confidence]`; a path alone is an empty reading.

    Raises:
        DataError: The file cannot be read as UTF-8, or gives two different readings for one path.
    """
    try:
        rows = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}.", "Give a file of path<TAB>text lines."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    readings: dict[str, GivenReading] = {}
    for number, row in enumerate(rows, start=1):
        path, *columns = row.rstrip("\r").split("\t")
        if not path or (number == 1 and (path, columns[:1]) == ("path", ["text"])):
            continue
        reading = GivenReading(clean(columns[0]) if columns else "", _confidence(columns[1:]))
        if path in readings and readings[path].text != reading.text:
            raise DataError(
                f"{file}, line {number}: {path} was read differently further up.",
                "Keep one reading for each path.",
            )
        readings[path] = reading
    return readings


def match_readings(
    lines: Sequence[LabelledLine], readings: dict[str, GivenReading], file: Path
) -> list[GivenReading | None]:
    """One reading a line, None where the file has none: (N,).

    A reading belongs to a line when it names it as the annotation does, or names the same file, its path
    taken from the working directory or from the folder of `file`.

    Raises:
        DataError: Not one reading belongs to a line.
    """
    by_file: dict[str, GivenReading] = {}
    for folder in (file.parent, Path()):  # the working directory wins
        by_file.update({os.path.abspath(folder / path): reading for path, reading in readings.items()})
    matched = []
    for line in lines:
        place = os.path.abspath(line.image) if isinstance(line.image, Path) else ""
        matched.append(readings.get(line.name) or by_file.get(place))
    if lines and not any(matched):
        example = next(iter(readings), "(nothing)")
        raise DataError(
            f"No reading in {file} belongs to the data: it names {example!r}, the data {lines[0].name!r}.",
            "Let the first column name the images as the annotation does, or as files that exist.",
        )
    return matched


def _confidence(columns: Sequence[str]) -> float | None:
    try:
        value = float(columns[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _from_store(path: Path, limit: int | None) -> LabelledSet:
    store = LineStore(path)
    lines, unusable = [], []
    for number in range(len(store) if limit is None else min(limit, len(store))):
        try:
            stored = store[number]
        except DataError as error:
            unusable.append((f"{path}, line {number}", error.problem))
        else:
            lines.append(LabelledLine(stored.path, stored.text, number))
    return LabelledSet(tuple(lines), store, tuple(unusable))


def _from_annotations(file: Path, limit: int | None) -> LabelledSet:
    manifest = read_annotations(file)
    if not manifest.lines:
        bad = manifest.bad[0]
        raise DataError(
            f"{file} has no usable line; line {bad.line_number}: {bad.reason}.",
            "Correct its lines: path, tab, label.",
        )
    lines = [LabelledLine(line.path, line.text, manifest.file(line)) for line in manifest.lines[:limit]]
    unusable = [(f"{file}, line {bad.line_number}", bad.reason) for bad in manifest.bad]
    return LabelledSet(tuple(lines), None, tuple(unusable))
