"""Two readings of the same lines, held against each other line by line. N lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean

_BLOCK = 2_000_000  # counts drawn at a time, so that the memory of a bootstrap stays below 16 MB or so


@dataclass(frozen=True)
class Difference:
    """By how much a second CER is above a first one, and its 95 % interval; all may be below zero.

    Attributes:
        value: Of all lines; 0.01 is one percentage point.
        low: The lower end of the bootstrap interval, at most `value`.
        high: The upper end, at least `value`.
    """

    value: float
    low: float
    high: float


def cer_difference(
    references: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    *,
    resamples: int = 2_000,
    seed: int = 0,
) -> Difference:
    """Return by how much the CER of `second` is above that of `first`, by a paired bootstrap (Koehn, 2004).

    Lines are drawn with replacement, each with its edits in both readings: what is hard on both sides, and
    makes the interval of each CER wide, does not make that of their difference wide.

    Args:
        references: N texts as they stand in the images.
        first: N readings.
        second: N readings of the same images.
        resamples: Resamples to draw.
        seed: Same seed, same interval.

    Raises:
        DataError: There is no line.
        ValueError: The sequences differ in length.
    """
    if not references:
        raise DataError("There are no lines to compare.", "Give a set with at least one labelled line.")
    labels = [clean(text) for text in references]
    edits = np.array(
        [
            [Levenshtein.distance(label, clean(text)) for label, text in zip(labels, side, strict=True)]
            for side in (first, second)
        ]
    )  # (2, N)
    rows = np.stack([edits[1] - edits[0], [len(label) for label in labels]], axis=1)  # (N, 2)
    lines, generator = len(rows), np.random.default_rng(seed)
    step = max(1, _BLOCK // lines)
    differences = []
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.multinomial(lines, np.full(lines, 1 / lines), size=count)  # (count, N)
        sums = drawn @ rows  # (count, 2)
        differences.append(sums[:, 0] / np.maximum(sums[:, 1], 1))
    value = float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1))
    low, high = np.percentile(np.concatenate(differences), [2.5, 97.5])
    return Difference(value, min(float(low), value), max(float(high), value))
