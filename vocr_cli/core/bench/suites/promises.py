"""What is promised, and whether it was kept."""

from __future__ import annotations

from dataclasses import dataclass

from vocr_cli.core.bench.inputs import Stored
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.evaluation.metrics import Estimate


@dataclass(frozen=True)
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
    baseline: TrainRow,
    all_on: TrainRow,
    memory_mb: tuple[float | None, float | None],
    reading_lines_per_s: tuple[float, float],
    stored: tuple[Stored, Stored],
    cers: tuple[Estimate, Estimate] | None,
    gpu_shares: tuple[float, float] | None,
) -> tuple[Promise, ...]:
    """The promises in order, from what was measured VietOCR's way and with all on."""
    rates = baseline.lines_per_s.median, all_on.lines_per_s.median
    rows = [
        _more("training speed", "30 to 50 % faster", rates, "lines/s", (0.3, 0.5)),
        _memory(memory_mb),
        _more("inference speed", "2 to 3 times as fast", reading_lines_per_s, "lines/s", (1.0, 2.0)),
    ]
    if gpu_shares is None:
        rows.append(Promise("GPU utilisation", "20 to 30 % more", "", "", None, "not measured: no GPU"))
    else:
        percent = 100 * gpu_shares[0], 100 * gpu_shares[1]
        rows.append(_more("GPU utilisation", "20 to 30 % more", percent, "%", (0.2, 0.3)))
    cpu = baseline.cpu_s_per_1000, all_on.cpu_s_per_1000
    rows.append(_less("CPU time", "15 to 25 % less", cpu, "s / 1,000 lines", (0.15, 0.25)))
    read = stored[0].records / 1e6, stored[1].records / 1e6
    rows.append(_less("disk I/O", "30 to 40 % less", read, "MB / epoch", (0.3, 0.4)))
    rows.append(_accuracy(cers))
    return tuple(rows)


def _memory(memory_mb: tuple[float | None, float | None]) -> Promise:
    name, promised = "memory, equal batch", "40 to 60 % less"
    before, after = memory_mb
    if before is None or after is None:
        return Promise(name, promised, "", "", None, "not measured: the system does not tell")
    return _less(name, promised, (before, after), "MB", (0.4, 0.6))


def _accuracy(cers: tuple[Estimate, Estimate] | None) -> Promise:
    if cers is None:
        return Promise("accuracy", "kept", "", "", None, "not measured: no --valid")
    shown = [f"{100 * cer.value:.2f} % CER ({100 * cer.low:.2f}–{100 * cer.high:.2f})" for cer in cers]
    verdict = "met" if cers[1].value <= cers[0].high else "missed"
    change = cers[1].value / cers[0].value - 1 if cers[0].value else None
    return Promise("accuracy", "kept", shown[0], shown[1], change, verdict)


def _more(
    name: str, promised: str, values: tuple[float, float], unit: str, limits: tuple[float, float]
) -> Promise:
    return _judged(name, promised, values, unit, limits, 1)


def _less(
    name: str, promised: str, values: tuple[float, float], unit: str, limits: tuple[float, float]
) -> Promise:
    return _judged(name, promised, values, unit, limits, -1)


def _judged(
    name: str, promised: str, values: tuple[float, float], unit: str, limits: tuple[float, float], sign: int
) -> Promise:
    change = values[1] / max(values[0], 1e-9) - 1
    gain = sign * change
    verdict = "exceeded" if gain > limits[1] else "met" if gain >= limits[0] else "missed"
    return Promise(name, promised, _shown(values[0], unit), _shown(values[1], unit), change, verdict)


def _shown(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
