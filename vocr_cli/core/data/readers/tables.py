"""Labelled line images listed in tables: CSV and TSV with named columns, JSON Lines."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path

from vocr_cli.core.data.readers.annotations import existing_root, image_file
from vocr_cli.core.data.readers.entries import Entry, content_digest
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import (
    MAX_LINE_BYTES,
    InputLine,
    lines_within,
    open_input,
    parse_json,
)
from vocr_cli.core.text import readable

IMAGE_COLUMNS = ("image", "file_name", "filename", "image_path", "img_path", "path", "file", "img")
TEXT_COLUMNS = ("text", "label", "transcription", "ground_truth", "gt", "caption", "sentence", "words")
TOO_LONG = f"more than {MAX_LINE_BYTES:,} bytes are no row of a list"
_MOST_LINES = 50  # that a quoted cell may have


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
        names = self._cells([InputLine(1, head.encode("utf-8", "surrogateescape"), False)]) or []
        self._columns = find_columns(path, names, columns)
        self._image, self._text = names.index(self._columns.image), names.index(self._columns.text)
        self._width = len(names)

    def __iter__(self) -> Iterator[Entry]:
        with BufferedReader(open_input(self.path, pipes=False)) as stream:  # type: ignore[arg-type]
            lines = lines_within(stream)
            next(lines)
            given_back = deque[InputLine]()
            while (line := given_back.popleft() if given_back else next(lines, None)) is not None:
                if line.cut:
                    yield Entry(line.number, readable(_text([line])[:400]), "", b"", TOO_LONG)
                elif _text([line]).strip():
                    yield self._entry(line.number, self._row(line, lines, given_back))

    def fingerprint(self) -> str:
        """A fingerprint of the content, the columns and the images' folder."""
        return f"{content_digest(self.path)} {self._columns} {self._root.resolve()}"

    def _row(self, line: InputLine, lines: Iterator[InputLine], given_back: deque[InputLine]) -> list[str]:
        """The cells of a row, one of which may go on in the next lines.

        A quotation mark that nobody closes, or that takes other rows into an image's name or a text, is a
        part of the text: the lines after its own are given back.
        """
        taken = [line]
        cells = self._cells(taken)
        while cells is None and len(taken) < _MOST_LINES and not taken[-1].cut:
            if (more := given_back.popleft() if given_back else next(lines, None)) is None:
                break
            taken.append(more)
            cells = self._cells(taken)
        if cells is None or (len(taken) > 1 and self._holds_rows(cells, taken[1:])):
            given_back.extendleft(reversed(taken[1:]))
            return _text([line]).rstrip("\r\n").split(self._comma)
        return cells

    def _holds_rows(self, cells: list[str], others: Sequence[InputLine]) -> bool:
        """Whether a row of several lines has taken others for its own: by its cells, or for they look so."""
        if len(cells) != self._width or "\n" in cells[self._image] + cells[self._text]:
            return True
        return any(len(_text([line]).split(self._comma)) == self._width for line in others)

    def _cells(self, lines: Sequence[InputLine]) -> list[str] | None:
        """The cells of a row of so many lines; None where its quotation marks do not fit."""
        text = _text(lines).rstrip("\r\n")
        if self._comma == "\t" or '"' not in text:  # in TSV a quotation mark is a character
            return text.split(self._comma)
        try:
            return next(csv.reader([text], delimiter=self._comma, strict=True))
        except csv.Error:
            return None

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
            first = parse_json(first_row(path))
        except ValueError:
            first = None
        if not isinstance(first, dict):
            raise DataError(f"{path}: its first line is no JSON object.", "Write one JSON object a line.")
        self._columns = find_columns(path, list(first), columns)

    def __iter__(self) -> Iterator[Entry]:
        with BufferedReader(open_input(self.path, pipes=False)) as stream:  # type: ignore[arg-type]
            for number, row, cut in lines_within(stream):
                row = row.removeprefix(b"\xef\xbb\xbf") if number == 1 else row
                if cut:
                    yield Entry(number, row[:400].decode("utf-8", "replace"), "", b"", TOO_LONG)
                elif row.strip():
                    yield self._entry(number, row)

    def fingerprint(self) -> str:
        """A fingerprint of the content, the keys and the images' folder."""
        return f"{content_digest(self.path)} {self._columns} {self._root.resolve()}"

    def _entry(self, number: int, row: bytes) -> Entry:
        content = row.decode("utf-8", "replace").strip()
        try:
            values = parse_json(row)
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


def _text(lines: Iterable[InputLine]) -> str:
    """Lines as text; bytes that are not UTF-8 become surrogates, so that the row is named."""
    text = b"".join(line.content for line in lines).decode("utf-8", "surrogateescape")
    return text.removeprefix("\ufeff")


def _unquoted(field: str) -> str:
    """A field of a TSV without the quotation marks that spreadsheets put around it."""
    inner = field[1:-1]
    quoted = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted and '""' in inner else field


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
        with BufferedReader(open_input(path, pipes=False)) as stream:  # type: ignore[arg-type]
            row = _text(islice(lines_within(stream), 1)).rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
    if not row:
        raise DataError(f"{path} is empty, or its first line is.", "Let its first line name the columns.")
    return readable(row)
