"""The batches of a section that is not ended, so that a killed run need not read them again.

Lines are grouped in batches by their widths, and what shares a batch decides the last digits of a reading.
So a run goes on at the beginning of a section, and forms the same batches again; those that were read whole
are taken from FILE.partial.lines. Its records, numbers little-endian:

    size of the rest (u32), CRC-32 of the rest (u32), then for each line of a batch:
    number (u64), width at which it was batched in px (u32), result as `pack_result` has it
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.inference.outputs.line_result import LineResult, pack_result, unpack_result
from vocr_cli.core.inference.outputs.partial import write_errors
from vocr_cli.core.machine.atomic_write import atomic_write

_HEAD, _LINE = struct.Struct("<II"), struct.Struct("<QI")
_FIRST_S, _EVERY_S = 3.0, 1.0  # from the section's beginning to its first record, and between two


@dataclass(frozen=True, slots=True)
class ReadBefore:
    """A line that an interrupted run has read, and the width at which it took its place in a batch, px."""

    result: LineResult
    width_px: int


Batch = list[tuple[int, ReadBefore]]
"""The lines of a batch, by their numbers, from 0."""


class BatchLog:
    """The record of a section's batches; those that take no time together are not recorded at all.

    Args:
        file: FILE.partial.lines.
        first: The number of the line that this run begins with, from 0.
        resume: Whether to take over what an interrupted run left.
        at_once: Whether no batch waits to be written. So it must be beside a cache, which must not have lines
            that are not here; where a GPU reads, it would take a tenth of the time.

    Raises:
        DataError: The file cannot be written.
    """

    def __init__(self, file: Path, first: int, *, resume: bool, at_once: bool = False) -> None:
        self.path, self._first = file, first
        self._first_s, self._every_s = (0.0, 0.0) if at_once else (_FIRST_S, _EVERY_S)
        self._read: dict[int, ReadBefore] = {}
        self._waiting: list[Batch] = []
        self._batches: list[tuple[int, bytes]] = []  # last line and record of each that is in the file
        if resume:
            for record, batch in _records(file):
                if batch[0][0] >= first:
                    self._read.update(batch)
                    self._batches.append((max(number for number, _ in batch), record))
        self._rewrite()
        self._next_s = time.monotonic() + self._first_s

    @property
    def lines(self) -> int:
        """How many lines are still to be taken over from an interrupted run."""
        return len(self._read)

    def find(self, index: int) -> ReadBefore | None:
        """A line that was read before, by its number in this run, from 0."""
        return self._read.pop(self._first + index, None)

    def add(self, batch: Batch) -> None:
        """Takes a batch, its lines by their numbers in this run, and writes those that waited long enough."""
        self._waiting.append([(self._first + index, line) for index, line in batch])
        if time.monotonic() >= self._next_s:
            self._write_waiting()
            self._next_s = time.monotonic() + self._every_s

    def drop_before(self, number: int) -> None:
        """Lets go of what the output file holds for good: the lines before this number, from 0."""
        self._waiting = [batch for batch in self._waiting if batch[0][0] >= number]
        kept = [(last, record) for last, record in self._batches if last >= number]
        if len(kept) < len(self._batches):
            self._batches = kept
            self._rewrite()
        self._next_s = time.monotonic() + self._first_s

    def close(self) -> None:
        """Writes what waits."""
        if not self._stream.closed:
            self._write_waiting()
            self._stream.close()

    def remove(self) -> None:
        """The run is complete."""
        self._stream.close()
        self.path.unlink(missing_ok=True)

    def _write_waiting(self) -> None:
        batches, self._waiting = self._waiting, []
        records = [(max(number for number, _ in batch), _record(batch)) for batch in batches]
        with write_errors(self.path):
            self._stream.write(b"".join(record for _, record in records))
            self._stream.flush()
        self._batches += records

    def _rewrite(self) -> None:
        with write_errors(self.path):
            if self._batches or self.path.exists():
                with atomic_write(self.path, only_writer=True) as temporary:
                    temporary.write_bytes(b"".join(record for _, record in self._batches))
            self._stream = self.path.open("ab")


def batch_log_file(out: Path) -> Path:
    """FILE.partial.lines."""
    return out.with_name(f"{out.name}.partial.lines")


def _record(batch: Batch) -> bytes:
    lines = [_LINE.pack(number, line.width_px) + pack_result(line.result) for number, line in batch]
    body = b"".join(lines)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _records(file: Path) -> Iterator[tuple[bytes, Batch]]:
    """The sound records of a file from its beginning: a kill or a power cut may have spoiled the last."""
    data = b""
    with suppress(OSError):
        data = file.read_bytes()
    start = 0
    while start + _HEAD.size <= len(data):
        size, checksum = _HEAD.unpack_from(data, start)
        body = data[start + _HEAD.size : start + _HEAD.size + size]
        if len(body) < size or not size or zlib.crc32(body) != checksum:
            return
        batch: Batch = []
        at = 0
        while at < size:
            number, width = _LINE.unpack_from(body, at)
            result, at = unpack_result(body, at + _LINE.size)
            batch.append((number, ReadBefore(result, width)))
        yield data[start : start + _HEAD.size + size], batch
        start += _HEAD.size + size
