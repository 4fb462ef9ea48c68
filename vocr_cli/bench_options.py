"""Command-line types of the benchmarks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vocr_cli.options import INPUT, MACHINE, OUTPUT, READING, Precision

PEERS, MEASURING, MODEL = "Peers", "Measuring", "Model"


class Peer(StrEnum):
    """Who is measured beside us."""

    tesseract = "tesseract"
    trueocr = "trueocr"
    rapidocr = "rapidocr"
    all = "all"


ModelFileOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        rich_help_panel=READING,
        help="Embedded model, or model file (a .pth with its YAML beside it).",
    ),
]
ModelOrConfigOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        rich_help_panel=MODEL,
        help="Model, ctc, a config of VietOCR's (vgg_transformer), or a YAML.",
    ),
]
LinesOpt = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        metavar="DATA",
        rich_help_panel=INPUT,
        help="Lines of any kind; labels give CERs. Default: the package's lines.",
        show_default=False,
    ),
]
TrainingLinesOpt = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        metavar="DATA",
        rich_help_panel=INPUT,
        help="Labelled lines of any kind. Default: rendered.",
        show_default=False,
    ),
]
DatabaseOpt = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        metavar="DATA",
        rich_help_panel=INPUT,
        help="Labelled lines of any kind. Default: rendered, raw and pre-scaled.",
        show_default=False,
    ),
]
ScaledOpt = Annotated[
    Path | None,
    typer.Option(
        "--scaled",
        metavar="LMDB",
        rich_help_panel=INPUT,
        help="LMDB of the same lines that `build-lmdb --fit` made.",
        show_default=False,
    ),
]
LimitOpt = Annotated[
    int, typer.Option("--limit", metavar="N", rich_help_panel=INPUT, min=1, help="Lines of a pass, at most.")
]
PrecisionsOpt = Annotated[
    list[Precision] | None,
    typer.Option(
        "--precision",
        metavar="FORMAT",
        rich_help_panel=READING,
        help="fp32, bf16, fp16 or int8; may be repeated. Default: all that can be had.",
        show_default=False,
    ),
]
AllThreadsOpt = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        rich_help_panel=MACHINE,
        min=1,
        help="Processors, for each side alike. Default: all.",
        show_default=False,
    ),
]
LoadersOpt = Annotated[
    int,
    typer.Option("--workers", metavar="N", rich_help_panel=MACHINE, min=0, help="Processes of the loader."),
]
AgainstOpt = Annotated[
    Peer | None,
    typer.Option(
        "--against",
        metavar="PEER",
        rich_help_panel=PEERS,
        help="Compare whole processes with a peer's, in turns: tesseract, trueocr, rapidocr or all.",
        show_default=False,
    ),
]
InstallOpt = Annotated[
    bool,
    typer.Option(
        "--install",
        rich_help_panel=PEERS,
        help="Install missing peers from PyPI, each in a folder of its own.",
    ),
]
RoundsOpt = Annotated[
    int,
    typer.Option(
        "--rounds",
        metavar="N",
        rich_help_panel=MEASURING,
        min=1,
        help="Rounds that count; medians are shown.",
    ),
]
TrainRoundsOpt = Annotated[
    int | None,
    typer.Option(
        "--rounds",
        metavar="N",
        rich_help_panel=MEASURING,
        min=1,
        help="Rounds that count. Default: 3, with --quick 1.",
        show_default=False,
    ),
]
ValidOpt = Annotated[
    Path | None,
    typer.Option(
        "--valid",
        metavar="DATA",
        rich_help_panel=INPUT,
        help="Labelled lines to compare CERs on. Default: none.",
        show_default=False,
    ),
]
AccuracyStepsOpt = Annotated[
    int | None,
    typer.Option(
        "--accuracy-steps",
        metavar="N",
        rich_help_panel=MEASURING,
        min=1,
        help="Steps of the trainings whose CERs are compared. Default: 200.",
        show_default=False,
    ),
]
ChartOpt = Annotated[
    Path | None,
    typer.Option(
        "--chart",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Draw the result, as .png.",
        show_default=False,
    ),
]
QuickOpt = Annotated[
    bool, typer.Option("--quick", rich_help_panel=MEASURING, help="A trial run, whose numbers mean nothing.")
]
