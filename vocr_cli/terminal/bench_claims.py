"""The tables of `vocr bench claims`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from vocr_cli.terminal import console
from vocr_cli.terminal.bench import (
    dtypes,
    show_range,
    show_rate,
    show_seconds,
    show_setup,
    training_facts,
    training_table,
)

if TYPE_CHECKING:
    from vocr_cli.core.bench.suites.claims import ClaimsReport
    from vocr_cli.core.bench.suites.promises import Promise


def show_claims(report: ClaimsReport) -> None:
    """Show the promises, what they rest on, and how it was measured."""
    training_table(
        f"{report.setup.model}: training on {report.data}, {report.mean_width_px:.0f} px wide",
        report.training,
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
        f"Reading {report.reading[0].lines} lines, from stored bytes to text",
        ("", "lines/s", "range", "×", "CPU s / 1,000"),
        [
            (row.name, show_rate(row.lines_per_s.median), show_range(row.lines_per_s), f"{row.ratio:.2f}",
             show_seconds(row.cpu_s_per_1000))
            for row in report.reading
        ],
    )  # fmt: skip
    _disk(report)
    _settings(report)
    _promises(report)


def _disk(report: ClaimsReport) -> None:
    raw, prescaled = report.stored
    console.table(
        "Read from the database in an epoch, MB: pre-scaled lines have fewer pixels, which no promise counts",
        ("", "records", "pages", "from disk"),
        [
            (name, f"{stored.records / 1e6:.2f}", f"{stored.pages / 1e6:.2f}",
             "?" if stored.from_disk is None else f"{stored.from_disk / 1e6:.2f}")
            for name, stored in (("raw", raw), ("pre-scaled", prescaled))
        ],
    )  # fmt: skip
    console.table(
        f"The same pixels of {report.disk.lines} lines in different files, read by {report.disk.reader}",
        ("", "kB a line", "CER %", "interval", "above the first, points"),
        [
            (row.name, f"{row.bytes_a_line / 1000:.2f}", f"{100 * row.cer.value:.2f}",
             f"{100 * row.cer.low:.2f}–{100 * row.cer.high:.2f}",
             f"{100 * row.worse.value:+.2f} ({100 * row.worse.low:+.2f} to {100 * row.worse.high:+.2f})")
            for row in report.disk.rows
        ],
    )  # fmt: skip


def _settings(report: ClaimsReport) -> None:
    console.table(
        "VietOCR 0.3.13's settings, and those of the way it is measured by",
        ("", "VietOCR", "where", "measured by"),
        [(row.name, row.vietocr, row.where, row.baseline) for row in report.baseline_settings],
        text_columns=4,
    )


def _promises(report: ClaimsReport) -> None:
    console.table(
        "Promises",
        ("", "promised", "VietOCR's way", "all on", "change", ""),
        chain.from_iterable(map(_promise_rows, report.promises)),
        text_columns=2,
    )
    rows = [*training_facts(report.budget, report.training), *_facts(report)]
    show_setup(report, rows)


def _promise_rows(row: Promise) -> Iterator[tuple[str, ...]]:
    """Yields the row of a promise, and below it that of the configuration which recomputes."""
    yield row.name, row.promised, row.baseline, row.all_on, _percent(row.change), _word(row.verdict)
    if row.lean:
        yield "", "recomputed", "", row.lean, _percent(row.lean_change), _word(row.lean_verdict)


def _word(verdict: str) -> str:
    """Met, missed or not measured; why not stands below the table."""
    return verdict.partition(":")[0]


def _percent(change: float | None) -> str:
    return "" if change is None else f"{100 * change:+,.0f} %"


def _facts(report: ClaimsReport) -> Iterator[tuple[str, str]]:
    for row in report.promises:
        if why := row.verdict.partition(": ")[2]:
            yield row.name, f"not measured: {why}"
    yield "reading", f"{dtypes(report.reading)}; one pass of warm-up"
    yield "training", f"held against {report.against}, the faster of VietOCR's ways"
    yield (
        "all on",
        f"vocr train with steps of {report.memory_lines} lines and light recomputation, and vocr infer as\n"
        "it is by default, on pre-scaled data; speed, CPU time and memory of one configuration, and of\n"
        "one that recomputes all",
    )
    if report.left_out:
        yield "left out", f"for want of memory: {', '.join(report.left_out)}"
    if report.accuracy is not None and report.accuracy_test is not None:
        test = report.accuracy_test
        yield (
            "accuracy",
            f"{report.accuracy[0].steps} steps of the same size, same seed and lines, from "
            f"{100 * test.start.value:.2f} % CER;\n{test.lines:,} lines, difference "
            f"{100 * test.difference.value:+.2f} points ({100 * test.difference.low:+.2f} to "
            f"{100 * test.difference.high:+.2f}, paired bootstrap)",
        )
