"""Measures how well lines were read: CER, WER, line accuracy, each with an interval, and where edits fall.

Both sides are cleaned first (NFC, single spaces), so NFD labels and doubled spaces cost nothing. Validation
while training sums over several processes, and counts lines by the same functions: `line_scores.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from vocr_cli.core.errors import DataError
from vocr_cli.core.evaluation.calibration import Reliability, measure_reliability
from vocr_cli.core.evaluation.edit_classes import EDIT_CLASSES, Edit, EditClass, classify, edits
from vocr_cli.core.evaluation.line_scores import LineScore, error_rate, score_lines

NOTHING = "∅"
_BLOCK = 2_000_000  # counts drawn at a time, so that the memory of a bootstrap stays below 16 MB or so


@dataclass(frozen=True)
class Estimate:
    """A measured value, from 0 on, and its 95 % interval.

    Attributes:
        value: Of all lines; 0.01 is one percent.
        low: The lower end of the bootstrap interval, at most `value`.
        high: The upper end, at least `value`.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BreakdownRow:
    """How much of the error a class of edits makes up.

    Attributes:
        name: The class.
        edits: How many there are.
        share: Their number over that of the reference characters.
    """

    name: EditClass
    edits: int
    share: float


@dataclass(frozen=True)
class Confusion:
    """What was written, what was read for it ("" for nothing), and how often."""

    reference: str
    reading: str
    count: int

    def __str__(self) -> str:
        return "→".join({"": NOTHING, " ": "␣"}.get(char, char) for char in (self.reference, self.reading))


@dataclass(frozen=True)
class Scores:
    """What is known about a set of readings.

    Rates are totals over totals: `cer` is all character edits over all reference characters, spaces included;
    `wer` is the same over words parted by spaces. With no reference character (or word) at all, the rate is 0
    when nothing was read, else 1. The edits of `breakdown` add up to `edits`. `reliability` is that of
    the lines that have a confidence; None: none has, or one is not within 0..1.
    """

    lines: int
    characters: int
    words: int
    edits: int
    word_edits: int
    exact_lines: int
    cer: Estimate
    wer: Estimate
    line_accuracy: Estimate
    breakdown: tuple[BreakdownRow, ...]
    confusions: tuple[Confusion, ...]
    worst: tuple[LineScore, ...]
    reliability: Reliability | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings, ready for `json.dump`."""
        return asdict(self)


def score(
    references: Sequence[str],
    readings: Sequence[str],
    *,
    paths: Sequence[str] = (),
    confidences: Sequence[float | None] = (),
    resamples: int = 2000,
    seed: int = 0,
    top_confusions: int = 50,
    worst_lines: int = 100,
) -> Scores:
    """Score N readings against their references, in the same order.

    Args:
        references: N texts as they stand in the images.
        readings: N texts as they were read; "" for a line that could not be read.
        paths: N names for the worst lines, or none.
        confidences: N confidences, 0..1 or None, or none.
        resamples: Bootstrap resamples behind each interval.
        seed: Same seed, same intervals.
        top_confusions: How many confusions to keep, the most frequent first.
        worst_lines: How many lines to keep, the most edits first.

    Raises:
        DataError: There is no line.
        ValueError: The sequences differ in length.
    """
    lines = score_lines(references, readings, paths=paths, confidences=confidences)
    return summarise(
        lines, resamples=resamples, seed=seed, top_confusions=top_confusions, worst_lines=worst_lines
    )


def summarise(
    lines: Sequence[LineScore],
    *,
    resamples: int = 2000,
    seed: int = 0,
    top_confusions: int = 50,
    worst_lines: int = 100,
) -> Scores:
    """Sums up what `score_lines` found; arguments as for `score`.

    Raises:
        DataError: There is no line.
    """
    if not lines:
        raise DataError("There are no lines to score.", "Give a set with at least one labelled line.")
    rows = np.array([_line_counts(line) for line in lines], dtype=np.int64)  # (N, 5)
    char_edits, characters, word_edits, words, exact = rows.T  # each (N,)
    edit_counts = Counter(
        edit for line in lines if line.edits for edit in edits(line.reference, line.reading)
    )
    return Scores(
        lines=len(lines),
        characters=int(characters.sum()),
        words=int(words.sum()),
        edits=int(char_edits.sum()),
        word_edits=int(word_edits.sum()),
        exact_lines=int(exact.sum()),
        cer=estimate_rate(char_edits, characters, resamples, seed),
        wer=estimate_rate(word_edits, words, resamples, seed),
        line_accuracy=estimate_rate(exact, np.ones_like(exact), resamples, seed),
        breakdown=_breakdown(edit_counts, int(characters.sum())),
        confusions=tuple(Confusion(*edit, count) for edit, count in _by_count(edit_counts)[:top_confusions]),
        worst=tuple(worst_first(lines)[:worst_lines]),
        reliability=_reliability(lines),
    )


def worst_first(lines: Sequence[LineScore]) -> list[LineScore]:
    """Returns the lines that have edits, those with the most first, in their order where they tie."""
    return sorted((line for line in lines if line.edits), key=lambda line: -line.edits)


def estimate_rate(
    errors: NDArray[np.int64], totals: NDArray[np.int64], resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Return the sum of `errors` over that of `totals`, with a bootstrap interval over lines (Efron, 1979).

    The interval is that of percentiles. Lines are drawn with replacement. Since equal lines are
    interchangeable, each resample draws how often every distinct (error, total) pair occurs, from a
    multinomial: the same distribution as drawing lines one by one, at the cost of the distinct pairs only. In
    heavily skewed sets a percentile interval can miss the measured value itself; it is then widened to touch
    it.

    Args:
        errors: (N,) int, errors of each line.
        totals: (N,) int, what they are measured against.
        resamples: Resamples to draw.
        seed: Same seed, same interval.
    """
    pairs, counts = np.unique(np.stack([errors, totals], axis=1), axis=0, return_counts=True)  # (K, 2), (K,)
    value = error_rate(int(errors.sum()), int(totals.sum()))
    generator = np.random.default_rng(seed)
    lines = len(errors)
    step = max(1, _BLOCK // len(pairs))
    rates = []
    for start in range(0, resamples, step):
        drawn = generator.multinomial(lines, counts / lines, size=min(step, resamples - start))  # (R, K)
        sums = drawn @ pairs  # (R, 2): errors and totals
        empty = sums[:, 1] == 0
        rates.append(np.where(empty, sums[:, 0] > 0, sums[:, 0] / np.where(empty, 1, sums[:, 1])))
    low, high = np.percentile(np.concatenate(rates), [2.5, 97.5])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _line_counts(line: LineScore) -> tuple[int, int, int, int, bool]:
    """Return character edits, characters, word edits, words, and whether the line is exactly right."""
    words = line.reference.split()
    word_edits = Levenshtein.distance(words, line.reading.split()) if line.edits else 0
    return line.edits, len(line.reference), word_edits, len(words), not line.edits


def _by_count(edit_counts: Counter[Edit]) -> list[tuple[Edit, int]]:
    return sorted(edit_counts.items(), key=lambda item: (-item[1], item[0]))


def _breakdown(edit_counts: Counter[Edit], characters: int) -> tuple[BreakdownRow, ...]:
    totals: Counter[EditClass] = Counter()
    for edit, count in edit_counts.items():
        totals[classify(edit)] += count
    return tuple(
        BreakdownRow(name, totals[name], error_rate(totals[name], characters)) for name in EDIT_CLASSES
    )


def _reliability(lines: Sequence[LineScore]) -> Reliability | None:
    known = [(line.confidence, not line.edits) for line in lines if line.confidence is not None]
    if not known or not all(0 <= confidence <= 1 for confidence, _ in known):
        return None
    return measure_reliability([confidence for confidence, _ in known], [is_right for _, is_right in known])
