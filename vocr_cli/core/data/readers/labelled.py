"""A labelled set of lines: a database, an annotation file, or a folder that holds one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.data.lmdb.environments import is_database
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.annotations import read_annotations
from vocr_cli.core.errors import DataError

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
    """The lines to be scored, and what was wrong with the entries that cannot be: (location, reason)."""

    lines: tuple[LabelledLine, ...]
    store: LineStore | None
    unusable: tuple[tuple[str, str], ...]

    def source(self, line: LabelledLine) -> Path | tuple[LineStore, int]:
        """The image's file, or the database and the line's number in it."""
        if isinstance(line.image, Path):
            return line.image
        assert self.store is not None
        return self.store, line.image


def load_labelled(data: Path, limit: int | None = None) -> LabelledSet:
    """Finds out what `data` is and lists its lines, at most `limit`.

    Raises:
        DataError: There is nothing there, or nothing labelled in it.
    """
    if not data.exists():
        raise DataError(f"There is nothing at {data}.", _FIX)
    if is_database(data):
        return _from_store(data, limit)
    if data.is_dir():
        found = next((data / name for name in ANNOTATION_NAMES if (data / name).is_file()), None)
        if found is None:
            raise DataError(f"{data} holds neither data.mdb nor {', '.join(ANNOTATION_NAMES)}.", _FIX)
        data = found
    return _from_annotations(data, limit)


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
