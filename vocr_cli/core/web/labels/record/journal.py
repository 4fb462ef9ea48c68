"""The journal of decisions: one JSON object a line, each on the disk before anyone is told that it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import sync_folder

_LOCKED_BYTE = 1 << 40  # beyond all that is written: Windows locks bytes, and nobody could read these


class Journal:
    """A file that only grows, which one process writes at a time.

    What a kill left of a last line is cut off: nobody was told that it counts. A line in the middle that is
    no JSON stays where it is, and is named in `damaged_lines`.

    Args:
        path: The file; made, with its folder, if it is not there.
        on_record: Told what stands in it, in order.

    Attributes:
        damaged_lines: Numbers of the lines, from 1, that are no JSON objects.
        cut_bytes: Of an unfinished last line.

    Raises:
        DataError: It cannot be opened, or another process writes it.
    """

    def __init__(self, path: Path, on_record: Callable[[dict[str, Any]], None]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        except OSError as error:
            raise DataError(
                f"The journal {path} cannot be written: {reason_of(error)}.",
                "Name an --out file in a folder that you may write to.",
            ) from None
        try:
            self._lock()
            self._load(on_record)
        except BaseException:
            self._file.close()
            raise
        sync_folder(path.parent)

    def append(self, record: dict[str, Any]) -> None:
        """Writes a record, and returns when it is on the disk.

        Raises:
            DataError: It cannot be written; the journal is as it was.
        """
        line = _encoded(record)
        try:
            if self._file.closed:
                raise OSError(0, "the server has stopped")
            self._check_place()
            self._file.seek(self._end)
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError, ValueError):  # a later append begins there anyway
                self._file.truncate(self._end)
            raise DataError(
                f"The decision is not taken, for {self.path} cannot be written: {reason_of(error)}.",
                "Free disk space or mend the folder, then decide again; what was taken before is safe.",
            ) from None
        self._end += len(line)

    def close(self) -> None:
        """Lets another process write."""
        self._file.close()

    def _load(self, on_record: Callable[[dict[str, Any]], None]) -> None:
        self.damaged_lines: list[int] = []
        self._end = 0
        with open(self.path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                self._end += len(line)
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if isinstance(record, dict):
                    on_record(record)
                elif line.strip():
                    self.damaged_lines.append(number)
        self.cut_bytes = os.fstat(self._file.fileno()).st_size - self._end
        if self.cut_bytes:
            self._file.truncate(self._end)

    def _check_place(self) -> None:
        """Looks whether the open file is still the one of that name, and as long as it was left."""
        facts = os.fstat(self._file.fileno())
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            raise OSError(0, "it was deleted while it was in use") from None
        if (named.st_dev, named.st_ino) != (facts.st_dev, facts.st_ino):
            raise OSError(0, "another file took its place while it was in use")
        if facts.st_size < self._end:
            raise OSError(0, "another program cut it off")

    def _lock(self) -> None:
        """Takes the lock, which ends with the process however that ends."""
        try:
            if os.name == "nt":
                import msvcrt

                self._file.seek(_LOCKED_BYTE)
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
                self._file.seek(0)
            else:
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"{self.path} is being written by another `vocr label`, or cannot be locked: "
                f"{reason_of(error)}.",
                "Go on in the page of that one, or end it, or name another --out file.",
            ) from None


def _encoded(record: dict[str, Any]) -> bytes:
    """One line, in readable letters; file names that are no UTF-8 as JSON escapes."""
    try:
        return (json.dumps(record, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(record) + "\n").encode()
