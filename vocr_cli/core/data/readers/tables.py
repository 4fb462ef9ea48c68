"""Labelled line images listed in tables: CSV and TSV with named columns, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.data.readers.annotations import existing_root, image_file
from vocr_cli.core.data.readers.entries import Entry, content_digest, stamp
from vocr_cli.core.errors import DataError, DependencyError, reason_of
from vocr_cli.core.text import readable

IMAGE_COLUMNS = ("image", "file_name", "filename", "image_path", "img_path", "path", "file", "img")
TEXT_COLUMNS = ("text", "label", "transcription", "ground_truth", "gt", "caption", "sentence", "words")
_BATCH_ROWS = 256


@dataclass(frozen=True)
class Columns:
    """The names of the columns that hold image and text; empty: the usual ones are looked for."""

    image: str = ""
    text: str = ""


def find_columns(path: Path, names: Sequence[str], wanted: Columns) -> Columns:
    """Finds which of a table's columns hold image and text.

    Raises:
        DataError: Some column is not there, or none has a usual name.
    """
    usual = {name.strip().lower(): name for name in reversed(names)}
    found = {}
    for kind, asked, known in (("image", wanted.image, IMAGE_COLUMNS), ("text", wanted.text, TEXT_COLUMNS)):
        if asked and asked not in names:
            raise DataError(
                f"{path} has no column {asked!r}; it has {', '.join(names)}.", "Correct --columns."
            )
        match = asked or next((usual[name] for name in known if name in usual), None)
        if match is None:
            raise DataError(
                f"{path}: which column holds the {kind}? It has {', '.join(map(repr, names))[:200]}.",
                "Say so: --columns image=NAME,text=NAME.",
            )
        found[kind] = match
    return Columns(**found)


class Table:
    """CSV or TSV whose first row names the columns.

    Args:
        path: The file, UTF-8.
        images_root: The folder that relative paths start from; the file's own by default.
        columns: Which columns to read.

    Raises:
        DataError: It cannot be read, or lacks the columns.
    """

    lines = None

    def __init__(self, path: Path, images_root: Path | None, columns: Columns) -> None:
        self.path = path
        self._root = existing_root(path.parent if images_root is None else images_root)
        head = first_row(path)
        self._comma = max("\t,;|", key=head.count)
        names: list[str] = next(self._rows([head]), [])
        self._columns = find_columns(path, names, columns)
        self._image, self._text = names.index(self._columns.image), names.index(self._columns.text)
        self._width = len(names)

    def __iter__(self) -> Iterator[Entry]:
        # Bytes that are not UTF-8 become surrogates, so that the row is named instead of ending the file.
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            rows = self._rows(stream)
            next(rows)
            while True:
                number = rows.line_num + 1
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Entry(number, "", "", b"", f"not {self.path.suffix[1:].upper()}: {error}")
                    continue
                if row:
                    yield self._entry(number, row)

    def _rows(self, lines: Iterable[str]) -> Any:
        # In TSV a quotation mark is a character: one that nobody closes must not swallow the lines after it.
        if self._comma == "\t":
            return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(lines, delimiter=self._comma, strict=True)

    def fingerprint(self) -> str:
        """A fingerprint of the content, the columns and the images' folder."""
        return f"{content_digest(self.path)} {self._columns} {self._root.resolve()}"

    def _entry(self, number: int, row: list[str]) -> Entry:
        if len(row) != self._width:
            fault = f"{len(row)} columns instead of {self._width}"
            return Entry(number, readable("\t".join(row)), "", b"", fault)
        name, label = (_unquoted(row[column].strip()) for column in (self._image, self._text))
        if readable(name + label) != name + label:
            return Entry(number, readable(name), readable(label), b"", "not UTF-8")
        return path_entry(number, name, label, str(self._root))


class JsonLines:
    """One JSON object a line: `{"file_name": …, "text": …}` as Hugging Face's image folders have it.

    Args:
        path: The file, UTF-8.
        images_root: The folder that relative paths start from; the file's own by default.
        columns: Which keys to read; by default those of the first object are looked at.

    Raises:
        DataError: It cannot be read, or its first object lacks the keys.
    """

    lines = None

    def __init__(self, path: Path, images_root: Path | None, columns: Columns) -> None:
        self.path = path
        self._root = existing_root(path.parent if images_root is None else images_root)
        try:
            first = json.loads(first_row(path))
        except ValueError:
            first = None
        if not isinstance(first, dict):
            raise DataError(f"{path}: its first line is no JSON object.", "Write one JSON object a line.")
        self._columns = find_columns(path, list(first), columns)

    def __iter__(self) -> Iterator[Entry]:
        with self.path.open("rb") as stream:
            for number, row in enumerate(stream, start=1):
                row = row.removeprefix(b"\xef\xbb\xbf") if number == 1 else row
                if row.strip():
                    yield self._entry(number, row)

    def fingerprint(self) -> str:
        """A fingerprint of the content, the keys and the images' folder."""
        return f"{content_digest(self.path)} {self._columns} {self._root.resolve()}"

    def _entry(self, number: int, row: bytes) -> Entry:
        content = row.decode("utf-8", "replace").strip()
        try:
            values = json.loads(row)
        except ValueError as error:
            return Entry(number, content, "", b"", f"not JSON: {error}")
        name, label = (
            (values.get(key) if isinstance(values, dict) else None)
            for key in (self._columns.image, self._columns.text)
        )
        if not isinstance(name, str) or not isinstance(label, str):
            wanted = f"{self._columns.image!r} and {self._columns.text!r}"
            return Entry(number, content, "", b"", f"no text under {wanted}")
        return path_entry(number, name.strip(), label, str(self._root))


class ParquetFiles:
    """Parquet with images inside (Hugging Face's struct of `bytes` and `path`, or binary), or with paths.

    Args:
        path: A file, or a folder of `*.parquet`, read in the order of their names.
        images_root: The folder that relative paths start from; the files' own by default.
        columns: Which columns to read.

    Raises:
        DependencyError: pyarrow is not installed.
        DataError: A file is no Parquet, or lacks the columns.
    """

    def __init__(self, path: Path, images_root: Path | None, columns: Columns) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise DependencyError(
                "Reading Parquet needs pyarrow.", "Install it: pip install 'vocr-cli[parquet]'."
            ) from None
        self.path = path
        self._files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        self._root = images_root
        self._open = parquet.ParquetFile
        self.lines = 0
        for file in self._files:
            try:
                with self._open(file) as opened:
                    self.lines += opened.metadata.num_rows
                    self._columns = find_columns(file, opened.schema_arrow.names, columns)
            except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
                raise DataError(
                    f"{file} is not Parquet: {reason_of(error)}.", "Copy it again, or leave it out."
                ) from None

    def __iter__(self) -> Iterator[Entry]:
        number = 0
        image, text = self._columns.image, self._columns.text
        for file in self._files:
            root = str(self._root or file.parent)
            with self._open(file) as opened:
                for batch in opened.iter_batches(_BATCH_ROWS, columns=[image, text]):
                    for value, label in zip(
                        batch.column(image).to_pylist(), batch.column(text).to_pylist(), strict=True
                    ):
                        number += 1
                        yield _cell_entry(number, value, label, root)

    def fingerprint(self) -> str:
        """A fingerprint of the files' names, sizes and times, and the columns."""
        return f"{[stamp(file) for file in self._files]} {self._columns}"


def _unquoted(field: str) -> str:
    """A field of a TSV without the quotation marks that spreadsheets put around it."""
    inner = field[1:-1]
    quoted = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted and '""' in inner else field


def _cell_entry(number: int, value: Any, label: Any, root: str) -> Entry:
    name = f"row-{number:09d}"
    if not isinstance(label, str):
        return Entry(number, name, "", b"", "no text in its label")
    if isinstance(value, dict):
        name = value.get("path") or name
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return Entry(number, name, label, value)
    if isinstance(value, str):
        return path_entry(number, value, label, root)
    return Entry(number, name, label, b"", "no image")


def path_entry(number: int, name: str, label: str, root: str) -> Entry:
    """Makes an entry whose image lies in a file."""
    if not name:
        return Entry(number, name, label, b"", "no path")
    return Entry(number, name, label, image_file(root, name))


def first_row(path: Path) -> str:
    """The first line of a text file, without BOM and line end.

    Raises:
        DataError: It cannot be read, or is empty.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            row = stream.readline(1 << 20).rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if not row:
        raise DataError(f"{path} is empty, or its first line is.", "Let its first line name the columns.")
    return readable(row)
