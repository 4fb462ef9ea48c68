"""The tables of `vocr bench infer --against`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocr_cli.terminal import console
from vocr_cli.terminal.bench import percent_cells, show_rate

if TYPE_CHECKING:
    from vocr_cli.core.bench.suites.peers import ContestantResult, PeersReport


def show_peers(report: PeersReport) -> None:
    """Show whole processes, then what remains without their start, then how each was run."""
    console.table(
        f"Whole processes that read {report.lines:,} lines, start included",
        ("", "lines/s", "CPU ms\na line", "start\ns", "start\nCPU s", "peak\nMB", "CER %", "interval"),
        map(_whole_row, report.contestants),
    )
    console.table(
        "The same without their start: what all lines took more than one line",
        ("", "lines/s", "CPU ms a line"),
        map(_steady_row, report.contestants),
    )
    rows = [(one.version, "\n".join((one.setting, *_tried(one)))) for one in report.contestants]
    rows += [
        ("rounds", f"{report.rounds}, in turns, after one that does not count; medians"),
        ("settings", f"the best by CER on the first {report.choosing_lines:,} lines"),
    ]
    console.facts("Whole processes", rows)


def _whole_row(row: ContestantResult) -> tuple[str, ...]:
    return (
        row.name,
        show_rate(row.lines_per_s.median),
        f"{1000 * row.cpu_s_per_line.median:.1f}",
        f"{row.start_s.median:.2f}",
        f"{row.start_cpu_s.median:.2f}",
        f"{row.peak_memory_mb:.0f}",
        *percent_cells(row.cer),
    )


def _steady_row(row: ContestantResult) -> tuple[str, ...]:
    cpu_s = row.steady_cpu_s_per_line
    return (
        row.name,
        "?" if row.steady_lines_per_s is None else show_rate(row.steady_lines_per_s),
        "?" if cpu_s is None else f"{1000 * cpu_s:.2f}",
    )


def _tried(row: ContestantResult) -> list[str]:
    """Return the CER of each setting, where there was a choice between labelled ones."""
    known = [(one.name, one.cer) for one in row.tried if one.cer is not None]
    return [f"{name}: {100 * cer:.2f} %" for name, cer in known] if len(row.tried) > 1 else []
