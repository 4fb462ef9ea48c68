"""Inputs cut into pieces that any machine of a Ray cluster can read: what actors are given, and give back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from vocr_cli.core.data.images.file_kinds import is_tar
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.tables.parquet_groups import ParquetGroups
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.inputs.pages import with_pages
from vocr_cli.core.inference.inputs.sources import LineInput, find_lines, lines_in
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.inference.reading import Reading

PIECE_LINES = 256

Piece = dict[str, Any]
"""One of: `files`, their names; `lmdb` and `lines`, from and to; `tar`; `parquet` and `group`; `failed`."""


def pieces(paths: Iterable[Path]) -> Iterator[Piece]:
    """The inputs in their order, in pieces of at most `PIECE_LINES`; a tar, a row group of Parquet is one.

    Raises:
        DataError: A Parquet file cannot be read.
        DependencyError: It needs pyarrow.
    """
    files: list[str] = []
    rest = iter(paths)
    first = list(islice(rest, 2))
    for path in chain(first, rest):
        if is_tar(path) or path.suffix == ".parquet":
            yield from _of_files(files)
            files = []
            yield from [{"tar": str(path)}] if is_tar(path) else _row_groups(path)
            continue
        for line in with_pages(lines_in(path, is_only=len(first) == 1)):
            if isinstance(line.source, str):
                files.append(line.source)
                if len(files) == PIECE_LINES:
                    yield from _of_files(files)
                    files = []
                continue
            yield from _of_files(files)
            files = []
            if isinstance(line.source, bytes):
                raise DataError(
                    f"{path}: Ray's machines read images from files, tars, LMDBs and Parquet alone.",
                    f"Make a database of it first: vocr build-lmdb {path} OUT",
                )
            if isinstance(line.source, VocrError):
                yield {"failed": [line.path, line.source.problem, line.source.fix]}
            elif isinstance(line.source, tuple) and line.source[1] % PIECE_LINES == 0:
                store, start = line.source
                assert isinstance(store, LineStore), "what is packed comes as bytes"
                end = min(start + PIECE_LINES, len(store))
                yield {"lmdb": str(store.path), "lines": [start, end], "prefix": line.prefix}
    yield from _of_files(files)


def piece_lines(piece: Piece) -> Iterator[LineInput]:
    """The lines of a piece, on the machine that reads it."""
    if "files" in piece:
        return (LineInput(name, name) for name in piece["files"])
    if "tar" in piece:
        return with_pages(find_lines([Path(piece["tar"])]))
    if "lmdb" in piece:
        store = LineStore(piece["lmdb"])
        return (
            LineInput(f"{store.path}, line {number}", (store, number), piece["prefix"])
            for number in range(*piece["lines"])
        )
    if "failed" in piece:
        path, problem, fix = piece["failed"]
        return iter([LineInput(path, DataError(problem, fix))])
    return _parquet_lines(Path(piece["parquet"]), piece["group"])


def pack(result: LineResult) -> str:
    """A result as JSON, floats in full."""
    if result.error is not None:
        return json.dumps([result.path, result.error.problem, result.error.fix])
    assert result.reading is not None
    reading = result.reading
    return json.dumps(
        [
            result.path, reading.text, reading.confidence, reading.char_confidences, reading.flags,
            reading.alternatives, result.width_px, result.height_px,
        ]
    )  # fmt: skip


def unpack(values: list[Any]) -> LineResult:
    """The result that `pack` wrote, from the parsed JSON."""
    if len(values) == 3:
        return LineResult(values[0], None, DataError(values[1], values[2]))
    path, text, confidence, chars, flags, alternatives, width, height = values
    others = tuple((other, score) for other, score in alternatives)
    return LineResult(
        path, Reading(text, confidence, tuple(chars), tuple(flags), others), None, width, height
    )


def _of_files(files: list[str]) -> Iterator[Piece]:
    if files:
        yield {"files": files}


def _row_groups(path: Path) -> Iterator[Piece]:
    file = ParquetGroups(path)
    _image_column(file.schema, path)
    yield from ({"parquet": str(path), "group": group} for group in range(len(file.rows)))


def _parquet_lines(path: Path, group: int) -> Iterator[LineInput]:
    """Rows of one row group: an image column as Hugging Face has it, or one of bytes, or one of paths."""
    file = ParquetGroups(path)
    image, name = _image_column(file.schema, path)
    numbers = count(sum(file.rows[:group]))
    for row in file.read([image, *([name] if name else [])], [group]):
        row_name = f"{path}, row {next(numbers)}"
        if row.fault:
            damage = DataError(f"{row_name}: {row.fault}.", "Copy the file again, or leave it out.")
            yield LineInput(row_name, damage)
            continue
        value, *names = row.cells
        label = names[0] if names else None
        if isinstance(value, dict):
            label, value = label or value.get("path"), value.get("bytes") or value.get("path")
        yield _parquet_line(str(label) if label else row_name, value, row_name)


def _parquet_line(name: str, value: object, row_name: str) -> LineInput:
    if isinstance(value, bytes):
        return LineInput(name, value)
    if isinstance(value, str) and value:
        return LineInput(value, value)
    return LineInput(row_name, DataError(f"{row_name}: no image.", "Leave the row out, or give it an image."))


def _image_column(schema: Any, path: Path) -> tuple[str, str | None]:
    """The column of images, and that of their names where there is one beside it."""
    import pyarrow

    kinds = {field.name: field.type for field in schema}
    name_column = next(
        (name for name in ("path", "file_name", "filename", "__key__", "id") if name in kinds), None
    )
    for name, kind in kinds.items():
        if pyarrow.types.is_struct(kind) and {"bytes", "path"} & {
            kind.field(i).name for i in range(kind.num_fields)
        }:
            return name, name_column
        if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
            return name, name_column
    for name in ("image", "path", "file_name", "filename"):
        if name in kinds and pyarrow.types.is_string(kinds[name]):
            return name, None
    raise DataError(
        f"{path} has no column of images: {', '.join(kinds)}.",
        "Name one `image` (bytes, or Hugging Face's bytes and path) or `path`.",
    )
