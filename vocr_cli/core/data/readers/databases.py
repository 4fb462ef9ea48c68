"""Databases as sources, to be merged into another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vocr_cli.core.data.lmdb.environments import data_file
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.errors import DataError


class Database:
    """The lines of a database, in either layout, to be merged into another.

    Args:
        path: A folder with `data.mdb`, or the file of a database, whatever it is called.

    Raises:
        DataError: There is none, or it is damaged.
    """

    layout = "LMDB"
    uses = frozenset[str]()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        with LineStore(path) as store:
            self.lines = len(store)

    def __iter__(self) -> Iterator[Entry]:
        with LineStore(self.path) as store:
            for number in range(len(store)):
                try:
                    line = store[number]
                except DataError as error:
                    yield Entry(number + 1, f"record {number}", "", b"", error.problem)
                else:
                    yield Entry(number + 1, line.path, line.text, line.image)

    def fingerprint(self) -> str:
        """A fingerprint of the file's name, size and time."""
        return stamp(data_file(self.path))
