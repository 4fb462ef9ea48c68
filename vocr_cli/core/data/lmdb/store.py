"""Databases of labelled lines: `LineStore` reads them, `LineWriter` writes them. N lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import overload

import lmdb
import numpy as np

from vocr_cli.core.data.lmdb import environments
from vocr_cli.core.data.lmdb.layout import (
    Layout,
    LineIndex,
    StoredLine,
    layout_and_count,
    line_key,
    read_characters,
    scan_index,
    stated_count,
    stored_label,
)
from vocr_cli.core.data.lmdb.soundness import Stamp
from vocr_cli.core.data.lmdb.writer import LineWriter
from vocr_cli.core.data.progress import OnProgress, ignore_progress
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.closing import Closing
from vocr_cli.core.text import clean

__all__ = ["Layout", "LineStore", "LineWriter", "StoredLine"]

_REBUILD = "`vocr build-lmdb DATABASE --check` lists the damage; rebuild the database from its annotations."


class LineStore(Closing):
    """Read access to a database of lines, in either layout, whoever wrote it.

    Opened anew in each process that uses it (an LMDB environment must not cross a fork), so it may be pickled
    and handed to workers. `len`, indexing and iteration work as for a list of `StoredLine`.

    Args:
        path: A folder with `data.mdb`, or an `.mdb` file.

    Raises:
        DataError: There is no database, or it is damaged, cut short, or holds no lines.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._index: LineIndex | None = None
        self._sound: Stamp | None = None
        with self._transaction() as transaction:
            self.stated_count = stated_count(transaction)
            self.layout, self._count = layout_and_count(transaction, self.path)
        self._sound = environments.sound_stamp(self)  # a worker need not walk the file again

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> StoredLine: ...
    @overload
    def __getitem__(self, number: slice) -> list[StoredLine]: ...
    def __getitem__(self, number: int | slice) -> StoredLine | list[StoredLine]:
        """Line `number`, counted from 0 in either layout; its text cleaned (NFC).

        Raises:
            IndexError: There is no such line.
            DataError: The line's record is missing or its label is not UTF-8.
        """
        if isinstance(number, slice):
            return [self[single] for single in range(*number.indices(len(self)))]
        number = self._checked(number)
        with self._transaction() as transaction:
            image = transaction.get(self._key("image", number))
            if image is None:
                raise DataError(f"{self.path}: line {number} has no image record.", _REBUILD)
            return StoredLine(bytes(image), self._text(transaction, number), self._name(transaction, number))

    def __iter__(self) -> Iterator[StoredLine]:
        return (self[number] for number in range(len(self)))

    def text(self, number: int) -> str:
        """The label of line `number`, without reading its image."""
        number = self._checked(number)
        with self._transaction() as transaction:
            return self._text(transaction, number)

    def name_and_text(self, number: int) -> tuple[str, str]:
        """The path and the label of line `number`, without reading its image.

        Raises:
            DataError: The line's record is missing or its label is not UTF-8.
        """
        number = self._checked(number)
        with self._transaction() as transaction:
            if transaction.get(self._key("image", number)) is None:
                raise DataError(f"{self.path}: line {number} has no image record.", _REBUILD)
            return self._name(transaction, number), self._text(transaction, number)

    def line_name(self, number: int) -> str:
        """How errors call line `number`."""
        return f"line {number} of {self.path}"

    def place(self, number: int) -> tuple[str, int, str]:
        """This database, the number of the line, and its image's name; empty where that cannot be read."""
        number = self._checked(number)
        try:
            with self._transaction() as transaction:
                return str(self.path), number, self._name(transaction, number)
        except DataError:
            return str(self.path), number, ""

    @property
    def has_index(self) -> bool:
        """Whether the database carries the packed record that makes `widths` instant."""
        with self._transaction() as transaction:
            return LineIndex.read(transaction, len(self)) is not None

    @property
    def widths(self) -> np.ndarray:
        """(N,) int32, px of the stored images; 0 where an image cannot be read."""
        return self._sizes().widths

    @property
    def heights(self) -> np.ndarray:
        """(N,) int32, px of the stored images; 0 where an image cannot be read."""
        return self._sizes().heights

    @property
    def label_lengths(self) -> np.ndarray:
        """(N,) int32, characters."""
        return self._sizes().label_lengths

    @property
    def characters(self) -> str:
        """The characters of all labels, each once, in order; from a record, if the database has one.

        U+FFFD is among them where a label is missing or no UTF-8.
        """
        index = self._sizes()
        if index.characters is None:
            with self._transaction() as transaction:
                labels = (stored_label(transaction, number, self.layout) for number in range(len(self)))
                index = self._index = replace(index, characters=read_characters(labels))
        assert index.characters is not None
        return index.characters

    def survey(self, on_progress: OnProgress) -> None:
        """Learns sizes and characters now, once, rather than when they are asked for.

        Args:
            on_progress: Called with the number of lines looked at since the last call; of a database that
                carries an index, no line need be looked at.
        """
        self._sizes(on_progress)

    def close(self) -> None:
        """Lets go of the database in this process; use opens it again."""
        environments.release(self)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_index": None}

    def _transaction(self) -> environments.ReadTransaction:
        return environments.ReadTransaction(self, self.path, self._sound)

    def _checked(self, number: int) -> int:
        if not -len(self) <= number < len(self):
            raise IndexError(f"line {number} of {len(self)} in {self.path}")
        return number % len(self)

    def _key(self, kind: str, number: int) -> bytes:
        return line_key(kind, number, self.layout)

    def _name(self, transaction: lmdb.Transaction, number: int) -> str:
        path = transaction.get(self._key("path", number))
        return (self._key("image", number) if path is None else bytes(path)).decode("utf-8", "replace")

    def _text(self, transaction: lmdb.Transaction, number: int) -> str:
        label = transaction.get(self._key("label", number))
        if label is None:
            raise DataError(f"{self.path}: line {number} has no label record.", _REBUILD)
        try:
            return clean(bytes(label).decode("utf-8"))
        except UnicodeDecodeError:
            raise DataError(f"{self.path}: the label of line {number} is not UTF-8.", _REBUILD) from None

    def _sizes(self, on_progress: OnProgress = ignore_progress) -> LineIndex:
        if self._index is None:
            with self._transaction() as transaction:
                self._index = LineIndex.read(transaction, len(self)) or scan_index(
                    transaction, len(self), self.layout, on_progress
                )
        return self._index
