"""The promises, and whether what was measured keeps them.

Training speed, CPU time and memory are judged in one configuration, and in a second one besides; a promise
that is kept only by taking speed from one and memory from the other is kept by neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vocr_cli.core.bench.suites.disk import DiskReport, EncodingRow
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.evaluation.metrics import Estimate
from vocr_cli.core.evaluation.paired import Difference

MET, MISSED = "met", "missed"
TRIAL = "not measured: a trial run"

_NO_WORSE = 0.005  # of the CER: half a percentage point
_TAUGHT = 0.5  # a CER above it is of a model that has not learned to read yet


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One row of the table.

    Attributes:
        name: What it is about.
        promised: In words.
        baseline: VietOCR's way, with its unit.
        all_on: Everything on, with its unit.
        change: The second over the first, minus 1; None: not measured, or no number.
        verdict: met, missed, or "not measured: " and why.
        lean: Everything on with recomputation, where that is another configuration; "": it is not.
        lean_change: That over the first, minus 1.
        lean_verdict: As `verdict`.
    """

    name: str
    promised: str
    baseline: str
    all_on: str
    change: float | None
    verdict: str
    lean: str = ""
    lean_change: float | None = None
    lean_verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class AccuracyTest:
    """Two trainings held against each other on the same lines.

    Attributes:
        start: The CER that both started from.
        cers: VietOCR's way, and all on.
        difference: By how much the second CER is above the first, line by line.
        lines: How many lines.
    """

    start: Estimate
    cers: tuple[Estimate, Estimate]
    difference: Difference
    lines: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What promises are judged by; of each configuration, None where it is not known.

    Attributes:
        training: VietOCR's way, all on, and all on with recomputation.
        memory_mb: Of the same three, at equal batches.
        reading_lines_per_s: VietOCR's way, and all on.
        disk: The same pixels in different encodings.
        accuracy: None: no lines to compare it on.
        on_gpu: Whether the device is a GPU.
    """

    training: tuple[TrainRow, TrainRow, TrainRow]
    memory_mb: tuple[float | None, float | None, float | None]
    reading_lines_per_s: tuple[float, float]
    disk: DiskReport | None
    accuracy: AccuracyTest | None
    on_gpu: bool


def judge(figures: Figures, *, trial: bool = False) -> tuple[Promise, ...]:
    """Return the promises in order.

    Args:
        figures: What was measured.
        trial: Whether it was too little to mean anything: nothing is then said to be met or missed.
    """
    speeds = [row.lines_per_s.median for row in figures.training]
    cpu_s = [row.cpu_s_per_1000 for row in figures.training]
    promises = (
        _judged("training speed", "30 to 50 % faster", speeds, unit="lines/s", least=0.3),
        _judged(
            "memory, equal batch", "40 to 60 % less", figures.memory_mb, unit="MB", least=0.4, falls=True
        ),
        _judged(
            "inference speed", "2 to 3 times as fast", figures.reading_lines_per_s, unit="lines/s", least=1.0
        ),
        _gpu(figures),
        _judged("CPU time", "15 to 25 % less", cpu_s, unit="s / 1,000 lines", least=0.15, falls=True),
        _disk(figures.disk),
        _accuracy(figures.accuracy),
    )
    return tuple(map(_as_trial, promises)) if trial else promises


def _as_trial(promise: Promise) -> Promise:
    return replace(promise, verdict=TRIAL, lean_verdict=TRIAL if promise.lean else "")


def _gpu(figures: Figures) -> Promise:
    name, promised = "GPU utilisation", "20 to 30 % more"
    if not figures.on_gpu:
        return _unmeasured(name, promised, "no GPU")
    shares = [row.gpu_share for row in figures.training]
    percent = [None if share is None else 100 * share for share in shares]
    why = "the driver does not tell; pip install 'vocr-cli[gpu]'"
    return _judged(name, promised, percent, unit="%", least=0.2, unknown=why)


def _disk(report: DiskReport | None) -> Promise:
    name, promised = "disk I/O", "30 to 40 % less"
    if report is None:
        return _unmeasured(name, promised, "no lines")
    smallest = min((row for row in report.rows if row.lossless), key=lambda row: row.bytes_a_line)
    promises = [_stored(name, promised, smallest, row) for row in report.rows if not row.lossless]
    return next((promise for promise in promises if promise.verdict == MET), promises[0])


def _stored(name: str, promised: str, smallest: EncodingRow, stored: EncodingRow) -> Promise:
    """Judges one of the encodings that are offered."""
    values = [row.bytes_a_line / 1000 for row in (smallest, stored)]
    promise = _judged(name, promised, values, unit="kB / line", least=0.3, falls=True)
    shown = (
        f"{promise.baseline}, {smallest.name}, {100 * smallest.cer.value:.2f} % CER",
        f"{promise.all_on}, {stored.name}, {100 * stored.cer.value:.2f} % CER",
    )
    verdict = MISSED if stored.worse.low > 0 else promise.verdict
    return replace(promise, baseline=shown[0], all_on=shown[1], verdict=verdict)


def _accuracy(test: AccuracyTest | None) -> Promise:
    if test is None:
        return _unmeasured("accuracy", "kept", "no --valid")
    shown = [f"{100 * cer.value:.2f} % CER ({100 * cer.low:.2f}–{100 * cer.high:.2f})" for cer in test.cers]
    worst = max(cer.value for cer in test.cers)
    difference = test.difference
    if worst > _TAUGHT or worst >= test.start.value:
        verdict = (
            f"not measured: from {100 * test.start.value:.1f} % CER, training did not teach both to read; "
            "take more --accuracy-steps, or lines that the model does not know"
        )
    elif difference.low > 0:
        verdict = MISSED
    elif difference.high <= _NO_WORSE:
        verdict = MET
    else:
        verdict = f"not measured: {test.lines:,} lines leave up to {100 * difference.high:+.1f} points open"
    first, second = test.cers
    return Promise(
        name="accuracy",
        promised="kept",
        baseline=shown[0],
        all_on=shown[1],
        change=second.value / first.value - 1 if first.value else None,
        verdict=verdict,
    )


def _unmeasured(name: str, promised: str, reason: str) -> Promise:
    verdict = f"not measured: {reason}"
    return Promise(name=name, promised=promised, baseline="", all_on="", change=None, verdict=verdict)


def _judged(
    name: str,
    promised: str,
    values: Sequence[float | None],
    *,
    unit: str,
    least: float,
    falls: bool = False,
    unknown: str = "the system does not tell",
) -> Promise:
    """Judge by how much the other values are above the first, or, where they are to fall, below it.

    Args:
        name: What it is about.
        promised: In words.
        values: VietOCR's way, all on, and, where it is another configuration, all on with recomputation.
        unit: Of all.
        least: The promised gain as a fraction of the first.
        falls: Whether less is better.
        unknown: Why a value may be None.
    """
    baseline, *others = values
    if baseline is None or others[0] is None:
        return _unmeasured(name, promised, unknown)
    changes = [None if value is None else value / max(baseline, 1e-9) - 1 for value in others]
    verdicts = [
        f"not measured: {unknown}" if gain is None else MET if gain >= least else MISSED
        for gain in (change if change is None or not falls else -change for change in changes)
    ]
    shown = ["" if value is None else _shown(value, unit) for value in values]
    lean = len(others) > 1
    return Promise(
        name=name,
        promised=promised,
        baseline=shown[0],
        all_on=shown[1],
        change=changes[0],
        verdict=verdicts[0],
        lean=shown[2] if lean else "",
        lean_change=changes[1] if lean else None,
        lean_verdict=verdicts[1] if lean else "",
    )


def _shown(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
