"""Labelled lines out of a table: its rows as entries, by the columns that hold image and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vocr_cli.core.data.readers.entries import Entry, writable
from vocr_cli.core.data.readers.folders.splits import (
    ALL,
    METADATA_NAMES,
    SPLIT_COLUMNS,
    UNNAMED,
    choose_split,
    split_named,
    split_of,
    split_of_image,
)
from vocr_cli.core.data.readers.lists.find_images import ImageFolder, cell_names
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.data.readers.tables.cells import fields_of, text_of
from vocr_cli.core.data.readers.tables.columns import choose_columns
from vocr_cli.core.data.readers.tables.rows import Row, Rows
from vocr_cli.core.errors import DataError

_SAMPLE_ROWS = 64
_NAMES = ("path", "file_name", "filename", "__key__", "id")
"""Columns whose cells are what images inside the table are called."""

_SPLITS = ("train", "validation", "test")


class TableSource:
    """The rows of a table as labelled lines.

    Args:
        rows: The table.
        folder: What the paths of images start from.
        options: Which columns and which split to read.

    Raises:
        DataError: It is not clear which columns hold image and text, or which split is wanted.
    """

    def __init__(self, rows: Rows, folder: ImageFolder, options: SourceOptions) -> None:
        self.path, self.layout, self._rows, self._folder = rows.path, rows.layout, rows, folder
        self.uses = rows.uses | {"columns", "images"}
        names = list(rows.names)
        sample = [row.cells for row in islice(rows.read(names), _SAMPLE_ROWS) if not row.fault]
        chosen = choose_columns(
            str(rows.path), names, sample, options.columns, folder, need_text=not options.for_images
        )
        self._chosen, self._located = chosen, chosen.located
        usual = {name.strip().lower(): name for name in reversed(names)}
        self._confidence = usual.get("confidence", "")
        own_names = (usual[name] for name in _NAMES if name in usual)
        self._name = next((name for name in own_names if name not in (chosen.image, chosen.text)), "")
        self.notes = [*rows.notes, *self._choice(names, sample)]
        self._split_column, self._split = "", ""
        self._split_of: Callable[[Any], str] = str
        self._find_split(names, sample, options)

    @property
    def finds_images(self) -> bool:
        """Whether images of its sample are in it, or are where it says."""
        return self._chosen.has_images

    @property
    def lines(self) -> int | None:
        """How many entries there are at most; None: rows name several images, or are not counted."""
        return self._rows.lines

    def __iter__(self) -> Iterator[Entry]:
        chosen = self._chosen
        columns = [chosen.image, chosen.text, self._name, self._confidence, self._split_column]
        names = list(dict.fromkeys(name for name in columns if name))
        places = [names.index(name) if name else None for name in columns]
        seen = Counter[int]()
        for row in self._rows.read(names):
            if row.fault:
                yield _entry(row, row.content, "", b"", row.fault)
                continue
            cells = [None if place is None else row.cells[place] for place in places]
            if not self._split or (self._split_of(cells.pop()) or UNNAMED) == self._split:
                yield from map(writable, self._entries(row, cells, seen))

    def fingerprint(self) -> str:
        """A fingerprint of the rows, the columns, the split and the images' folder."""
        chosen = f"{self._chosen.image} {self._chosen.text} {self._split}"
        return (
            f"{self._rows.fingerprint()} {chosen} {Path(self._folder.root).resolve()} {self._located.place}"
        )

    def _choice(self, names: list[str], sample: list[Any]) -> Iterator[str]:
        """Says which columns were chosen, and where images were found."""
        chosen = self._chosen
        if len(names) > 1:
            texts = f", texts from {chosen.text!r}" if chosen.text else ""
            inside = " (within JSON documents)" if chosen.of_documents else ""
            other = f"; {chosen.note}: --columns text=NAME takes another" if chosen.note else ""
            yield f"{self.path}: images from column {chosen.image!r}{texts}{inside}{other}."
        if note := self._located.note(next(iter(self._names_in(names, sample)), "")):
            yield f"{self.path}: {note}."

    def _find_split(self, names: list[str], sample: list[Any], options: SourceOptions) -> None:
        """Heeds a column that says which split each row belongs to."""
        column = next((name for name in names if name.strip().lower() in SPLIT_COLUMNS), "")
        values = {split_named(str(cells[names.index(column)])) for cells in sample} if column else set()
        if values and values <= {*_SPLITS, UNNAMED}:
            self._split_column, self._split_of = column, lambda cell: split_named(str(cell))
        elif self.path.name in METADATA_NAMES and any(map(split_of_image, self._names_in(names, sample))):
            self._split_column, self._split_of = self._chosen.image, lambda cell: split_of_image(str(cell))
        else:
            if options.split and split_of(self.path.name) == split_named(options.split):
                self.uses |= {"split"}
            return
        self.uses |= {"split"}
        counts: dict[str, list[int]] = {}
        for row in self._rows.read([self._split_column]):
            if not row.fault:
                counts.setdefault(self._split_of(row.cells[0]) or UNNAMED, []).append(row.number)
        by = f"column {self._split_column!r}"
        split, _ = choose_split(self.path, counts, options, f"rows by {by}")
        self._split = "" if split == ALL else split
        if self._split:
            self.notes.append(f"{self.path}: rows of the split {self._split!r} alone, by {by}.")

    def _names_in(self, names: list[str], sample: list[Any]) -> list[str]:
        """The images that the sample names."""
        index = names.index(self._chosen.image)
        return [name for cells in sample for name in cell_names(cells[index])]

    def _entries(self, row: Row, cells: Sequence[Any], seen: Counter[int]) -> Iterator[Entry]:
        image, text, own_name, confidence = cells[:4]
        label = text_of(text, of_documents=self._chosen.of_documents)
        fault = "" if label is not None or not self._chosen.text else _no_text(text)
        label = label or ""
        how_sure = _number(confidence)
        packed = image.get("bytes") if isinstance(image, dict) else image
        if isinstance(packed, bytes):
            own_name = own_name if own_name or own_name == 0 else ""  # 0 is the id of a first row
            name = str(own_name) or _path_in(image) or row.name or f"row-{row.number:09d}"
            name = self._unique(name, row, seen)
            yield _entry(row, name, label, packed, fault, how_sure)
            return
        names = cell_names(_path_in(image) if isinstance(image, dict) else _as_name(image))
        if not names:
            name = row.content or row.name or f"row-{row.number:09d}"
            yield _entry(row, name, label, b"", fault or "no image")
            return
        for name in names:
            yield self._file_entry(row, name.strip(), label, fault, how_sure)

    def _file_entry(self, row: Row, name: str, label: str, fault: str, confidence: float | None) -> Entry:
        if not name:
            return _entry(row, name, label, b"", "no path")
        try:
            file = self._located.file(name)
        except DataError as unclear:
            return _entry(row, name, label, b"", unclear.problem, confidence)._replace(remedy=unclear.fix)
        return _entry(row, name, label, file, fault, confidence)

    def _unique(self, name: str, row: Row, seen: Counter[int]) -> str:
        """The name of an image inside the table, told from others of the same name by its row."""
        seen[hash(name)] += 1
        return name if seen[hash(name)] == 1 else f"{name}#{row.number}"


def _entry(
    row: Row, name: str, label: str, image: str | bytes, fault: str = "", confidence: float | None = None
) -> Entry:
    return Entry(row.number, name, label, image, fault, "", "", confidence)


def _as_name(image: Any) -> Any:
    return str(image) if isinstance(image, int) and not isinstance(image, bool) else image


def _path_in(image: Any) -> str:
    return str(image.get("path") or "") if isinstance(image, dict) else ""


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else None


def _no_text(cell: Any) -> str:
    if cell is None:
        return "no text in its label"
    if isinstance(cell, list):
        return f"{len(cell)} texts in its label: one line an image"
    return f"no text of a line in its label, but {fields_of(cell)}"
