"""The order of many keys at once, by their first bytes. N keys."""

from __future__ import annotations

import numpy as np

KEY_WORDS = 4
_BYTES = 8 * KEY_WORDS


def sort_words(data: np.ndarray, starts: np.ndarray, key_bytes: np.ndarray) -> np.ndarray:
    """The first bytes of keys as numbers that are ordered as the keys are, zeros behind short ones.

    Args:
        data: (bytes,) uint8 that hold the keys.
        starts: (N,) int64, where each begins.
        key_bytes: (N,) int64, how long each is.

    Returns:
        (N, `KEY_WORDS`) uint64.
    """
    offsets = np.arange(_BYTES)
    places = np.minimum(starts[:, None] + offsets, len(data) - 1)
    padded = np.where(offsets < key_bytes[:, None], data[places], 0).astype(np.uint8)
    return padded.view(">u8").astype(np.uint64)


def precedes(left: np.ndarray, right: np.ndarray, or_alike: bool = False) -> np.ndarray:
    """Whether each key of `left` comes before that of `right`, both (N, `KEY_WORDS`), as far as they tell.

    Args:
        left: Keys as `sort_words` makes them.
        right: The same.
        or_alike: Whether keys that begin alike count as well.

    Returns:
        (N,) bool.
    """
    before = np.zeros(len(left), bool)
    alike = np.ones(len(left), bool)
    for word in range(KEY_WORDS):
        before |= alike & (left[:, word] < right[:, word])
        alike &= left[:, word] == right[:, word]
    return before | alike if or_alike else before


def are_ascending(keys: np.ndarray, key_bytes: np.ndarray, pairs: np.ndarray, *, strict: bool) -> bool:
    """Whether each key comes before the next one.

    Args:
        keys: (N, `KEY_WORDS`) uint64, as `sort_words` makes them.
        key_bytes: (N,) int64, how long each key is.
        pairs: (N - 1,) bool, which neighbours are compared.
        strict: Whether of keys that begin alike the shorter one must come first; not told of keys longer
            than what is compared.
    """
    left, right = keys[:-1], keys[1:]
    ordered = precedes(left, right)
    alike = (left == right).all(axis=1)
    longer = (key_bytes[1:] > key_bytes[:-1]) | (key_bytes[1:] > _BYTES) | (not strict)
    return bool((ordered | (alike & longer) | ~pairs).all())
