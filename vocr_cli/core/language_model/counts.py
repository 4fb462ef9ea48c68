"""Counts the n-grams of folded text. Symbols are numbered from 1; 0 stands beyond the end of a paragraph.

An n-gram is packed into one number, a byte for each symbol, the first of them highest. N n-grams.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

MAX_ORDER = 8
"""Symbols that 64 bits hold."""

_BLOCK = 1 << 22


def count_ngrams(paragraphs: Iterable[bytes], order: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Counts all n-grams up to an order.

    Args:
        paragraphs: The symbols of each.
        order: Length of the longest n-grams, 1..8.

    Returns:
        For each length from 1 to `order`: (N,) uint64 packed n-grams in order, and (N,) int64 counts.
    """
    keys, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for symbols in _blocks(paragraphs):
        block_keys, block_counts = np.unique(_windows(symbols, order), return_counts=True)
        keys, counts = _merged(np.concatenate([keys, block_keys]), np.concatenate([counts, block_counts]))
    levels = []
    for length in range(1, order + 1):
        shortened = keys >> np.uint64(8 * (order - length))
        complete = (shortened & np.uint64(0xFF)) != 0  # no paragraph ends within
        levels.append(_summed(shortened[complete], counts[complete]))
    return levels


def _blocks(paragraphs: Iterable[bytes]) -> Iterable[np.ndarray]:
    """Joins paragraphs to blocks of (S,) uint8, a zero after each, so that memory stays bounded."""
    parts: list[bytes] = []
    size = 0
    for paragraph in paragraphs:
        parts.append(paragraph)
        size += len(paragraph) + 1
        if size >= _BLOCK:
            yield np.frombuffer(b"\0".join([*parts, b""]), np.uint8)
            parts, size = [], 0
    if parts:
        yield np.frombuffer(b"\0".join([*parts, b""]), np.uint8)


def _windows(symbols: np.ndarray, order: int) -> np.ndarray:
    """Packs the `order` symbols from each position on, zeros after the first zero: (S',) uint64, S' <= S."""
    starts = np.flatnonzero(symbols)
    padded = np.concatenate([symbols, np.zeros(order, np.uint8)])
    packed = np.zeros(len(starts), np.uint64)
    alive = np.ones(len(starts), bool)
    for offset in range(order):
        current = padded[starts + offset]
        alive &= current != 0
        packed = (packed << np.uint64(8)) | np.where(alive, current, 0).astype(np.uint64)
    return packed


def _merged(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return _summed(keys[order], counts[order])


def _summed(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adds up the counts of equal neighbours among sorted keys."""
    if not len(keys):
        return keys, counts
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(counts, first)
