"""CSV, TSV and their like: rows of fields, of which no broken quotation mark loses or merges any."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vocr_cli.core.data.readers.entries import content_digest
from vocr_cli.core.data.readers.tables.rows import TOO_LONG, Row
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import lines_within, open_buffered
from vocr_cli.core.text import readable

_MOST_LINES = 50  # that a quoted field may have
_OPEN = "a quotation mark opens that is not closed in this line (CSV)"
_UNQUOTED = "texts hold separators that are not quoted: all that follows the first one in a row is text."
_ICDAR = re.compile(r'([^",]+), "(.*)"')
_ESCAPED = re.compile(r'\\(["\\])')
_EASYOCR = ("filename", "words")
_SAMPLE_ROWS = 64


class _Line(NamedTuple):
    """A line with its end, and whether it was too long to be taken whole."""

    text: str
    cut: bool = False


class Delimited:
    """A text file of rows whose fields stand between separators.

    A field may be quoted, as in RFC 4180; in TSV a quotation mark is a character. Of rows with two fields,
    the text may hold the separator unquoted: EasyOCR writes and reads it so.

    Args:
        path: The file, UTF-8.
        separator: One character.
        has_heading: Whether its first row names the columns.
        text_first: Whether of two fields the first is the text.

    Raises:
        DataError: It cannot be read, or is empty.
    """

    def __init__(
        self, path: Path, separator: str, *, has_heading: bool = True, text_first: bool = False
    ) -> None:
        self.path, self._separator, self._has_heading = path, separator, has_heading
        self._text_first = text_first
        self.layout = "TSV" if separator == "\t" else "CSV"
        self.lines = None
        self.uses = frozenset({"separator", "header"})
        self.notes: list[str] = []
        self._width, self._is_easyocr, self._said = 0, False, set[str]()
        sample = [fields for *_, fields in islice(self._records(), _SAMPLE_ROWS)]
        self.names: Sequence[str] = self._heading(sample)
        self._width = len(self.names)
        self._is_easyocr = tuple(name.strip().lower() for name in self.names) == _EASYOCR

    def read(self, names: Sequence[str]) -> Iterator[Row]:
        """Gives the rows with the fields of the named columns, the heading left out."""
        wanted = [list(self.names).index(name) for name in names]
        records = self._records(wanted)
        if self._has_heading:
            next(records, None)
        for number, line, fields in records:
            if isinstance(fields, str):
                yield Row(number, fault=fields, content=readable(line))
            elif len(fields) != self._width:
                fault = f"{len(fields)} columns instead of {self._width}"
                yield Row(number, fault=fault, content=readable("\t".join(fields)))
            else:
                yield Row(number, [_unquoted(fields[index].strip()) for index in wanted])

    def fingerprint(self) -> str:
        """A fingerprint of the content and of how it is read."""
        return f"{content_digest(self.path)} {self._separator!r} {self._has_heading}"

    def _records(self, wanted: Sequence[int] = ()) -> Iterator[tuple[int, str, list[str] | str]]:
        """Gives each row's number, its line, and its fields or what is wrong with it."""
        try:
            with open_buffered(self.path, pipes=False) as stream:
                yield from self._of_lines(_text_lines(stream), wanted)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {reason_of(error)}.", "Check the path.") from None

    def _heading(self, sample: Sequence[list[str] | str]) -> list[str]:
        """The names of the columns, or their numbers: two where any row has two, else as in most rows."""
        widths = Counter(len(fields) for fields in sample if not isinstance(fields, str))
        if self._has_heading and sample and not isinstance(sample[0], str):
            return [_unquoted(name.strip()) for name in sample[0]]
        width = 2 if widths[2] else widths.most_common(1)[0][0] if widths else 1
        if not self._has_heading:
            self.notes.append(f"{self.path}: it has no heading; its columns are called by their numbers.")
        return [str(number) for number in range(1, width + 1)]

    def _of_lines(
        self, source: Iterator[_Line], wanted: Sequence[int]
    ) -> Iterator[tuple[int, str, list[str] | str]]:
        given_back, number = deque[_Line](), 0

        def next_line() -> _Line | None:
            return given_back.popleft() if given_back else next(source, None)

        while (taken_line := next_line()) is not None:
            number += 1
            line, cut = taken_line
            plain = line.rstrip("\r\n")
            if cut:
                yield number, plain[:400], TOO_LONG
                continue
            if not plain.strip():
                continue
            fields = self._fields(plain)
            if isinstance(fields, str) and not self._is_easyocr and self._width:
                taken: list[_Line] = []
                fields = self._of_several_lines(line, next_line, taken, wanted) or fields
                if isinstance(fields, str):
                    given_back.extendleft(reversed(taken))  # each is a row of its own
                else:
                    yield number, plain, fields
                    number += len(taken)
                    continue
            yield number, plain, self._of_two(plain, fields)

    def _of_several_lines(
        self, line: str, next_line: Callable[[], _Line | None], taken: list[_Line], wanted: Sequence[int]
    ) -> list[str] | str | None:
        """The fields of a row of which one goes on in the next lines, which are put into `taken`.

        A line break within a field that is wanted is no part of a line's text or an image's name: an open
        quotation mark has taken other rows for its text, as it has where one of the lines looks like a row.
        """
        if line.count('"') % 2 == 0:
            return None
        while len(taken) < _MOST_LINES and (more := next_line()) is not None:
            taken.append(more)
            if more.cut:
                break
            if '"' not in more.text:
                continue
            fields = self._fields("".join([line, *(inner.text for inner in taken)]).rstrip("\r\n"))
            if not isinstance(fields, str):
                broken = any("\n" in fields[i] or "\r" in fields[i] for i in wanted if i < len(fields))
                return (
                    _OPEN if broken or len(fields) != self._width or self._look_like_rows(taken) else fields
                )
        return _OPEN

    def _look_like_rows(self, lines: Sequence[_Line]) -> bool:
        """Whether any of the lines has as many fields as a row: then it is one, and no part of a field."""
        return any(line.text.count(self._separator) == self._width - 1 for line in lines)

    def _fields(self, line: str) -> list[str] | str:
        """The fields of a row, or why it has none."""
        if self._separator == "\t" or '"' not in line:
            return line.split(self._separator)
        try:
            return next(csv.reader([line], delimiter=self._separator, strict=True, skipinitialspace=True))
        except csv.Error as error:
            return self._of_icdar(line) or f"not {self.layout}: {error}"

    def _of_icdar(self, line: str) -> list[str] | None:
        """The fields of a row whose text holds quotation marks after a backslash, or as they are.

        So ICDAR's word sets and datumaro write them.
        """
        found = _ICDAR.fullmatch(line.rstrip()) if self._separator == "," and self._width in (0, 2) else None
        return [found[1], _ESCAPED.sub(r"\1", found[2])] if found else None

    def _of_two(self, line: str, fields: list[str] | str) -> list[str] | str:
        """The fields of a row whose text, one of two, holds separators or quotation marks unquoted.

        Empty fields at the end do not count.
        """
        if not isinstance(fields, str):
            while len(fields) > max(self._width, 1) and not fields[-1].strip():
                fields = fields[:-1]
        if self._width != 2 or (len(fields) == 2 and not isinstance(fields, str)):
            return fields
        if '"' in line and not self._is_easyocr:
            return fields
        parts = line.rsplit(self._separator, 1) if self._text_first else line.split(self._separator, 1)
        if len(parts) < 2:
            return fields
        if _UNQUOTED not in self._said:
            self._said.add(_UNQUOTED)
            self.notes.append(f"{self.path}: {_UNQUOTED}")
        return parts


def _text_lines(stream: BinaryIO) -> Iterator[_Line]:
    """The lines of a file; bytes that are not UTF-8 become surrogates, so that the row is named."""
    for number, content, cut in lines_within(stream):
        text = content.decode("utf-8", "surrogateescape")
        text = text.removeprefix("\ufeff") if number == 1 else text
        if cut or "\r" not in text.removesuffix("\n").removesuffix("\r"):
            yield _Line(text, cut)
        else:
            yield from map(_Line, StringIO(text, newline=""))  # it ends lines at a lone CR, too


def _unquoted(field: str) -> str:
    """A field of a TSV without the quotation marks that spreadsheets put around it."""
    inner = field[1:-1]
    quoted = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted and '""' in inner else field
