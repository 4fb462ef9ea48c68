"""vocr bench."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.options import ConfigOpt, Device, DeviceOpt, JsonOpt, Precision
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.bench.suites.claims import ClaimsReport
    from vocr_cli.core.bench.suites.data import DataReport
    from vocr_cli.core.bench.suites.infer import InferReport
    from vocr_cli.core.bench.suites.train import Effort, TrainReport

EXAMPLES = Path("examples/lines")


class Suite(StrEnum):
    """What is measured."""

    infer = "infer"
    train = "train"
    data = "data"
    claims = "claims"


class Peer(StrEnum):
    """Who is measured beside it."""

    tesseract = "tesseract"


SuiteArg = Annotated[Suite, typer.Argument(help="What to measure.", show_default=False)]
BenchModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Name of an embedded model, or a model file. train, claims: also ctc, a config of VietOCR's by "
        "name (vgg_transformer), or a YAML config.",
    ),
]
DataOpt = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        help="Lines: an annotation file, an LMDB; infer: also a folder, and labels give CERs; data: an LMDB. "
        "Default: infer reads examples/lines, train and claims render some.",
        show_default=False,
    ),
]
ThreadsOpt = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="Processors, for each side alike. Default: infer 1, others all.",
        show_default=False,
    ),
]
LimitOpt = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="Lines, at most: infer, of the data, 300; data, of a pass, 2,000.",
        show_default=False,
    ),
]
RoundsOpt = Annotated[
    int | None,
    typer.Option(
        "--rounds",
        min=1,
        help="Rounds that count; medians are shown. Default: infer 5, others 3.",
        show_default=False,
    ),
]
PrecisionsOpt = Annotated[
    list[Precision] | None,
    typer.Option(
        "--precision",
        help="infer: may be repeated. Default: all that model and hardware allow.",
        show_default=False,
    ),
]
AgainstOpt = Annotated[
    Peer | None,
    typer.Option("--against", help="infer: measure a peer too, in alternation.", show_default=False),
]
BatchOpt = Annotated[
    int | None,
    typer.Option("--batch-pixels", min=1, help="infer: pixels in a batch, at most.", show_default=False),
]
ScaledOpt = Annotated[
    Path | None,
    typer.Option(
        "--scaled", help="data: the same lines as `build-lmdb --fit` stores them.", show_default=False
    ),
]
WorkersOpt = Annotated[
    int | None, typer.Option("--workers", min=0, help="data: processes of the loader; 1.", show_default=False)
]
ValidOpt = Annotated[
    Path | None,
    typer.Option("--valid", help="claims: LMDB or annotation file to compare CERs on.", show_default=False),
]
StepsOpt = Annotated[
    int | None,
    typer.Option("--steps", min=1, help="claims: of the trainings for CERs; 200.", show_default=False),
]
ChartOpt = Annotated[
    Path | None, typer.Option("--chart", help="claims: draw the result, as .png.", show_default=False)
]
QuickOpt = Annotated[
    bool, typer.Option("--quick", help="train, claims: a trial run, whose numbers mean nothing.")
]


def command(
    suite: SuiteArg,
    model: BenchModelOpt = "vi-small",
    config: ConfigOpt = None,
    data: DataOpt = None,
    json_file: JsonOpt = None,
    threads: ThreadsOpt = None,
    limit: LimitOpt = None,
    precision: PrecisionsOpt = None,
    device: DeviceOpt = Device.auto,
    rounds: RoundsOpt = None,
    against: AgainstOpt = None,
    batch_pixels: BatchOpt = None,
    scaled: ScaledOpt = None,
    workers: WorkersOpt = None,
    valid: ValidOpt = None,
    steps: StepsOpt = None,
    chart: ChartOpt = None,
    quick: QuickOpt = False,
) -> None:
    """Measure speed, latency and memory on this machine.

    `infer` reads the same lines in each precision, each in a process of its own held to --threads processors,
    in alternating rounds: lines/s from file to text and of the model alone, latency of single lines, peak
    memory. Against Tesseract: one process over the same images, a margin added to each beforehand, its
    start-up taken off.

    `train` takes the real trainer's steps, the settings as they are and one changed at a time.

    `data` opens a database, plans an epoch, decodes and loads it: lines/s of each part, with and without the
    cache of decoded lines, and bytes read in an epoch.

    `claims` trains and reads VietOCR's way, with each optimisation alone, and with all of them, and says
    which promises are kept.
    """
    only_infer: dict[str, object] = {
        "--config": config, "--precision": precision, "--against": against, "--batch-pixels": batch_pixels,
    }  # fmt: skip
    only_data: dict[str, object] = {"--scaled": scaled, "--workers": workers}
    only_claims: dict[str, object] = {"--valid": valid, "--steps": steps, "--chart": chart}
    _refuse(suite, only_infer if suite != Suite.infer else {"--quick": quick or None})
    _refuse(suite, only_claims if suite != Suite.claims else {})
    _refuse(suite, only_data if suite != Suite.data else {"--quick": quick or None})
    _refuse(suite, {"--limit": limit} if suite not in (Suite.infer, Suite.data) else {})
    if steps is not None and valid is None:
        raise typer.BadParameter("--steps belongs to the accuracy, which needs --valid")
    report: InferReport | TrainReport | DataReport | ClaimsReport
    if suite == Suite.infer:
        precisions = tuple(dict.fromkeys(item.value for item in precision or ()))
        report = _infer(
            model, config, data or EXAMPLES, threads or 1, limit or 300, precisions, device.value,
            rounds or 5, against, batch_pixels,
        )  # fmt: skip
    elif suite == Suite.train:
        report = _train(model, data, device.value, threads or _cores(), _effort(quick, rounds))
    elif suite == Suite.data:
        if data is None:
            raise typer.BadParameter("`vocr bench data` needs --data LMDB")
        report = _data(model, data, scaled, workers, threads or _cores(), limit or 2000, rounds or 3)
    else:
        report = _claims(
            model, data, valid, device.value, threads or _cores(), steps or 200, _effort(quick, rounds), chart
        )
    if json_file is not None:
        _write_json(report, json_file)


def _refuse(suite: Suite, given: dict[str, object]) -> None:
    """Options that this suite has no use for."""
    for name, value in given.items():
        if value is not None and value != []:
            raise typer.BadParameter(f"{name} is not an option of `vocr bench {suite.value}`")


def _infer(
    model: str,
    config: str | None,
    data: Path,
    threads: int,
    limit: int,
    precisions: tuple[str, ...],
    device: str,
    rounds: int,
    against: Peer | None,
    batch_pixels: int | None,
) -> InferReport:
    from vocr_cli.core.bench.suites.infer import InferSettings, bench_infer
    from vocr_cli.core.inference.inputs.sources import load_data
    from vocr_cli.terminal.bench import show_infer

    settings = InferSettings(
        model, device, precisions, threads, batch_pixels, against == Peer.tesseract, rounds, config
    )
    report = bench_infer(
        load_data(data, limit), str(data), settings, lambda step: console.note(f"infer: {step}")
    )
    for problem in report.unreadable:
        console.warning(f"Left out: {problem}")
    show_infer(report)
    return report


def _train(model: str, data: Path | None, device: str, threads: int, effort: Effort) -> TrainReport:
    from vocr_cli.core.bench.suites.train import TrainSettings, bench_train
    from vocr_cli.terminal.bench import show_train

    settings = TrainSettings(model, data, device, threads, effort)
    report = bench_train(settings, lambda step: console.note(f"train: {step}"))
    show_train(report)
    return report


def _data(
    model: str, data: Path, scaled: Path | None, workers: int | None, threads: int, lines: int, rounds: int
) -> DataReport:
    from vocr_cli.core.bench.suites.data import DataSettings, bench_data
    from vocr_cli.terminal.bench import show_data

    settings = DataSettings(model, data, scaled, 1 if workers is None else workers, threads, lines, rounds)
    report = bench_data(settings, lambda step: console.note(f"data: {step}"))
    show_data(report)
    return report


def _claims(
    model: str,
    data: Path | None,
    valid: Path | None,
    device: str,
    threads: int,
    steps: int,
    effort: Effort,
    chart: Path | None,
) -> ClaimsReport:
    from vocr_cli.core.bench.suites.claims import ClaimSettings, bench_claims
    from vocr_cli.terminal.bench import show_claims

    settings = ClaimSettings(model, data, valid, device, threads, steps, effort)
    report = bench_claims(settings, lambda step: console.note(f"claims: {step}"))
    show_claims(report)
    if chart is not None:
        from vocr_cli.core.bench.suites.claims_chart import save_chart

        save_chart(report, chart)
    return report


def _effort(trial: bool, rounds: int | None) -> Effort:
    from vocr_cli.core.bench.suites.train import Effort, quick

    return quick(rounds or 1) if trial else Effort(rounds=rounds or 3)


def _cores() -> int:
    from vocr_cli.core.machine.hardware import read_hardware

    return read_hardware(torch_facts=False).cores


def _write_json(report: InferReport | TrainReport | DataReport | ClaimsReport, path: Path) -> None:
    from vocr_cli.core.errors import DataError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}.", "Name another file with --json."
        ) from None
