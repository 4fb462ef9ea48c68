"""vocr bench."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli import console
from vocr_cli.options import ConfigOpt, Device, DeviceOpt, JsonOpt, ModelOpt, Precision

if TYPE_CHECKING:
    from vocr_cli.core.bench.measure import Spread
    from vocr_cli.core.bench.suites import InferReport, PrecisionResult
    from vocr_cli.core.metrics import Estimate

EXAMPLES = Path("examples/lines")


class Suite(StrEnum):
    """What is measured."""

    infer = "infer"


class Peer(StrEnum):
    """Who is measured beside it."""

    tesseract = "tesseract"


SuiteArg = Annotated[Suite, typer.Argument(help="What to measure.", show_default=False)]
DataOpt = Annotated[
    Path, typer.Option("--data", "-d", help="Lines: an annotation file, a folder, an LMDB; labels give CERs.")
]
ThreadsOpt = Annotated[int, typer.Option("--threads", min=1, help="Processors, for each side alike.")]
LimitOpt = Annotated[int, typer.Option("--limit", min=1, help="Lines, at most.")]
RoundsOpt = Annotated[int, typer.Option("--rounds", min=1, help="Passes that count; medians are shown.")]
PrecisionsOpt = Annotated[
    list[Precision] | None,
    typer.Option(
        "--precision", help="May be repeated. Default: all that model and hardware allow.", show_default=False
    ),
]
AgainstOpt = Annotated[
    Peer | None, typer.Option("--against", help="Measure a peer too, in alternation.", show_default=False)
]
BatchOpt = Annotated[
    int | None, typer.Option("--batch-pixels", min=1, help="Pixels in a batch, at most.", show_default=False)
]


def command(
    suite: SuiteArg,
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    data: DataOpt = EXAMPLES,
    json_file: JsonOpt = None,
    threads: ThreadsOpt = 1,
    limit: LimitOpt = 300,
    precision: PrecisionsOpt = None,
    device: DeviceOpt = Device.auto,
    rounds: RoundsOpt = 5,
    against: AgainstOpt = None,
    batch_pixels: BatchOpt = None,
) -> None:
    """Measure speed, latency and memory on this machine.

    `infer` reads the same lines in each precision, each in a process of its own held to --threads processors,
    in alternating rounds: lines/s from file to text and of the model alone, latency of single lines, peak
    memory. Against Tesseract: one process over the same images, a margin added to each beforehand, its
    start-up taken off.
    """
    from vocr_cli.core.bench.suites import InferSettings, bench_infer
    from vocr_cli.core.inference.sources import load_data

    precisions = tuple(dict.fromkeys(item.value for item in precision or ()))
    settings = InferSettings(
        model, device.value, precisions, threads, batch_pixels, against == Peer.tesseract, rounds, config
    )
    report = bench_infer(
        load_data(data, limit), str(data), settings, lambda step: console.note(f"{suite}: {step}")
    )
    for problem in report.unreadable:
        console.warning(f"Left out: {problem}")
    _show(report)
    if json_file is not None:
        _write_json(report, json_file)


def _show(report: InferReport) -> None:
    machine, facts = report.machine, report.precisions[0].facts
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
    held = "held to as many processors" if report.pinned else "not held to processors"
    rows = [
        ("machine", ", ".join(filter(None, (machine.cpu_model, f"{machine.cores} core(s)", machine.gpu)))),
        ("threads", f"{report.threads}, {held}"),
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
    return f"{value.low:.0f}–{value.high:.0f}"


def _rate(value: Estimate | None) -> tuple[str, str]:
    """Per cent, and its interval."""
    if value is None:
        return "", ""
    return f"{100 * value.value:.2f}", f"{100 * value.low:.2f}–{100 * value.high:.2f}"


def _memory(resident_mb: float | None, cuda_mb: float | None) -> str:
    shown = "?" if resident_mb is None else f"{resident_mb:.0f}"
    return shown if cuda_mb is None else f"{shown} + {cuda_mb:.0f} GPU"


def _write_json(report: InferReport, path: Path) -> None:
    from vocr_cli.core.errors import DataError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}.", "Name another file with --json."
        ) from None
