"""Names of files in the order people expect, a2 before a10, however many there are."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import IO

RUN_NAMES = 1 << 17  # some 40 MB while they are sorted
_BLOCK_BYTES = 1 << 12
_NUMBERS = re.compile(r"(\d+)").split

Entry = tuple[str, bool]
"""A name, and whether it is a folder's."""


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts by text and the value of numbers in it; case and leading zeros decide between equals only."""
    chunks: list[str | int] = [*_NUMBERS(name.casefold())]
    chunks[1::2] = map(int, chunks[1::2])
    return tuple(chunks), name


def in_natural_order(entries: Iterable[Entry], run_names: int = RUN_NAMES) -> Iterator[Entry]:
    """Sorts the entries of a folder; all are taken before this returns.

    Memory is bounded: beyond `run_names`, sorted runs lie in a temporary file and are merged as the result is
    asked for (external merge sort; Knuth, The Art of Computer Programming, volume 3, section 5.4).

    Raises:
        OSError: The temporary file cannot be written.
    """
    source = iter(entries)
    run = _sorted_run(source, run_names)
    if len(run) < run_names:
        return iter(run)
    import tempfile

    file = tempfile.TemporaryFile(prefix="vocr-names-")
    starts = [0]
    while run:
        file.write(b"".join(_packed(entry) for entry in run))
        starts.append(file.tell())
        run = _sorted_run(source, run_names)
    return _merged(file, starts)


def _sorted_run(source: Iterator[Entry], run_names: int) -> list[Entry]:
    return sorted(islice(source, run_names), key=_entry_key)


def _entry_key(entry: Entry) -> tuple[tuple[str | int, ...], str]:
    return natural_key(entry[0])


def _packed(entry: Entry) -> bytes:
    """One line of the file. A name may hold a line break, but never a zero byte, which stands for it."""
    return b"fd"[entry[1] : entry[1] + 1] + os.fsencode(entry[0]).replace(b"\n", b"\0") + b"\n"


def _unpacked(line: bytes) -> Entry:
    return os.fsdecode(line[1:].replace(b"\0", b"\n")), line[:1] == b"d"


def _merged(file: IO[bytes], starts: list[int]) -> Iterator[Entry]:
    with file:
        runs = [_run(file, start, end) for start, end in pairwise(starts)]
        yield from heapq.merge(*runs, key=_entry_key)


def _run(file: IO[bytes], start: int, end: int) -> Iterator[Entry]:
    """The entries of one run, read a block at a time."""
    rest = b""
    while start < end:
        file.seek(start)
        block = file.read(min(_BLOCK_BYTES, end - start))
        start += len(block)
        *lines, rest = (rest + block).split(b"\n")
        yield from map(_unpacked, lines)
