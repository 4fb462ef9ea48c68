"""Images of archives and tables, unpacked into a temporary file from which any can be read at once."""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from pathlib import Path
from typing import BinaryIO

from vocr_cli.core.data.lmdb.layout import StoredLine
from vocr_cli.core.errors import DataError

_BUFFER_BYTES = 1 << 20


class PackedLines:
    """Lines whose images lie one after the other in a temporary file, which goes with the process.

    Lines can be read by any thread, by forked processes and, pickled, by others; they are added by one.
    """

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="vocr-lines-")
        os.close(descriptor)
        self.path = Path(name)
        self._names: list[str] = []
        self._texts: list[str] = []
        self._ends = array("Q", [0])
        self._writing: BinaryIO | None = self.path.open("wb", _BUFFER_BYTES)
        self._reading: BinaryIO | None = None
        self._remove = weakref.finalize(self, _remove, name, os.getpid())

    def __len__(self) -> int:
        return len(self._names)

    def add(self, line: StoredLine) -> int:
        """Adds a line; its number, from 0.

        Raises:
            DataError: The disk is full.
        """
        assert self._writing is not None, "all lines are added before one is read"
        try:
            self._writing.write(line.image)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error.strerror}.",
                "Set TMPDIR to a folder with more room, or make a database first: vocr build-lmdb DATA OUT.",
            ) from None
        self._names.append(line.path)
        self._texts.append(line.text)
        self._ends.append(self._ends[-1] + len(line.image))
        return len(self._names) - 1

    def __getitem__(self, number: int) -> StoredLine:
        """Line `number`, from 0, with its image's bytes."""
        start, end = self._ends[number], self._ends[number + 1]
        return StoredLine(self._read(start, end - start), self._texts[number], self._names[number])

    def _read(self, start: int, count: int) -> bytes:
        stream = self._file()
        if hasattr(os, "pread"):  # one descriptor for all threads and forked processes
            return os.pread(stream.fileno(), count, start)
        with self.path.open("rb") as own:
            own.seek(start)
            return own.read(count)

    def _file(self) -> BinaryIO:
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        if self._reading is None:
            self._reading = self.path.open("rb", 0)
        return self._reading

    def __getstate__(self) -> dict[str, object]:
        self._file()
        return {**self.__dict__, "_reading": None, "_remove": None}


def _remove(name: str, process: int) -> None:
    """Removes the file, in the process that made it alone."""
    if os.getpid() == process:
        Path(name).unlink(missing_ok=True)
