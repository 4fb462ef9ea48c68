"""The tables of `vocr bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.bench.measure import Machine, Spread
    from vocr_cli.core.bench.suites.claims import ClaimsReport
    from vocr_cli.core.bench.suites.data import DataReport, DataRow
    from vocr_cli.core.bench.suites.infer import InferReport, PrecisionResult
    from vocr_cli.core.bench.suites.train import TrainReport, TrainRow
    from vocr_cli.core.evaluation.metrics import Estimate


def show_infer(report: InferReport) -> None:
    """Speed, latency, memory, errors, and how they were measured."""
    facts = report.precisions[0].facts
    console.table(
        f"{report.model}: {report.lines} lines of {report.data}, {facts.mean_width_px:.0f} px wide (mean)",
        ("", "lines/s", "range", "model alone", "first pass", "× Tesseract"),
        [*map(_speed_row, report.precisions), *_tesseract_row(report)],
    )
    console.table(
        "Single lines, memory, errors",
        ("", "p50 ms", "p95 ms", "peak MB", "CER %", "interval"),
        [_other_row(row) for row in report.precisions]
        + [(peer.version, "", "", "", *_rate(peer.cer)) for peer in [report.tesseract] if peer],
    )
    rows = [
        *_where(report.machine, report.threads, report.pinned),
        ("measured", f"median of {report.rounds} rounds after {report.warm_up_passes} passes of warm-up"),
        ("lines/s", "from image files to text"),
        ("batches", f"at most {facts.batch_pixels:,} px; {facts.batches} of them"),
        *((row.facts.precision, f"{row.facts.runtime}, {row.facts.device}") for row in report.precisions),
    ]
    if report.tesseract is not None:
        peer = report.tesseract
        whole = f"{peer.whole_run.median:.0f} lines/s with it"
        rows.append(("tesseract", f"start-up of {peer.start_s:.2f} s taken off; {whole}"))
    console.facts(f"vocr {report.vocr}", rows)


def _speed_row(row: PrecisionResult) -> tuple[str, ...]:
    return (
        row.facts.precision,
        f"{row.end_to_end.median:.0f}",
        _range(row.end_to_end),
        f"{row.model.median:.0f}",
        f"{row.first_pass:.0f}",
        "" if row.times_tesseract is None else f"{row.times_tesseract:.2f}",
    )


def _tesseract_row(report: InferReport) -> list[tuple[str, ...]]:
    row = report.tesseract
    if row is None:
        return []
    return [(row.version, f"{row.lines_per_s.median:.0f}", _range(row.lines_per_s), "", "", "1")]


def _other_row(row: PrecisionResult) -> tuple[str, ...]:
    memory = _memory(row.peak_memory_mb, row.peak_cuda_mb)
    return (
        row.facts.precision,
        f"{row.latency_ms_p50:.1f}",
        f"{row.latency_ms_p95:.1f}",
        memory,
        *_rate(row.cer),
    )


def _range(value: Spread) -> str:
    return f"{_rate_of(value.low)}–{_rate_of(value.high)}"


def _rate(value: Estimate | None) -> tuple[str, str]:
    """Per cent, and its interval."""
    if value is None:
        return "", ""
    return f"{100 * value.value:.2f}", f"{100 * value.low:.2f}–{100 * value.high:.2f}"


def _memory(resident_mb: float | None, cuda_mb: float | None) -> str:
    shown = "?" if resident_mb is None else f"{resident_mb:.0f}"
    return shown if cuda_mb is None else f"{shown} + {cuda_mb:.0f} GPU"


def show_train(report: TrainReport) -> None:
    """Speeds of the Trainer, and how they were measured."""
    _training(f"{report.model}: training on {report.data}, {report.mean_width_px:.0f} px wide", report.rows)
    rows = [
        *_where(report.machine, report.threads, report.pinned),
        (
            "measured",
            f"median of {report.effort.rounds} alternating round(s), a step of warm-up before each",
        ),
        ("round", f"at least {report.effort.steps} step(s) and {report.effort.seconds:g} s"),
        ("lines/s", "of lines of the mean width; CPU seconds count workers, too"),
    ]
    console.facts(f"vocr {report.vocr}", rows)


def show_data(report: DataReport) -> None:
    """Speeds of each part, bytes of an epoch, and how they were measured."""
    console.table(
        f"Lines/s of each part, for {report.model}: lines of {report.mean_width_px:.0f} px (mean)",
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
        *_where(report.machine, report.threads, report.pinned),
        ("measured", f"median of {report.rounds} round(s) after one of warm-up"),
        ("pass", f"{report.pass_lines:,} lines"),
        ("open", "as a run does: sizes and characters of all lines known"),
        ("decode", "from records to padded batches, in one process"),
        ("loader", f"the same, from the trainer's loader with {report.workers} worker(s)"),
    ]  # fmt: skip
    console.facts(f"vocr {report.vocr}", rows)


def _data_row(row: DataRow, first: DataRow) -> tuple[str, ...]:
    parts = (row.open_lines_per_s, row.plan_lines_per_s, row.decode_lines_per_s, row.loader_lines_per_s)
    ratio = row.loader_lines_per_s.median / first.loader_lines_per_s.median
    return (
        Path(row.name).name,
        *(f"{part.median:,.0f}" for part in parts),
        _range(row.loader_lines_per_s),
        f"{ratio:.2f}",
        f"{row.cached_lines_per_s.median:,.0f}",
    )


def show_claims(report: ClaimsReport) -> None:
    """The promises, what they rest on, and how it was measured."""
    _training(
        f"{report.model}: training on {report.data}, {report.mean_width_px:.0f} px wide", report.training
    )
    first = report.memory[0].shown_mb
    console.table(
        f"Peak memory of training, {report.memory_lines} lines of {report.memory_width_px} px a step",
        ("", "training, MB", "change", "whole process, MB"),
        [
            (row.name, "?", "", "")
            if row.shown_mb is None or not first
            else (row.name, f"{row.shown_mb:,.0f}", f"{100 * (row.shown_mb / first - 1):+.0f} %",
                  "?" if row.peak_mb is None else f"{row.peak_mb:,.0f}")
            for row in report.memory
        ],
    )  # fmt: skip
    console.table(
        f"Reading {report.effort.read_lines} lines, from stored bytes to text",
        ("", "lines/s", "range", "×", "CPU s / 1,000"),
        [
            (row.name, _rate_of(row.lines_per_s.median), _range(row.lines_per_s), f"{row.ratio:.2f}",
             f"{row.cpu_s_per_1000:.1f}")
            for row in report.reading
        ],
    )  # fmt: skip
    _promises(report)


def _promises(report: ClaimsReport) -> None:
    raw, small = report.stored
    console.table(
        "Read from the database in an epoch, MB",
        ("", "records", "pages", "from disk"),
        [
            (name, f"{own.records / 1e6:.2f}", f"{own.pages / 1e6:.2f}",
             "?" if own.from_disk is None else f"{own.from_disk / 1e6:.2f}")
            for name, own in (("raw", raw), ("pre-scaled", small))
        ],
    )  # fmt: skip
    console.table(
        "Promises",
        ("", "promised", "VietOCR's way", "all on", "change", ""),
        [
            (row.name, row.promised, row.baseline, row.all_on,
             "" if row.change is None else f"{100 * row.change:+,.0f} %", row.verdict)
            for row in report.promises
        ],
        text_columns=2,
    )  # fmt: skip
    rows = [
        *_where(report.machine, report.threads, report.pinned),
        ("measured", f"median of {report.effort.rounds} alternating round(s), a step of warm-up before each"),
        ("VietOCR's way", f"fp32, {report.effort.batch_lines} lines of one width a step, no workers,\n"
         "plain attention; read line by line, the prefix gone over at every step"),
        ("all on", "vocr train and vocr infer as they are by default, on pre-scaled data;\n"
         "recomputation only for memory"),
    ]  # fmt: skip
    if report.accuracy is not None:
        rows.append(("accuracy", f"{report.accuracy[0].steps} steps of the same size, same seed and lines"))
    console.facts(f"vocr {report.vocr}", rows)


def _training(title: str, rows: tuple[TrainRow, ...]) -> None:
    console.table(
        title,
        ("", "lines/s", "range", "×", "CPU s / 1,000", "data wait", "lines a step", "peak MB"),
        [
            (row.name, _rate_of(row.lines_per_s.median), _range(row.lines_per_s), f"{row.ratio:.2f}",
             f"{row.cpu_s_per_1000:.1f}", f"{100 * row.data_wait_share:.0f} %", f"{row.batch_lines:.0f}",
             _memory(row.peak_mb, row.peak_cuda_mb))
            for row in rows
        ],
    )  # fmt: skip


def _where(machine: Machine, threads: int, pinned: bool) -> list[tuple[str, str]]:
    held = "held to as many processors" if pinned else "not held to processors"
    facts = (machine.cpu_model, f"{machine.cores} core(s)", machine.gpu)
    return [("machine", ", ".join(filter(None, facts))), ("threads", f"{threads}, {held}")]


def _rate_of(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
