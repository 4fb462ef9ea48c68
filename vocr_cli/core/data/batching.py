"""Batches of lines of like width under budgets of pixels and tokens. Nothing is dropped.

Legend: n lines, B lines of a batch, W px.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vocr_cli.core.config import BatchConfig

_WINDOW_BATCHES = 64


def lines_that_fit(width_px: int, height_px: int, config: BatchConfig) -> int:
    """How many lines of that width make a batch, at least one."""
    return max(1, min(config.max_lines, config.pixels // (width_px * height_px)))


def padded_width(width_px: int, bucket_px: int) -> int:
    """The width a line is padded to: the next multiple of the bucket."""
    return -(-width_px // bucket_px) * bucket_px


def plan_epoch(
    widths: np.ndarray,
    height_px: int,
    config: BatchConfig,
    seed: tuple[int, ...],
    tokens: np.ndarray | None = None,
) -> list[np.ndarray]:
    """An epoch as batches of line numbers: every line once, in an order that depends on the seed alone.

    Lines are shuffled, sorted by bucket within windows of many batches, cut under the budgets, and the
    batches shuffled: widths of a batch are alike, yet batches differ from epoch to epoch.

    Args:
        widths: (n,) int, W of every line at model height.
        height_px: Model height.
        config: Budgets, most lines, bucket width.
        seed: Numbers that name the epoch.
        tokens: (n,) int, tokens of every label; None: `config.tokens` is not heeded.

    Returns:
        Arrays of int64 line numbers; together a permutation of 0..n-1.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(widths))
    padded = -(-widths.astype(np.int64) // config.bucket_px) * config.bucket_px
    typical = lines_that_fit(int(np.median(widths)), height_px, config) if len(widths) else 1
    window = _WINDOW_BATCHES * typical
    batches: list[np.ndarray] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        batches += _cut(_sorted(part, padded, config, tokens), padded, height_px, config, tokens)
    return [batches[place] for place in rng.permutation(len(batches))]


def exact_epoch(
    widths: np.ndarray,
    height_px: int,
    config: BatchConfig,
    seed: tuple[int, ...],
    tokens: np.ndarray | None = None,
) -> list[np.ndarray]:
    """As `plan_epoch`, but lines of a batch have exactly one width; none is dropped, so some are small.

    Where lines alone are counted, those of a width are shared out evenly: a last batch of one line would be
    a step of its own.
    """
    rng = np.random.default_rng(seed)
    order = _sorted(rng.permutation(len(widths)), widths, config, tokens)
    batches: list[np.ndarray] = []
    for same in np.split(order, np.flatnonzero(np.diff(widths[order])) + 1):
        if len(same) and tokens is not None and config.tokens:
            batches += _cut(same, widths, height_px, config, tokens)
        elif len(same):
            count = lines_that_fit(int(widths[same[0]]), height_px, config)
            batches += np.array_split(same, -(-len(same) // count))
    return [batches[place] for place in rng.permutation(len(batches))]


def _sorted(
    part: np.ndarray, widths: np.ndarray, config: BatchConfig, tokens: np.ndarray | None
) -> np.ndarray:
    """Line numbers by width; lines of one width by label length where tokens have a budget."""
    if tokens is None or not config.tokens:
        return part[np.argsort(widths[part], kind="stable")]
    return part[np.lexsort((tokens[part], widths[part]))]


def _cut(
    part: np.ndarray, widths: np.ndarray, height_px: int, config: BatchConfig, tokens: np.ndarray | None
) -> list[np.ndarray]:
    """Sorted line numbers as runs, each as long as the budgets allow and at least one line."""
    batches: list[np.ndarray] = []
    begin = 0
    while begin < len(part):
        most = part[begin : begin + lines_that_fit(int(widths[part[begin]]), height_px, config)]
        counts = np.arange(1, len(most) + 1)
        fits = counts * np.maximum.accumulate(widths[most]).astype(np.int64) * height_px <= config.pixels
        if tokens is not None and config.tokens:
            fits &= counts * np.maximum.accumulate(tokens[most]).astype(np.int64) <= config.tokens
        count = max(1, int(fits.sum()))  # costs only grow with the count
        batches.append(most[:count])
        begin += count
    return batches


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
