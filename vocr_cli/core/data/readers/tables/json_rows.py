"""JSON Lines and JSON documents as tables: objects are rows, what lies within them has dotted names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vocr_cli.core.data.readers.entries import content_digest
from vocr_cli.core.data.readers.folders.splits import choose_split, split_named
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.data.readers.tables.cells import CUT_LINES, NumberText, holds_boxes, was_skipped
from vocr_cli.core.data.readers.tables.columns import IMAGE_NAMES
from vocr_cli.core.data.readers.tables.rows import TOO_LONG, Row
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import (
    MAX_DOCUMENT_BYTES,
    lines_within,
    open_buffered,
    read_within,
)

_DEPTH = 6
_SAMPLE_ROWS = 64
_WRITE_OBJECTS = 'Write an object for each line: {"file_name": "0.png", "text": "Đường Nguyễn Huệ"}.'


class _Object(dict[str, Any]):
    """An object in which a name stands twice: `pairs` has all of it, the dictionary what came last."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class JsonLines:
    """One JSON object a line, as Hugging Face's image folders, mmocr and `vocr infer` write them.

    Args:
        path: The file, UTF-8.

    Raises:
        DataError: It cannot be read, or none of its first lines is an object.
    """

    layout = "JSON Lines"
    lines = None
    uses = frozenset[str]()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        sample = [
            record for _, _, record in islice(self._records(), _SAMPLE_ROWS) if isinstance(record, dict)
        ]
        if not sample:
            raise DataError(f"{path}: its first lines are no JSON objects.", _WRITE_OBJECTS)
        self.names: Sequence[str] = names_of(sample)

    def read(self, names: Sequence[str]) -> Iterator[Row]:
        """Gives the objects, a cell for each name; nothing where an object has none."""
        for number, content, record in self._records():
            if isinstance(record, str):
                yield Row(number, fault=record, content=content)
            else:
                yield row_of(number, record, names, content)

    def fingerprint(self) -> str:
        """A fingerprint of the content."""
        return content_digest(self.path)

    def _records(self) -> Iterator[tuple[int, str, dict[str, Any] | str]]:
        """Gives each line's number and content, and its object or what is wrong with it."""
        try:
            with open_buffered(self.path, pipes=False) as stream:
                for number, row, cut in lines_within(stream):
                    row = (row.removeprefix(b"\xef\xbb\xbf") if number == 1 else row).strip()
                    if cut:
                        yield number, row[:400].decode("utf-8", "replace"), TOO_LONG
                    elif row:
                        yield number, *_parsed_line(row)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {reason_of(error)}.", "Check the path.") from None


class JsonDocument:
    """A JSON document: texts by the names of their images, or a list of objects, wherever it lies in it.

    Cinnamon, docTR and UIT-HWDB write `{"0.png": "text"}`, Label Studio a list, mmocr a list under
    `data_list`, pandas a list or an object for each column.

    Args:
        path: The file, UTF-8.
        document: What it holds.
        options: Which split to take, where lists of several lie in it.

    Raises:
        DataError: It holds no table of lines, or it is not clear which.
    """

    layout = "JSON"

    def __init__(self, path: Path, document: Any, options: SourceOptions) -> None:
        self.path = path
        self.notes: list[str] = []
        self.uses = frozenset[str]()
        records = self._records_of(document, options)
        self._records = [flat(record) if isinstance(record, dict) else record for record in records]
        self.lines = len(self._records)
        usable = [record for record in self._records[:_SAMPLE_ROWS] if isinstance(record, dict)]
        if not usable:
            raise DataError(f"{path} holds no objects with an image and its text.", _WRITE_OBJECTS)
        self.names: Sequence[str] = names_of(usable)

    def read(self, names: Sequence[str]) -> Iterator[Row]:
        """Gives the objects, a cell for each name; nothing where an object has none."""
        for number, record in enumerate(self._records, start=1):
            if isinstance(record, dict):
                yield Row(number, [record.get(name) for name in names], content=_shown(record))
            else:
                yield Row(number, fault="no JSON object", content=_shown(record))

    def fingerprint(self) -> str:
        """A fingerprint of the content."""
        return content_digest(self.path)

    def _records_of(self, document: Any, options: SourceOptions) -> list[Any]:
        if isinstance(document, list):
            return [_as_record(record) for record in document]
        if not isinstance(document, dict) or not document:
            raise DataError(f"{self.path} holds neither a list nor an object of texts.", _WRITE_OBJECTS)
        lists = {key: value for key, value in document.items() if _is_table(value)}
        splits = {split_named(key): value for key, value in lists.items()}
        if lists and set(splits) <= {"train", "validation", "test"}:
            self.uses = frozenset({"split"})
            return list(choose_split(self.path, splits, options, "lines")[1])
        if "annotations" in lists and "images" in lists:
            raise DataError(
                f"{self.path} is COCO's layout: positions of texts on pages, not lines.", CUT_LINES
            )
        if len(lists) == 1:
            return [_as_record(record) for record in next(iter(lists.values()))]
        if columns := _columns_of(document):
            return columns
        if lists:
            raise DataError(
                f"{self.path} holds several lists: {', '.join(lists)}.", "Keep the one with the lines."
            )
        pairs = document.pairs if isinstance(document, _Object) else list(document.items())
        return [_named_record(name, value) for name, value in pairs]


def read_document(path: Path) -> Any:
    """The JSON document in a file, numbers as they are written.

    Raises:
        DataError: It cannot be read, or is no JSON.
    """
    try:
        content = read_within(path, MAX_DOCUMENT_BYTES, pipes=False)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
    try:
        return parse_json(content)
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON: {error}.",
            "Correct it, or export it again, as UTF-8.",
        ) from None


def parse_json(content: bytes | str) -> Any:
    """Parses JSON; numbers become their text, `1.50` with its zero, and a name that stands twice is kept.

    Raises:
        ValueError: It is no JSON, not UTF-8, or nested too deeply.
    """
    try:
        return _DECODER.decode(content if isinstance(content, str) else content.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def names_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names in flat records, in the order in which they appear."""
    return list(dict.fromkeys(name for record in records for name in record))


def row_of(number: int, record: Mapping[str, Any], names: Sequence[str], content: str = "") -> Row:
    """A row of a flat record."""
    return Row(number, [record.get(name) for name in names], content=content)


def flat(record: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, Any]:
    """A record without levels: `{"instances": [{"text": "a"}]}` has `instances.text`.

    A list of one object is that object; one of several has lists of what they hold. An image (`bytes` and
    `path`) and positions on a page stay whole.
    """
    if not before and not any(isinstance(value, dict | list) for value in record.values()):
        return dict(record)
    found: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{before}{key}"
        objects = value if isinstance(value, list) else [value]
        objects = [inner for inner in objects if not was_skipped(inner)]
        whole = not all(isinstance(inner, dict) and inner for inner in objects) or holds_boxes(objects)
        if whole or not objects or depth >= _DEPTH or {"bytes", "path"} <= objects[0].keys():
            found[name] = value
        elif len(objects) == 1:
            found |= flat(objects[0], f"{name}.", depth + 1)
        else:
            below = [flat(inner, f"{name}.", depth + 1) for inner in objects]
            found |= {key: [inner.get(key) for inner in below] for key in names_of(below)}
    return found


def _parsed_line(row: bytes) -> tuple[str, dict[str, Any] | str]:
    """A line's content, and its object or what is wrong with it."""
    try:
        content = row.decode()
    except UnicodeDecodeError as error:
        return row.decode("utf-8", "replace"), f"not JSON: {error}"
    try:
        values = parse_json(content)
    except ValueError as error:
        return content, f"not JSON: {error}"
    return content, flat(values) if isinstance(values, dict) else "no JSON object"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    return values if len(values) == len(pairs) else _Object(pairs)


_DECODER = json.JSONDecoder(parse_int=NumberText, parse_float=NumberText, object_pairs_hook=_object)
"""Made once: to make one takes as long as to decode a line."""


def _is_table(value: Any) -> bool:
    """Whether a value is a list of objects, or of rows."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _as_record(value: Any) -> Any:
    """An object as it is; a row of a list with its columns numbered from 1."""
    if isinstance(value, list):
        return {str(number): cell for number, cell in enumerate(value, start=1)}
    return value


def _columns_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an object that has a list, or an object of row numbers, for each column; or nothing."""
    if not any(key.lower() in IMAGE_NAMES for key in document):
        return []
    cells = [list(value.values()) if isinstance(value, dict) else value for value in document.values()]
    if not all(isinstance(column, list) and len(column) == len(cells[0]) for column in cells):
        return []
    return [dict(zip(document, row, strict=True)) for row in zip(*cells, strict=True)]


def _named_record(name: str, value: Any) -> dict[str, Any]:
    """A record of an image's name and what stands for it: a text, or an object that holds one."""
    if isinstance(value, dict) and not holds_boxes(value):
        return {"image": name, **{key: inner for key, inner in value.items() if key != "image"}}
    return {"image": name, "text": value}


def _shown(record: Any) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, default=str)[:400]
    except RecursionError:
        return "(nested deeply)"
