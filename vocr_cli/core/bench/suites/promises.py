"""The promises, and whether what was measured keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from vocr_cli.core.bench.inputs import StoredBytes
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.evaluation.metrics import Estimate


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One row of the table.

    Attributes:
        name: What it is about.
        promised: In words.
        baseline: VietOCR's way, with its unit.
        all_on: Everything on, with its unit.
        change: The second over the first, minus 1; None: not measured, or no number.
        verdict: exceeded, met, missed, or why it was not measured.
    """

    name: str
    promised: str
    baseline: str
    all_on: str
    change: float | None
    verdict: str


def judge(
    *,
    baseline: TrainRow,
    all_on: TrainRow,
    memory_mb: tuple[float | None, float | None],
    reading_lines_per_s: tuple[float, float],
    stored: tuple[StoredBytes, StoredBytes],
    cers: tuple[Estimate, Estimate] | None,
    gpu_utilization: tuple[float, float] | None,
) -> tuple[Promise, ...]:
    """Return the promises in order; every pair has VietOCR's way first, then all on."""
    speed = baseline.lines_per_s.median, all_on.lines_per_s.median
    cpu_s = baseline.cpu_s_per_1000, all_on.cpu_s_per_1000
    read_mb = stored[0].records / 1e6, stored[1].records / 1e6
    return (
        _judged("training speed", "30 to 50 % faster", speed, unit="lines/s", limits=(0.3, 0.5)),
        _memory(memory_mb),
        _judged(
            "inference speed", "2 to 3 times as fast", reading_lines_per_s, unit="lines/s", limits=(1.0, 2.0)
        ),
        _gpu(gpu_utilization),
        _judged(
            "CPU time", "15 to 25 % less", cpu_s, unit="s / 1,000 lines", limits=(0.15, 0.25), falls=True
        ),
        _judged("disk I/O", "30 to 40 % less", read_mb, unit="MB / epoch", limits=(0.3, 0.4), falls=True),
        _accuracy(cers),
    )


def _gpu(utilization: tuple[float, float] | None) -> Promise:
    name, promised = "GPU utilisation", "20 to 30 % more"
    if utilization is None:
        return _unmeasured(name, promised, "no GPU")
    percent = 100 * utilization[0], 100 * utilization[1]
    return _judged(name, promised, percent, unit="%", limits=(0.2, 0.3))


def _memory(memory_mb: tuple[float | None, float | None]) -> Promise:
    name, promised = "memory, equal batch", "40 to 60 % less"
    before, after = memory_mb
    if before is None or after is None:
        return _unmeasured(name, promised, "the system does not tell")
    return _judged(name, promised, (before, after), unit="MB", limits=(0.4, 0.6), falls=True)


def _accuracy(cers: tuple[Estimate, Estimate] | None) -> Promise:
    if cers is None:
        return _unmeasured("accuracy", "kept", "no --valid")
    shown = [f"{100 * cer.value:.2f} % CER ({100 * cer.low:.2f}–{100 * cer.high:.2f})" for cer in cers]
    verdict = "met" if cers[1].value <= cers[0].high else "missed"
    change = cers[1].value / cers[0].value - 1 if cers[0].value else None
    return Promise(
        name="accuracy",
        promised="kept",
        baseline=shown[0],
        all_on=shown[1],
        change=change,
        verdict=verdict,
    )


def _unmeasured(name: str, promised: str, reason: str) -> Promise:
    verdict = f"not measured: {reason}"
    return Promise(name=name, promised=promised, baseline="", all_on="", change=None, verdict=verdict)


def _judged(
    name: str,
    promised: str,
    values: tuple[float, float],
    *,
    unit: str,
    limits: tuple[float, float],
    falls: bool = False,
) -> Promise:
    """Judge by how much the second value is above the first, or, where it is to fall, below it.

    Args:
        name: What it is about.
        promised: In words.
        values: VietOCR's way, and all on.
        unit: Of both.
        limits: The promised gain as fractions of the first: met from the lower on, exceeded above the upper.
        falls: Whether less is better.
    """
    change = values[1] / max(values[0], 1e-9) - 1
    gain = -change if falls else change
    return Promise(
        name=name,
        promised=promised,
        baseline=_shown(values[0], unit),
        all_on=_shown(values[1], unit),
        change=change,
        verdict="exceeded" if gain > limits[1] else "met" if gain >= limits[0] else "missed",
    )


def _shown(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
