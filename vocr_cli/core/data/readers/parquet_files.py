"""Labelled line images in Parquet, or listed in it. Needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.data.readers.tables import Columns, find_columns, path_entry
from vocr_cli.core.errors import DataError, DependencyError, reason_of
from vocr_cli.core.machine.files.folder_walk import files_ending

_BATCH_ROWS = 256


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
        self._files = sorted(files_ending(path, ".parquet")) if path.is_dir() else [path]
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
