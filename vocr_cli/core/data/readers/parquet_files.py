"""Labelled line images in Parquet, or listed in it. Needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.data.readers.parquet_groups import ParquetGroups
from vocr_cli.core.data.readers.tables import Columns, find_columns, path_entry
from vocr_cli.core.machine.files.folder_walk import files_ending


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
        self.path = path
        files = sorted(files_ending(path, ".parquet")) if path.is_dir() else [path]
        self._files = [ParquetGroups(file) for file in files]
        self._root = images_root
        self.lines = sum(map(len, self._files))
        for file in self._files:
            self._columns = find_columns(file.path, file.names, columns)

    def __iter__(self) -> Iterator[Entry]:
        number = 0
        for file in self._files:
            root = str(self._root or file.path.parent)
            for row in file.read([self._columns.image, self._columns.text]):
                number += 1
                if row.fault:
                    yield Entry(number, file.path.name, "", b"", row.fault)
                else:
                    yield _cell_entry(number, *row.cells, root)

    def fingerprint(self) -> str:
        """A fingerprint of the files' names, sizes and times, and the columns."""
        return f"{[stamp(file.path) for file in self._files]} {self._columns}"


def _cell_entry(number: int, value: Any, label: Any, root: str) -> Entry:
    name = f"row-{number:09d}"
    if not isinstance(label, str):
        return Entry(number, name, "", b"", "no text in its label")
    if isinstance(value, dict):
        stated = value.get("path")
        name = stated if isinstance(stated, str) and stated else name
        value = value.get("bytes") or stated
    if isinstance(value, bytes):
        return Entry(number, name, label, value)
    if isinstance(value, str):
        return path_entry(number, value, label, root)
    return Entry(number, name, label, b"", "no image")
