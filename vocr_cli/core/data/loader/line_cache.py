"""Decoded lines kept in memory, for sets that are read many times. n lines."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


class LineCache:
    """The pixels of as many lines as fit, the first ones; a line that is in it stays.

    The memory is shared with processes forked from this one: a line decoded by one worker is there for all of
    them. Processes that are started otherwise have memory, and lines, of their own. It is taken from the
    system as lines come in.

    Args:
        sizes: (n,) int, bytes of the pixels of each line.
        limit_bytes: Of all lines together.
        processes: How many will share the limit where they do not share the memory.
    """

    def __init__(self, sizes: np.ndarray, limit_bytes: int, processes: int = 1) -> None:
        ends = np.cumsum(sizes, dtype=np.int64)
        count = int(np.searchsorted(ends, limit_bytes, side="right"))
        self._bounds = np.concatenate([np.zeros(1, np.int64), ends[:count]])
        self._sizes, self._limit_bytes, self._processes = sizes, limit_bytes, processes
        total = int(self._bounds[-1])
        memory = np.frombuffer(mmap.mmap(-1, total + count + 1), np.uint8)
        self._pixels, self._filled = memory[:total], memory[total : total + count]

    def __len__(self) -> int:
        """How many lines fit."""
        return len(self._filled)

    def get(self, number: int) -> np.ndarray | None:
        """(bytes,) uint8 of line `number`, flat, read only; None where it is not there."""
        if number >= len(self._filled) or not self._filled[number]:
            return None
        pixels = self._pixels[self._bounds[number] : self._bounds[number + 1]]
        pixels.flags.writeable = False
        return pixels

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Keeps a line that fits and is as large as expected; two processes may put the same one."""
        if number >= len(self._filled):
            return
        begin, end = self._bounds[number : number + 2]
        if pixels.size == end - begin:
            self._pixels[begin:end] = pixels.reshape(-1)
            self._filled[number] = 1  # after the pixels: others look at it first

    def __reduce__(self) -> tuple[Any, ...]:
        return LineCache, (self._sizes, self._limit_bytes // self._processes)
