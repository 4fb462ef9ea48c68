"""Measures how well lines were read: CER, WER, line accuracy, each with an interval, and where edits fall.

Both sides are cleaned first (NFC, single spaces), so NFD labels and doubled spaces cost nothing. Validation
while training counts for itself, over several processes: `training/validation/evaluator.py`.
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
from vocr_cli.core.text import clean

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
class LineScore:
    """A line that was read wrongly: its index among the N lines, from 0; both texts are cleaned."""

    index: int
    path: str
    reference: str
    reading: str
    edits: int
    confidence: float | None


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
    if not references:
        raise DataError("There are no lines to score.", "Give a set with at least one labelled line.")
    pairs = [(clean(label), clean(text)) for label, text in zip(references, readings, strict=True)]
    rows = np.array([_line_counts(label, text) for label, text in pairs], dtype=np.int64)  # (N, 5)
    char_edits, characters, word_edits, words, exact = rows.T  # each (N,)
    edit_counts = Counter(edit for label, text in pairs if label != text for edit in edits(label, text))
    return Scores(
        lines=len(pairs),
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
        worst=_worst(pairs, char_edits, paths, confidences, worst_lines),
        reliability=_reliability(confidences, pairs),
    )


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
    value = _rate(int(errors.sum()), int(totals.sum()))
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


def _rate(errors: int, total: int) -> float:
    return errors / total if total else float(errors > 0)


def _line_counts(reference: str, reading: str) -> tuple[int, int, int, int, bool]:
    """Return character edits, characters, word edits, words, and whether the line is exactly right."""
    words = reference.split()
    if reference == reading:
        return 0, len(reference), 0, len(words), True
    word_edits = Levenshtein.distance(words, reading.split())
    return Levenshtein.distance(reference, reading), len(reference), word_edits, len(words), False


def _by_count(edit_counts: Counter[Edit]) -> list[tuple[Edit, int]]:
    return sorted(edit_counts.items(), key=lambda item: (-item[1], item[0]))


def _breakdown(edit_counts: Counter[Edit], characters: int) -> tuple[BreakdownRow, ...]:
    totals: Counter[EditClass] = Counter()
    for edit, count in edit_counts.items():
        totals[classify(edit)] += count
    return tuple(BreakdownRow(name, totals[name], _rate(totals[name], characters)) for name in EDIT_CLASSES)


def _reliability(confidences: Sequence[float | None], pairs: Sequence[tuple[str, str]]) -> Reliability | None:
    known = [
        (confidence, label == text)
        for confidence, (label, text) in zip(confidences, pairs, strict=False)
        if confidence is not None
    ]
    if not known or not all(0 <= confidence <= 1 for confidence, _ in known):
        return None
    return measure_reliability([confidence for confidence, _ in known], [is_right for _, is_right in known])


def _worst(
    pairs: Sequence[tuple[str, str]],
    char_edits: NDArray[np.int64],
    paths: Sequence[str],
    confidences: Sequence[float | None],
    limit: int,
) -> tuple[LineScore, ...]:
    """Return the lines with the most edits, in their order where they tie."""
    for optional in (paths, confidences):
        if len(optional) not in (0, len(pairs)):
            raise ValueError("paths and confidences need one entry a line, or none")
    order = [int(index) for index in np.argsort(-char_edits, kind="stable")[:limit] if char_edits[index]]
    return tuple(
        LineScore(
            index,
            paths[index] if paths else "",
            *pairs[index],
            int(char_edits[index]),
            confidences[index] if confidences else None,
        )
        for index in order
    )
