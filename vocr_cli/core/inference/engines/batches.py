"""Which lines are read together, by their widths and by the memory that there is.

A batch is a list of indices into the widths given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from vocr_cli.core.machine.out_of_memory import in_halves

R = TypeVar("R")

SINGLE_LINES = 16
"""Lines that a thread reads one by one before it hands them on: a task costs some time."""


def consecutive_batches(lines: int, at_once: int = 1) -> list[list[int]]:
    """Groups so many lines in order, in even batches of up to `SINGLE_LINES`, `at_once` side by side."""
    count = max(-(-lines // SINGLE_LINES), min(at_once, lines))
    ends = [lines * batch // count for batch in range(count + 1)] if count else []
    return [list(range(start, end)) for start, end in pairwise(ends)]


def batches_of_one_width(widths: Sequence[int], columns: int) -> list[list[int]]:
    """Groups lines of one width each, in the order of the first line of each width.

    Args:
        widths: Of the lines, px.
        columns: A batch's widths together, at most; a single line may have more.

    Returns:
        Indices of the lines, batch by batch.
    """
    by_width: dict[int, list[int]] = {}
    for index, width in enumerate(widths):
        by_width.setdefault(width, []).append(index)
    batches = []
    for width, indices in by_width.items():
        size = max(1, columns // width)
        batches += [indices[start : start + size] for start in range(0, len(indices), size)]
    return batches


def merged_batches(widths: Sequence[int], columns: int, at_once: int = 1) -> list[list[int]]:
    """Groups neighbouring widths, from narrow to wide, in batches of about equal work.

    Args:
        widths: Of the lines, px.
        columns: A batch's lines times its greatest width, at most; a single line may have more.
        at_once: Batches that are read side by side: their number is a multiple of it, where the lines
            suffice.

    Returns:
        Indices of the lines, batch by batch.
    """
    if not widths:
        return []
    order = sorted(range(len(widths)), key=widths.__getitem__)
    ordered = np.array([widths[index] for index in order])
    reached = ordered.cumsum()
    count = 0
    while True:
        enough = max(count + 1, -(-int(reached[-1]) // columns))
        count = -(-enough // at_once) * at_once
        batch_of = ((reached - ordered / 2) * count / reached[-1]).astype(int)  # of each line, ascending
        starts = [0, *(np.flatnonzero(np.diff(batch_of)) + 1).tolist(), len(order)]
        batches = [order[start:end] for start, end in pairwise(starts)]
        if all(len(batch) == 1 or len(batch) * widths[batch[-1]] <= columns for batch in batches):
            return batches


class FittingBatches:
    """Batches that memory was short for are read in halves, and so are as large ones from then on."""

    def __init__(self) -> None:
        self._most_pixels = sys.maxsize

    def read(
        self, read_batch: Callable[[Sequence[np.ndarray]], R], lines: Sequence[np.ndarray]
    ) -> Iterator[R]:
        """Reads a batch, or in order the parts of it that fit.

        Args:
            read_batch: Reads some of the lines; it may be called again after it failed.
            lines: (H, W, channels) uint8 each.

        Raises:
            NotEnoughMemory: Memory is short for a single line.
        """
        for piece in self._pieces(lines):
            short = "Memory is short for reading a single line"
            fix = "Free memory that other programs hold, or read with --device cpu."
            for part, result in in_halves(read_batch, piece, _halves, short, fix):
                if len(part) < len(piece):
                    self._most_pixels = min(self._most_pixels, _padded_pixels(part))
                yield result

    def _pieces(self, lines: Sequence[np.ndarray]) -> list[Sequence[np.ndarray]]:
        """Cuts a batch in halves until none is larger than what memory sufficed for."""
        if len(lines) < 2 or _padded_pixels(lines) <= self._most_pixels:
            return [lines]
        return [piece for half in _halves(lines) for piece in self._pieces(half)]


def _halves(lines: Sequence[np.ndarray]) -> list[Sequence[np.ndarray]]:
    middle = len(lines) // 2
    return [lines[:middle], lines[middle:]] if middle else [lines]


def _padded_pixels(lines: Sequence[np.ndarray]) -> int:
    """Pixels of a batch of lines, all of them as wide as the widest."""
    return len(lines) * max(line.shape[0] * line.shape[1] for line in lines)
