"""What is to be labelled: a folder of images, a database, a file of labels, or a file of readings."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from vocr_cli.core.data.images.file_kinds import is_tar
from vocr_cli.core.data.lmdb.environments import is_database
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.annotations import annotation_content, label_fault
from vocr_cli.core.data.readers.folders.folder_contents import LIST_NAMES
from vocr_cli.core.data.readers.folders.pairs import GROUND_TRUTH
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.inference.inputs.sources import LineInput, find_lines
from vocr_cli.core.text import clean, readable
from vocr_cli.core.web.labels.record.output import OutputNames

_SHOWN_FAULTS = 20
_WHAT_TO_NAME = "Name a folder of line images (.png, .jpg, ...), a database, or a file of labels."


@dataclass(frozen=True, slots=True)
class GivenReading:
    """A reading that a file holds: text, confidence 0..1, and those of the characters, where it has them."""

    text: str
    confidence: float
    char_confidences: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line to be labelled.

    Attributes:
        name: How the output names it, and the journal.
        line: Its image.
        label: What it is said to say; None: nobody has said.
        reading: What a file of readings has for it.
    """

    name: str
    line: LineInput
    label: str | None = None
    reading: GivenReading | None = None


@dataclass
class LabelSource:
    """Lines, listed lazily.

    Attributes:
        kind: folder, database, labels or readings.
        lines: Lists them, once.
        faults: Rows that cannot be used, as far as listed: where, and why.
        fault_count: How many; `faults` holds the first.
    """

    kind: str
    lines: Callable[[], Iterator[SourceLine]]
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    @property
    def is_labelled(self) -> bool:
        """Whether lines that nobody decides about keep the labels that they have."""
        return self.kind == "labels"

    def note_fault(self, fault: str) -> None:
        """Takes a row that cannot be used."""
        self.fault_count += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(fault)


def open_label_source(path: Path, out: Path) -> LabelSource:
    """Finds out what a path holds.

    Args:
        path: A folder of images, with or without labels; a database; a file of labels or of readings.
        out: The output file; what stands there is no source.

    Raises:
        DataError: There is nothing there, or nothing that can be labelled.
    """
    source = _source_at(path, out)
    lines = source.lines()
    if (first := next(lines, None)) is None:
        why = f" {source.faults[0]}." if source.faults else ""
        raise DataError(f"{path} holds no lines to label.{why}", _WHAT_TO_NAME)
    source.lines = lambda: chain([first], lines)
    return source


def _source_at(path: Path, out: Path) -> LabelSource:
    names = OutputNames(out.parent)
    if not path.exists():
        raise DataError(f"There is nothing at {path}.", _WHAT_TO_NAME)
    if is_database(path):
        return _database(path, names)
    if path.is_dir():
        return _folder(path, out, names)
    if is_tar(path):
        raise DataError(f"{path} is an archive.", "Unpack it (tar -xf) and name the folder.")
    readings = _readings(path, names)
    return readings or _labels(path, names)


def _database(path: Path, names: OutputNames) -> LabelSource:
    store = LineStore(path)
    name = names.name(str(path))

    def lines() -> Iterator[SourceLine]:
        for number in range(len(store)):
            try:
                label = store.text(number)
            except DataError as error:
                source.note_fault(error.problem)
                label = ""
            line = LineInput(f"{path}, line {number}", (store, number))
            yield SourceLine(f"{name}#{number}", line, label or None)

    source = LabelSource("database", lines)
    return source


def _folder(path: Path, out: Path, names: OutputNames) -> LabelSource:
    """A folder: its images, with what an annotation file in it or files beside them say."""
    known = next((path / name for name in LIST_NAMES if _is_other_file(path / name, out)), None)
    listed = None if known is None else _readings(known, names) or _labels(known, names)

    def lines() -> Iterator[SourceLine]:
        seen, texts = set(), _GroundTruths()
        for line in listed.lines() if listed else ():
            seen.add(line.name)
            yield line
        if listed:
            source.faults, source.fault_count = listed.faults, listed.fault_count
        for found in find_lines([path]):
            name = names.name(found.path)
            if name not in seen:
                yield SourceLine(name, found, texts.label(found))

    source = LabelSource(listed.kind if listed else "folder", lines)
    return source


def _is_other_file(file: Path, out: Path) -> bool:
    return file.is_file() and not (out.exists() and os.path.samefile(file, out))


class _GroundTruths:
    """What `.gt.txt` files beside images say; each folder is listed once to see whether it has any."""

    def __init__(self) -> None:
        self._has_any: dict[str, bool] = {}
        self._bare = "\0"  # the folder that was asked about last, and has none

    def label(self, line: LineInput) -> str | None:
        """The label beside an image; None: there is none that can be read."""
        if not isinstance(line.source, str):
            return None
        folder = line.source.rpartition("/")[0] if os.sep == "/" else os.path.dirname(line.source)
        if folder == self._bare:
            return None
        if folder not in self._has_any:
            listed = os.listdir(folder or os.path.dirname(line.source) or ".")
            self._has_any[folder] = any(name.endswith(GROUND_TRUTH) for name in listed)
        if not self._has_any[folder]:
            self._bare = folder
            return None
        try:
            with open(os.path.splitext(line.source)[0] + GROUND_TRUTH, encoding="utf-8-sig") as file:
                return clean(file.read(1 << 16)) or None
        except (OSError, UnicodeDecodeError):
            return None


def _labels(path: Path, names: OutputNames) -> LabelSource:
    """Lines of any file of labels whose images lie in files of their own."""
    entries = open_source(path)

    def lines() -> Iterator[SourceLine]:
        for entry in entries:
            if not entry.image:
                source.note_fault(f"{path}, {entry.location}: {entry.fault}")
                continue
            if not isinstance(entry.image, str):
                raise DataError(
                    f"{path} holds its images within.",
                    f"Make a database of it, and label that: vocr build-lmdb {path} lines.lmdb",
                )
            text = clean(entry.label)
            if fault := entry.fault or label_fault(text):
                source.note_fault(f"{path}, {entry.location}: {fault}; it is shown without a label")
                text = ""
            yield SourceLine(names.name(entry.image), LineInput(entry.image, entry.image), text or None)

    source = LabelSource("labels", lines)
    return source


def _readings(path: Path, names: OutputNames) -> LabelSource | None:
    """What `vocr infer` wrote, known by its confidences; None: the file is no such one."""
    rows = _rows_with_confidence(path)
    if rows is None:
        return None

    def lines() -> Iterator[SourceLine]:
        for number, row in enumerate(rows(), start=1):
            file = row.get("path")
            if not isinstance(file, str) or not file:
                source.note_fault(f"{path}, line {number}: no path")
                continue
            file = _existing(path.parent, file)
            yield SourceLine(names.name(file), LineInput(file, file), None, _given(row))

    source = LabelSource("readings", lines)
    return source


def _existing(folder: Path, name: str) -> str:
    """The file of a reading: named from the list's folder, or as `vocr infer` does from where it ran."""
    beside = os.path.join(folder, name)
    return beside if os.path.exists(beside) or not os.path.exists(name) else name


def _given(row: dict[str, Any]) -> GivenReading | None:
    """The reading of a row; None: the line could not be read."""
    text, confidence, chars = row.get("text"), row.get("confidence"), row.get("char_confidences")
    if not isinstance(text, str) or not _is_probability(confidence):
        return None
    known = isinstance(chars, list) and len(chars) == len(text) and all(map(_is_probability, chars))
    probabilities = tuple(map(float, chars)) if known and chars else ()
    return GivenReading(clean(readable(text)), float(str(confidence)), probabilities)


def _is_probability(value: object) -> bool:
    try:
        return 0 <= float(str(value)) <= 1
    except ValueError:
        return False


def _rows_with_confidence(path: Path) -> Callable[[], Iterator[dict[str, Any]]] | None:
    """The rows of a file whose first row has a confidence, read anew by each call; None: it has none."""
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        rows = _json_rows
    elif suffix == ".csv":
        rows = _csv_rows
    else:
        rows = _tsv_rows
    try:
        first = next(rows(path), None)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
    if first is None or not ({"path", "confidence"} <= first.keys() or "error" in first):
        return None
    return lambda: rows(path)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                row = {}
            yield row if isinstance(row, dict) else {}


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            yield from csv.DictReader(file)
        except csv.Error:
            yield {}


def _tsv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of `path<TAB>text<TAB>confidence`; of another file, rows without a confidence."""
    for number, row in enumerate(annotation_content(path).split(b"\n"), start=1):
        columns = row.decode("utf-8", "surrogateescape").split("\t")
        if not row.strip() or (number == 1 and columns[0].strip().lower() == "path"):
            continue
        if len(columns) == 3 and _is_probability(columns[2]):
            yield {"path": columns[0].strip(), "text": clean(columns[1]), "confidence": columns[2]}
        else:
            yield {"path": columns[0].strip()} if number > 1 else {}
