"""vocr bench infer, train, data and claims."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vocr_cli.bench_options import (
    AccuracyStepsOpt,
    AgainstOpt,
    AllThreadsOpt,
    ChartOpt,
    DatabaseOpt,
    InstallOpt,
    LimitOpt,
    LinesOpt,
    LoadersOpt,
    ModelFileOpt,
    ModelOrConfigOpt,
    Peer,
    PrecisionsOpt,
    QuickOpt,
    RoundsOpt,
    ScaledOpt,
    TrainingLinesOpt,
    TrainRoundsOpt,
    ValidOpt,
)
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.label_options import with_label_options
from vocr_cli.options import Device, DeviceOpt, JsonOpt
from vocr_cli.terminal import console
from vocr_cli.terminal.documents import write_json
from vocr_cli.verbosity import with_verbosity

if TYPE_CHECKING:
    from vocr_cli.core.bench.measure import BenchBudget, BenchReport, OnMessage

group = typer.Typer(
    no_args_is_help=True,
    help="Measure speed, latency and memory on this machine.",
    epilog="Example: vocr bench infer",
)


@group.command(epilog="Example: vocr bench infer --data examples/lines --against all --install")
@with_verbosity
@with_label_options
def infer(
    model: ModelFileOpt = "vi-small",
    data: LinesOpt = None,
    *,
    labels: SourceOptions,
    limit: LimitOpt = 300,
    precision: PrecisionsOpt = None,
    device: DeviceOpt = Device.auto,
    threads: AllThreadsOpt = None,
    against: AgainstOpt = None,
    install: InstallOpt = False,
    json_file: JsonOpt = None,
) -> None:
    """Measure reading: lines/s in each precision, latency, peak memory; whole processes beside peers'."""
    if install and against is None:
        raise typer.BadParameter("It installs what --against names.", param_hint="--install")
    from vocr_cli.core.bench.inputs import PACKAGED_LINES_NAME, packaged_lines
    from vocr_cli.core.bench.suites.infer import InferSettings, bench_infer
    from vocr_cli.core.inference.inputs.sources import load_data
    from vocr_cli.terminal.bench import show_infer
    from vocr_cli.terminal.bench_peers import show_peers

    settings = InferSettings(
        model=model,
        device=device.value,
        precisions=tuple(dict.fromkeys(item.value for item in precision or ())),
        threads=threads or _cores(),
        against=_peers(against),
        install=install,
    )
    lines = load_data(data or packaged_lines(), limit, labels)
    report = bench_infer(lines, str(data or PACKAGED_LINES_NAME), settings, _notes_of("infer"))
    for problem in report.unreadable:
        console.warning(f"Left out: {problem}")
    show_infer(report)
    if report.peers is not None:
        show_peers(report.peers)
    _write_json(report, json_file)


@group.command(epilog="Example: vocr bench train --model vgg_transformer --data train.lmdb")
@with_verbosity
@with_label_options
def train(
    model: ModelOrConfigOpt = "vi-small",
    data: TrainingLinesOpt = None,
    *,
    labels: SourceOptions,
    device: DeviceOpt = Device.auto,
    threads: AllThreadsOpt = None,
    rounds: TrainRoundsOpt = None,
    quick: QuickOpt = False,
    json_file: JsonOpt = None,
) -> None:
    """Measure training: the real steps, with the settings as they are and one changed at a time."""
    need_torch("vocr bench train")
    from vocr_cli.core.bench.suites.train import TrainSettings, bench_train
    from vocr_cli.terminal.bench import show_train

    settings = TrainSettings(
        model=model,
        data=data,
        labels=labels,
        device=device.value,
        threads=threads or _cores(),
        budget=_budget(quick, rounds),
    )
    report = bench_train(settings, _notes_of("train"))
    show_train(report)
    _write_json(report, json_file)


@group.command(epilog="Example: vocr bench data --data train.lmdb --scaled fitted.lmdb")
@with_verbosity
@with_label_options
def data(
    model: ModelOrConfigOpt = "vi-small",
    data: DatabaseOpt = None,
    *,
    labels: SourceOptions,
    scaled: ScaledOpt = None,
    workers: LoadersOpt = 1,
    threads: AllThreadsOpt = None,
    limit: LimitOpt = 2000,
    rounds: RoundsOpt = 3,
    json_file: JsonOpt = None,
) -> None:
    """Measure loading: opening, planning, decoding, the loader with and without its cache, bytes read."""
    need_torch("vocr bench data")
    from vocr_cli.core.bench.suites.data import DataSettings, bench_data
    from vocr_cli.terminal.bench import show_data

    settings = DataSettings(
        model=model,
        data=data,
        labels=labels,
        scaled=scaled,
        workers=workers,
        threads=threads or _cores(),
        lines=limit,
        rounds=rounds,
    )
    report = bench_data(settings, _notes_of("data"))
    show_data(report)
    _write_json(report, json_file)


@group.command(epilog="Example: vocr bench claims --valid valid/labels.tsv --chart claims.png")
@with_verbosity
@with_label_options
def claims(
    model: ModelOrConfigOpt = "vi-small",
    data: TrainingLinesOpt = None,
    *,
    labels: SourceOptions,
    valid: ValidOpt = None,
    device: DeviceOpt = Device.auto,
    threads: AllThreadsOpt = None,
    accuracy_steps: AccuracyStepsOpt = None,
    chart: ChartOpt = None,
    quick: QuickOpt = False,
    json_file: JsonOpt = None,
) -> None:
    """Hold each promise against VietOCR's way of training and reading, measured in turns.

    Each is met, missed or not measured; a trial run with --quick judges none.
    """
    _check_chart(chart)
    need_torch("vocr bench claims")
    from vocr_cli.core.bench.suites.claims import bench_claims
    from vocr_cli.core.bench.suites.claims_ways import ClaimSettings
    from vocr_cli.terminal.bench_claims import show_claims

    settings = ClaimSettings(
        model=model,
        data=data,
        labels=labels,
        valid=valid,
        device=device.value,
        threads=threads or _cores(),
        budget=_claims_budget(quick, accuracy_steps),
    )
    report = bench_claims(settings, _notes_of("claims"))
    show_claims(report)
    if chart is not None:
        from vocr_cli.core.bench.suites.claims_chart import save_chart

        save_chart(report, chart)
    _write_json(report, json_file)


def _budget(quick: bool, rounds: int | None = None) -> BenchBudget:
    from vocr_cli.core.bench.measure import QUICK_BUDGET, BenchBudget

    budget = QUICK_BUDGET if quick else BenchBudget()
    return budget if rounds is None else replace(budget, rounds=rounds)


def _claims_budget(quick: bool, accuracy_steps: int | None) -> BenchBudget:
    budget = _budget(quick)
    return budget if quick or accuracy_steps is None else replace(budget, accuracy_steps=accuracy_steps)


def _peers(against: Peer | None) -> tuple[str, ...]:
    if against is None:
        return ()
    return tuple(peer.value for peer in Peer if peer != Peer.all and against in (peer, Peer.all))


def _notes_of(suite: str) -> OnMessage:
    return lambda message: console.note(f"{suite}: {message}")


def _cores() -> int:
    from vocr_cli.core.machine.hardware import read_hardware

    return read_hardware(torch_facts=False).cores


def _check_chart(chart: Path | None) -> None:
    """Refuses a picture that could not be written after minutes of measuring."""
    if chart is not None and (chart.suffix.lower() != ".png" or chart.is_dir()):
        raise typer.BadParameter(f"Name a file that ends in .png, not {chart}.", param_hint="--chart")


def _write_json(report: BenchReport, path: Path | None) -> None:
    """Write the report as one document, where a file is named for it."""
    if path is not None:
        write_json(path, report.to_json())
