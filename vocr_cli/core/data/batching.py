"""Batches of lines of like width under a pixel budget. Nothing is dropped.

Legend: n lines, B lines of a batch, W px.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from vocr_cli.core.config import BatchConfig

_WINDOW_BATCHES = 64


class Sized(Protocol):
    """Anything with a width at model height."""

    @property
    def width_px(self) -> int:
        """W of the line."""
        ...


LineT = TypeVar("LineT", bound=Sized)


def lines_that_fit(width_px: int, height_px: int, config: BatchConfig) -> int:
    """How many lines of that width make a batch, at least one."""
    return max(1, min(config.max_lines, config.pixels // (width_px * height_px)))


def padded_width(width_px: int, bucket_px: int) -> int:
    """The width a line is padded to: the next multiple of the bucket."""
    return -(-width_px // bucket_px) * bucket_px


def plan_epoch(
    widths: np.ndarray, height_px: int, config: BatchConfig, seed: tuple[int, ...]
) -> list[np.ndarray]:
    """An epoch as batches of line numbers: every line once, in an order that depends on the seed alone.

    Lines are shuffled, sorted by bucket within windows of many batches, cut under the budget, and the
    batches shuffled: widths of a batch are alike, yet batches differ from epoch to epoch.

    Args:
        widths: (n,) int, W of every line at model height.
        height_px: Model height.
        config: Pixel budget, most lines, bucket width.
        seed: Numbers that name the epoch.

    Returns:
        Arrays of int64 line numbers; together a permutation of 0..n-1.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(widths))
    buckets = -(-widths // config.bucket_px)
    typical = lines_that_fit(int(np.median(widths)), height_px, config) if len(widths) else 1
    window = _WINDOW_BATCHES * typical
    batches: list[np.ndarray] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(buckets[part], kind="stable")]
        begin = 0
        while begin < len(part):
            count = lines_that_fit(int(buckets[part[begin]]) * config.bucket_px, height_px, config)
            # The widest line of a batch sets its cost, so look again once the end of the cut is known.
            while count > 1:
                last = min(begin + count, len(part)) - 1
                fitting = lines_that_fit(int(buckets[part[last]]) * config.bucket_px, height_px, config)
                if fitting >= last - begin + 1:
                    break
                count = max(1, min(count - 1, fitting))
            batches.append(part[begin : begin + count])
            begin += count
    return [batches[place] for place in rng.permutation(len(batches))]


def exact_epoch(
    widths: np.ndarray, height_px: int, config: BatchConfig, seed: tuple[int, ...]
) -> list[np.ndarray]:
    """As `plan_epoch`, but lines of a batch have exactly one width; none is dropped, so some are small.

    The lines of a width are shared out evenly, for a last batch of one line would be a step of its own.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(widths))
    order = order[np.argsort(widths[order], kind="stable")]
    batches: list[np.ndarray] = []
    for same in np.split(order, np.flatnonzero(np.diff(widths[order])) + 1):
        if len(same):
            count = lines_that_fit(int(widths[same[0]]), height_px, config)
            batches += np.array_split(same, -(-len(same) // count))
    return [batches[place] for place in rng.permutation(len(batches))]


def stream_batches(lines: Iterable[LineT], height_px: int, config: BatchConfig) -> Iterator[list[LineT]]:
    """Fills buckets from a stream and gives each batch as soon as it is full; the rest at the end."""
    waiting: dict[int, list[LineT]] = {}
    for line in lines:
        width = padded_width(line.width_px, config.bucket_px)
        bucket = waiting.setdefault(width, [])
        bucket.append(line)
        if len(bucket) >= lines_that_fit(width, height_px, config):
            yield waiting.pop(width)
    for width in sorted(waiting):
        yield waiting[width]


def exact_batches(widths: Sequence[int], height_px: int, pixels: int, max_lines: int) -> Iterator[list[int]]:
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
