"""Batches of lines of like width under budgets of pixels and tokens. Nothing is dropped.

An epoch of millions is cut in arrays: many windows are sorted together, and the first batches of all of them
are cut at a time, then the second ones.

Legend: n lines, R rows (windows, or lines of one width), K lines of a batch at most, W px.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from vocr_cli.core.config.tree import BatchConfig

_WINDOW_BATCHES = 64
_LINES_AT_ONCE = 1 << 19
_SAMPLED, _PARTS = 4096, 32


class Batches(Sequence[np.ndarray]):
    """Batches of line numbers as one array and the indices at which it is cut.

    Args:
        order: (n,) int, line numbers.
        ends: (batches,) int, ascending: where each batch ends; the last is n.
        turns: (batches,) int, the batches in the order they are taken in.
    """

    def __init__(self, order: np.ndarray, ends: np.ndarray, turns: np.ndarray) -> None:
        self._order, self._ends, self._turns = order, ends, turns

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, number: slice) -> list[np.ndarray]: ...
    def __getitem__(self, number: int | slice) -> np.ndarray | list[np.ndarray]:
        """Batch `number`: (lines,) int64 line numbers."""
        if isinstance(number, slice):
            return [self[single] for single in range(*number.indices(len(self)))]
        turn = int(self._turns[number])
        begin = int(self._ends[turn - 1]) if turn else 0
        return self._order[begin : int(self._ends[turn])].astype(np.int64)


Seed = tuple[int, ...]
"""Numbers that name an epoch."""


def lines_that_fit(width_px: int, height_px: int, config: BatchConfig) -> int:
    """How many lines of that width make a batch, at least one."""
    return max(1, min(config.max_lines, config.pixels // (width_px * height_px)))


def padded_width(width_px: int, bucket_px: int) -> int:
    """The width a line is padded to: the next multiple of the bucket."""
    return -(-width_px // bucket_px) * bucket_px


def plan_epoch(
    widths: np.ndarray, height_px: int, config: BatchConfig, seed: Seed, tokens: np.ndarray | None = None
) -> Batches:
    """Cuts an epoch into batches of line numbers: every line once, in an order that the seed alone decides.

    Lines are shuffled, sorted by bucket within windows of many batches, cut under the budgets, and the
    batches shuffled: widths of a batch are alike, yet batches differ from epoch to epoch.

    Args:
        widths: (n,) int, W of every line at model height.
        height_px: Model height.
        config: Budgets, most lines, bucket width.
        seed: Numbers that name the epoch.
        tokens: (n,) int, tokens of every label; None: `config.tokens` has no effect.

    Returns:
        Arrays of int64 line numbers; together a permutation of 0..n-1.
    """
    rng = np.random.default_rng(seed)
    typical = lines_that_fit(int(np.median(widths)), height_px, config) if len(widths) else 1
    order = _permutation(rng, len(widths))
    tokens = tokens if config.tokens else None
    window = _WINDOW_BATCHES * typical
    step = max(1, _LINES_AT_ONCE // window) * window
    ends = [np.empty(0, np.int64)]
    for start in range(0, len(order), step):
        part = order[start : start + step]
        whole = len(part) // window * window
        for begin, rows in ((0, part[:whole].reshape(-1, window)), (whole, part[whole:].reshape(1, -1))):
            if rows.size:
                padded = -(-widths[rows].astype(np.int32) // config.bucket_px) * config.bucket_px
                rows[:], padded = _sort_rows(rows, padded, tokens)
                cuts = _cut_rows(rows, padded, height_px, config, tokens)
                ends.append(start + begin + cuts)
    return _in_random_turns(order, np.concatenate(ends), rng)


def plan_unpadded_epoch(
    widths: np.ndarray, height_px: int, config: BatchConfig, seed: Seed, tokens: np.ndarray | None = None
) -> Batches:
    """Does as `plan_epoch` for models whose lines are not padded: batches of one width, as far as they go.

    What is left of each width, fewer lines than a batch holds, makes batches of several widths, near ones
    together; a step takes them apart again (`Batch.of_one_width`). A batch for every width would make steps
    of a single line, in which one uncommon line moves the weights as far as a full batch does.
    """
    rng = np.random.default_rng(seed)
    tokens = tokens if config.tokens else None
    order = np.empty(len(widths), np.int32 if len(widths) < 1 << 31 else np.int64)
    ends, left, done = [np.empty(0, np.int64)], [order[:0]], 0
    for width, same in _by_width(widths):
        rng.shuffle(same)
        if tokens is not None:
            same = same[np.argsort(tokens[same], kind="stable")]
            cuts = _cut_rows(same[None], np.full((1, len(same)), width), height_px, config, tokens)
            cuts = cuts[:-1]  # the last one is full where no line as long would fit beside it
            last = np.diff([0, *cuts, len(same)])[-1]
            longest = int(tokens[same[-1]])
            if last == lines_that_fit(width, height_px, config) or (last + 1) * longest > config.tokens:
                cuts = np.append(cuts, len(same))
        else:
            fitting = lines_that_fit(width, height_px, config)
            cuts = np.arange(fitting, len(same) + 1, fitting)
        full = int(cuts[-1]) if len(cuts) else 0
        order[done : done + full] = same[:full]
        ends.append(done + cuts)
        left.append(same[full:])
        done += full
    rest = np.concatenate(left)
    if len(rest):
        order[done:] = rest
        ends.append(done + _cut_rows(rest[None], widths[rest][None], height_px, config, tokens))
    return _in_random_turns(order, np.concatenate(ends), rng)


def _by_width(widths: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each width, ascending, and its lines' numbers; sorts some widths at a time, in little memory."""
    if not len(widths):
        return
    sample = np.sort(widths[:: len(widths) // _SAMPLED + 1])
    limits = np.unique([int(widths.min()), *sample[:: len(sample) // _PARTS + 1], int(widths.max()) + 1])
    for low, high in itertools.pairwise(limits.tolist()):
        lines = np.flatnonzero((widths >= low) & (widths < high))
        lines = lines.astype(np.int32 if len(widths) < 1 << 31 else np.int64)
        if high - low > 1:
            above = widths[lines] - low
            narrow = high - low < 1 << 16
            lines = lines[np.argsort(above.astype(np.uint16) if narrow else above, kind="stable")]
        bounds = np.flatnonzero(np.diff(widths[lines])) + 1
        for same in np.split(lines, bounds):
            if len(same):
                yield int(widths[same[0]]), same


def _permutation(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) int, the numbers below `count` shuffled; int32 where they fit in it."""
    order = np.arange(count, dtype=np.int32 if count < 1 << 31 else np.int64)
    rng.shuffle(order)
    return order


def _in_random_turns(order: np.ndarray, ends: np.ndarray, rng: np.random.Generator) -> Batches:
    """The batches, to be taken in an order that is drawn."""
    return Batches(order, ends, _permutation(rng, len(ends)))


def _sort_rows(
    lines: np.ndarray, widths: np.ndarray, tokens: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sorts line numbers, and their widths, by width within each row; those of one width by label length.

    Args:
        lines: (R, L) line numbers, not empty.
        widths: (R, L) of these lines.
        tokens: (n,) of all lines; None: lines of one width stay as they are.
    """
    if tokens is not None:
        order = np.lexsort((tokens[lines], widths), axis=-1)
    else:
        narrow = int(widths.max()) < 1 << 16  # numpy sorts 16 bits by radix, several times as fast
        order = np.argsort(widths.astype(np.uint16) if narrow else widths, axis=-1, kind="stable")
    return np.take_along_axis(lines, order, -1), np.take_along_axis(widths, order, -1)


def _cut_rows(
    lines: np.ndarray,
    widths: np.ndarray,
    height_px: int,
    config: BatchConfig,
    tokens: np.ndarray | None,
) -> np.ndarray:
    """Cuts rows of sorted lines into runs, each as long as the budgets allow and at least one line.

    Args:
        lines: (R, L) line numbers.
        widths: (R, L) of these lines, ascending in each row.
        height_px: Model height.
        config: The budgets.
        tokens: (n,) of all lines, or None.

    Returns:
        Where each run ends, ascending, in the rows one after another.
    """
    rows, length = lines.shape
    lines, widths = lines.reshape(-1), widths.reshape(-1)
    begin = np.arange(rows) * length  # of the next run in each row
    stop = begin + length
    ends = []
    while len(begin):
        most = np.clip(config.pixels // (widths[begin].astype(np.int64) * height_px), 1, config.max_lines)
        most = np.minimum(most, stop - begin)  # (R,)
        counts = np.arange(1, int(most.max()) + 1)  # (K,)
        indices = np.minimum(begin[:, None] + counts - 1, stop[:, None] - 1)  # (R, K)
        fits = counts * (widths[indices].astype(np.int64) * height_px) <= config.pixels
        fits &= counts <= most[:, None]
        if tokens is not None:
            longest = np.maximum.accumulate(tokens[lines[indices]], 1).astype(np.int64)  # (R, K)
            fits &= counts * longest <= config.tokens
        begin = begin + np.maximum(1, fits.sum(1))  # costs only grow with the count
        ends.append(begin)
        unfinished = begin < stop
        begin, stop = begin[unfinished], stop[unfinished]
    return np.sort(np.concatenate(ends))


def batches_of_one_width(
    widths: Sequence[int], height_px: int, pixels: int, max_lines: int
) -> Iterator[list[int]]:
    """Batches of line numbers of exactly one width each, so that nothing is padded; narrow ones first."""
    by_width: dict[int, list[int]] = {}
    for number, width in enumerate(widths):
        by_width.setdefault(width, []).append(number)
    config = BatchConfig(pixels=max(1_000, pixels), max_lines=max_lines)
    for width in sorted(by_width):
        numbers = by_width[width]
        count = lines_that_fit(width, height_px, config)
        for start in range(0, len(numbers), count):
            yield numbers[start : start + count]
