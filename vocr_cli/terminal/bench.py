"""The tables of `vocr bench infer`, `train` and `data`, and what they share with those of claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.bench.measure import BenchBudget, BenchReport, Spread
    from vocr_cli.core.bench.suites.claims_measurements import ReadRow
    from vocr_cli.core.bench.suites.data import DataReport, DataRow
    from vocr_cli.core.bench.suites.infer import InferReport, PrecisionResult
    from vocr_cli.core.bench.suites.train import TrainReport, TrainRow
    from vocr_cli.core.evaluation.metrics import Estimate


def show_infer(report: InferReport) -> None:
    """Show speed, latency, memory, errors, and how they were measured."""
    facts = report.precisions[0].facts
    console.table(
        f"{report.setup.model}: {report.lines} lines of {report.data}, {facts.mean_width_px:.0f} px (mean)",
        ("", "lines/s", "range", "model alone", "first pass"),
        map(_speed_row, report.precisions),
    )
    console.table(
        "Single lines, memory, errors",
        ("", "p50 ms", "p95 ms", "peak MB", "CER %", "interval"),
        map(_latency_row, report.precisions),
    )
    rows = [
        *((row.facts.precision, f"{row.facts.runtime}, {row.facts.device}") for row in report.precisions),
        ("batches", f"at most {facts.batch_pixels:,} px; {facts.batches} of them"),
        ("warm-up", f"{report.warm_up_passes} passes"),
        ("samples", f"{report.lines:,} lines in each of {report.rounds} round(s), in turns; medians"),
        ("lines/s", "from image files to text"),
    ]
    show_setup(report, rows)


def _speed_row(row: PrecisionResult) -> tuple[str, ...]:
    return (
        f"{row.facts.precision}, {row.facts.backend_runtime}",
        f"{row.end_to_end.median:.0f}",
        show_range(row.end_to_end),
        f"{row.model.median:.0f}",
        f"{row.first_pass:.0f}",
    )


def _latency_row(row: PrecisionResult) -> tuple[str, ...]:
    memory = _memory(row.peak_memory_mb, row.peak_cuda_mb)
    return (
        f"{row.facts.precision}, {row.facts.backend_runtime}",
        f"{row.latency_ms_p50:.1f}",
        f"{row.latency_ms_p95:.1f}",
        memory,
        *percent_cells(row.cer),
    )


def show_range(value: Spread) -> str:
    """Return the lowest and the highest rate."""
    return f"{show_rate(value.low)}–{show_rate(value.high)}"


def percent_cells(value: Estimate | None) -> tuple[str, str]:
    """Per cent, and its interval."""
    if value is None:
        return "", ""
    return f"{100 * value.value:.2f}", f"{100 * value.low:.2f}–{100 * value.high:.2f}"


def _memory(resident_mb: float | None, cuda_mb: float | None) -> str:
    shown = "?" if resident_mb is None else f"{resident_mb:.0f}"
    return shown if cuda_mb is None else f"{shown} + {cuda_mb:.0f} GPU"


def show_train(report: TrainReport) -> None:
    """Show speeds of the Trainer, and how they were measured."""
    training_table(
        f"{report.setup.model}: training on {report.data}, {report.mean_width_px:.0f} px wide", report.rows
    )
    rows = [
        *training_facts(report.budget, report.rows),
        ("lines/s", "of lines of the mean width; CPU seconds count workers, too"),
    ]
    show_setup(report, rows)


def show_data(report: DataReport) -> None:
    """Show speeds of each part, bytes of an epoch, and how they were measured."""
    console.table(
        f"Lines/s of each part, for {report.setup.model}: lines of {report.mean_width_px:.0f} px (mean)",
        ("", "open", "plan", "decode", "loader", "range", "× first", "with cache"),
        [_data_row(row, report.rows[0]) for row in report.rows],
    )
    console.table(
        "An epoch, and the process that read it",
        ("", "lines", "indexed", "records MB", "from disk MB", "peak MB"),
        [
            (row.name, f"{row.lines:,}", "yes" if row.indexed else "no", f"{row.epoch_mb:.1f}",
             "?" if row.epoch_disk_mb is None else f"{row.epoch_disk_mb:.1f}", _memory(row.peak_mb, None))
            for row in report.rows
        ],
    )  # fmt: skip
    rows = [
        ("dtype", report.dtype),
        ("batches", f"at most {report.batch_pixels:,} px; {report.batch_lines:.0f} lines (mean)"),
        ("warm-up", "1 round"),
        ("samples", f"{report.pass_lines:,} lines in each of {report.rounds} round(s), in turns; medians"),
        ("open", "as a run does: sizes and characters of all lines known"),
        ("decode", "from records to padded batches, in one process"),
        ("loader", f"the same, from the trainer's loader with {report.workers} worker(s)"),
    ]
    show_setup(report, rows)


def _data_row(row: DataRow, first: DataRow) -> tuple[str, ...]:
    rates = (row.open_lines_per_s, row.plan_lines_per_s, row.decode_lines_per_s, row.loader_lines_per_s)
    ratio = row.loader_lines_per_s.median / first.loader_lines_per_s.median
    return (
        Path(row.name).name,
        *(f"{rate.median:,.0f}" for rate in rates),
        show_range(row.loader_lines_per_s),
        f"{ratio:.2f}",
        f"{row.cached_lines_per_s.median:,.0f}",
    )


def training_table(title: str, rows: tuple[TrainRow, ...]) -> None:
    """Show speeds of training, one way a row."""
    console.table(
        title,
        ("", "lines/s", "range", "×", "CPU s / 1,000", "data wait", "lines a step", "peak MB"),
        [
            (row.name, show_rate(row.lines_per_s.median), show_range(row.lines_per_s), f"{row.ratio:.2f}",
             show_seconds(row.cpu_s_per_1000), f"{100 * row.data_wait_share:.0f} %", f"{row.batch_lines:.0f}",
             _memory(row.peak_mb, row.peak_cuda_mb))
            for row in rows
        ],
    )  # fmt: skip


def training_facts(budget: BenchBudget, rows: Sequence[TrainRow]) -> list[tuple[str, str]]:
    """Number formats, batches, warm-up and samples of rounds of training."""
    fewest, most = min(row.lines for row in rows), max(row.lines for row in rows)
    round_length = f"at least {budget.steps} step(s) and {budget.seconds:g} s"
    return [
        ("dtype", dtypes(rows)),
        ("batches", ", ".join(dict.fromkeys(f"{row.batch_lines:.0f}" for row in rows)) + " lines (mean)"),
        ("warm-up", "1 round, and 1 step before each that counts"),
        ("samples", f"{fewest:,} to {most:,} lines in {budget.rounds} round(s), in turns; medians"),
        ("round", round_length),
    ]


def dtypes(rows: Sequence[TrainRow] | Sequence[ReadRow]) -> str:
    """The number format of the last row, and which rows have another."""
    others: dict[str, list[str]] = {}
    for row in rows:
        if row.dtype != rows[-1].dtype:
            others.setdefault(row.dtype, []).append(row.name)
    return "; ".join([rows[-1].dtype, *(f"{dtype}: {', '.join(names)}" for dtype, names in others.items())])


def show_setup(report: BenchReport, rows: Sequence[tuple[str, str]]) -> None:
    """What stands below the numbers of every bench: the machine, then how it was measured."""
    setup = report.setup
    pinned = "held to as many processors" if setup.pinned else "not held to processors"
    machine = (setup.machine.cpu_model, f"{setup.machine.cores} core(s)", setup.machine.gpu)
    where = [
        ("machine", ", ".join(filter(None, machine))),
        ("device", setup.device),
        ("threads", f"{setup.threads}, {pinned}"),
    ]
    console.facts(f"vocr {setup.vocr}", [*where, *rows])


def show_rate(value: float) -> str:
    """Return a rate with three digits, or all of them."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def show_seconds(value: float | None) -> str:
    """Return seconds with one digit behind the point; "?" where they are not known."""
    return "?" if value is None else f"{value:.1f}"
