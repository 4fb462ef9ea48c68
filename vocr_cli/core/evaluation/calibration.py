"""How far confidences can be believed, and the map that makes them so. N lines.

A confidence is calibrated when, of the lines that have it, that fraction is read without a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
_LEAST, _MOST = 1e-100, 1 - 1e-7
"""Probabilities are held between these: a map takes logarithms of them, and of what is missing to 1."""
_LEAST_LOGIT = -700.0  # the exponential of the opposite is still a float
_PENALTY = 1e-7


@dataclass(frozen=True)
class ReliabilityBin:
    """The lines whose confidence lies in one of `BINS` equal intervals.

    Attributes:
        lines: How many there are, one at least.
        confidence: Their mean confidence.
        right: The fraction of them that is read without a mistake.
    """

    lines: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """How far the confidences of a set of readings can be believed.

    Attributes:
        error: The expected calibration error: the mean over lines of how far confidence and fraction right
            are apart in the line's bin (Naeini et al., 2015; Guo et al., 2017), `BINS` bins of equal width.
        low: The lower end of its 95 % bootstrap interval, at most `error`.
        high: The upper end, at least `error`.
        chance: What so many lines show on average though their confidences are right to the last digit. An
            error no larger says nothing against the confidences.
        lines: How many lines have a confidence.
        bins: Those that are not empty, in ascending order.
    """

    error: float
    low: float
    high: float
    chance: float
    lines: int
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ConfidenceMap:
    """From the probability that a model gives to the fraction of lines that is right (Kull et al., 2017).

    The logit of the result is `of_right * ln p - of_wrong * ln(1 - p) + offset`, which never falls where `p`
    grows. With 1, 1 and 0 nothing changes; with two equal factors it is Platt's map, or a temperature.

    Attributes:
        of_right: Factor of the logarithm of the probability; at least 0.
        of_wrong: Factor of the logarithm of what is missing to 1; at least 0.
        offset: Added to both.

    Raises:
        ValueError: A value is not finite, or a factor is below 0.
    """

    of_right: float
    of_wrong: float
    offset: float

    def __post_init__(self) -> None:
        values = self.of_right, self.of_wrong, self.offset
        if not all(map(math.isfinite, values)) or min(values[:2]) < 0:
            raise ValueError(f"{values} maps no confidence")

    def __call__(self, probability: float) -> float:
        """Returns the calibrated confidence of a probability, 0..1."""
        p = min(max(probability, _LEAST), _MOST)
        logit = self.of_right * math.log(p) - self.of_wrong * math.log1p(-p) + self.offset
        return 1 / (1 + math.exp(-max(logit, _LEAST_LOGIT)))


def measure_reliability(
    confidences: Sequence[float], right: Sequence[bool], resamples: int = 1000, seed: int = 0
) -> Reliability:
    """Measures how far N confidences can be believed.

    The interval and `chance` hold the confidences fixed and draw how many lines of each bin are right: with
    the fraction that was measured, and with the probability that the confidences state.

    Args:
        confidences: N of them, 0..1, N at least 1.
        right: Whether each line is read without a mistake.
        resamples: Draws behind the interval.
        seed: Same seed, same interval.

    Raises:
        ValueError: There is no line, or the sequences differ in length.
    """
    stated, true = np.asarray(confidences, np.float64), np.asarray(right, np.float64)  # each (N,)
    if stated.shape != true.shape or not stated.size:
        raise ValueError("reliability needs one verdict for each confidence, and one line at least")
    of_bin = np.minimum((stated * BINS).astype(np.int64), BINS - 1)
    lines = np.bincount(of_bin, minlength=BINS)
    filled = lines > 0
    lines, total = lines[filled], len(stated)  # (bins,)
    mean = np.bincount(of_bin, stated, BINS)[filled] / lines
    fraction = np.bincount(of_bin, true, BINS)[filled] / lines
    error = float(np.abs(fraction - mean) @ lines / total)
    generator = np.random.default_rng(seed)

    def drawn(probability: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = generator.binomial(lines, np.clip(probability, 0, 1), (resamples, len(lines)))
        errors: NDArray[np.float64] = np.abs(counts / lines - mean) @ lines / total
        return errors

    low, high = np.percentile(drawn(fraction), [2.5, 97.5])
    return Reliability(
        error=error,
        low=min(float(low), error),
        high=max(float(high), error),
        chance=float(drawn(mean).mean()),
        lines=total,
        bins=tuple(
            ReliabilityBin(int(count), float(confidence), float(share))
            for count, confidence, share in zip(lines, mean, fraction, strict=True)
        ),
    )


def fit_confidence_map(probabilities: Sequence[float], right: Sequence[bool]) -> ConfidenceMap:
    """Fits a map to N lines, by maximum likelihood.

    A factor that would be below 0 is left out (Kull et al., 2017), so that the map never falls. The targets
    are a little inside of 0 and 1 (Platt, 1999), so that lines which a threshold parts have a finite map.

    Args:
        probabilities: What the model says of each line, 0..1.
        right: Whether each line is read without a mistake.

    Raises:
        ValueError: There is no line, or the sequences differ in length.
    """
    p = np.clip(np.asarray(probabilities, np.float64), _LEAST, _MOST)  # (N,)
    true = np.asarray(right, bool)
    if p.shape != true.shape or not p.size:
        raise ValueError("a map needs one verdict for each probability, and one line at least")
    number_right = int(true.sum())
    target = np.where(true, (number_right + 1) / (number_right + 2), 1 / (len(p) - number_right + 2))
    columns = np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)], axis=1)  # (N, 3)
    used = [0, 1, 2]
    while True:
        weights = np.zeros(3)
        weights[used] = _logistic_regression(columns[:, used], target)
        falling = [column for column in used[:-1] if weights[column] < 0]
        if not falling:
            return ConfidenceMap(*weights.tolist())
        used.remove(min(falling, key=weights.__getitem__))


def _logistic_regression(
    columns: NDArray[np.float64], target: NDArray[np.float64], most_steps: int = 100
) -> NDArray[np.float64]:
    """Returns the weights, (K,), that make (N, K) columns likeliest to give (N,) targets (Newton's method).

    Steps that do not help are halved; the slightest of penalties keeps weights finite that nothing decides.
    """
    weights = np.zeros(columns.shape[1])

    def loss(tried: NDArray[np.float64]) -> float:
        logits = columns @ tried
        return float((np.logaddexp(0, logits) - target * logits).sum() + _PENALTY * tried @ tried)

    for _ in range(most_steps):
        chance = 0.5 * (1 + np.tanh(columns @ weights / 2))
        gradient = columns.T @ (chance - target) + 2 * _PENALTY * weights
        curvature = (columns * (chance * (1 - chance))[:, None]).T @ columns
        step = np.linalg.solve(curvature + 2 * _PENALTY * np.eye(len(weights)), gradient)
        before, fraction = loss(weights), 1.0
        while loss(weights - fraction * step) > before and fraction > 1e-7:
            fraction /= 2
        weights = weights - fraction * step
        if np.abs(fraction * step).max() < 1e-9:
            break
    return weights
