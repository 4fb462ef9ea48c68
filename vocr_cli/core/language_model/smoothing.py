"""Probabilities of n-grams from their counts, and which are worth keeping. N n-grams of one length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Level:
    """The n-grams of one length.

    Attributes:
        keys: (N,) uint64, packed as `counts.py` does, in order.
        probabilities: (N,) float64, of the last symbol after the others.
        parents: (N,) int64, where the n-gram without its last symbol stands in the level below.
        values: (N,) float64, by how much the text gets less likely without the n-gram, in nats.
    """

    keys: np.ndarray
    probabilities: np.ndarray
    parents: np.ndarray
    values: np.ndarray


def witten_bell(counted: list[tuple[np.ndarray, np.ndarray]], symbols: int) -> list[Level]:
    """Interpolates each length with the one below (Witten and Bell, 1991), the first with equal chances.

    p(w | h) = (c(hw) + t(h) p(w | h')) / (c(h) + t(h)), where h' is h without its first symbol, and t(h) the
    number of symbols that were met after h. The value of an n-gram is that of Seymore and Rosenfeld, 1996.

    Args:
        counted: For each length from 1 on, packed n-grams and counts.
        symbols: How many symbols there are; each must have been met.
    """
    levels: list[Level] = []
    for length, (keys, counts) in enumerate(counted, start=1):
        if length == 1:
            parents = np.zeros(len(keys), np.int64)
            lower = np.full(len(keys), 1 / symbols)
        else:
            below = levels[-1]
            parents = np.searchsorted(below.keys, keys >> np.uint64(8))
            suffixes = keys & np.uint64((1 << 8 * (length - 1)) - 1)
            lower = below.probabilities[np.searchsorted(below.keys, suffixes)]
        total = np.bincount(parents, counts)[parents]
        kinds = np.bincount(parents)[parents]
        probabilities = (counts + kinds * lower) / (total + kinds)
        levels.append(Level(keys, probabilities, parents, counts * np.abs(np.log(probabilities / lower))))
    return levels


def choose_ngrams(levels: list[Level], max_bytes: float) -> list[np.ndarray]:
    """Chooses the n-grams of highest value that fit, with all that they begin with: (N,) bool for each level.

    Args:
        levels: From length 1 on; those of length 1 all stay.
        max_bytes: Room for three bytes an n-gram, two where it is of the greatest length.
    """
    # A beginning is worth what the best n-gram that goes on from it is worth, so that none stands alone.
    values = [level.values.copy() for level in levels]
    for length in range(len(levels) - 1, 0, -1):
        np.maximum.at(values[length - 1], levels[length].parents, values[length])
    values[0][:] = np.inf
    ranked = np.concatenate(values)
    sizes = np.concatenate([np.full(len(value), 2 + (value is not values[-1])) for value in values])
    order = np.argsort(-ranked, kind="stable")
    fitting = int(np.searchsorted(np.cumsum(sizes[order]), max_bytes, side="right"))
    threshold = ranked[order[fitting]] if fitting < len(ranked) else -np.inf
    return [value > threshold for value in values]
