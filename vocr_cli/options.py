"""Command-line types that more than one command uses, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


def flowing_help(command: Callable[..., None]) -> str:
    """A command's docstring with each paragraph in one line, for Typer to break at the terminal's width.

    Typer itself joins the lines of the first paragraph alone, and keeps the breaks of the others.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """Number format of the model."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Runtime(StrEnum):
    """What computes."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    openvino = "openvino"
    torch = "torch"


READING, MACHINE, OUTPUT, INPUT = "Reading", "Machine", "Output", "Input"
"""Headings of options in help pages."""

ModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Name of an embedded model, or a model file.",
        rich_help_panel=READING,
    ),
]
ConfigOpt = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="VietOCR's YAML of a .pth model, or a name such as vgg_transformer. Default: one beside it.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
BeamOpt = Annotated[
    int,
    typer.Option(
        "--beam",
        min=1,
        metavar="N",
        help="Readings weighed against each other; 1: the first guess.",
        rich_help_panel=READING,
    ),
]
LmOpt = Annotated[
    str,
    typer.Option(
        "--lm",
        metavar="auto|none|FILE",
        help="Language model for doubtful lines; auto: MODEL.lm beside a CTC model, or vi for embedded "
        "models and what is trained from them.",
        rich_help_panel=READING,
    ),
]
SecondLookOpt = Annotated[
    bool | None,
    typer.Option(
        "--second-look/--no-second-look",
        help="Read doubtful lines again, stretched, and weigh both readings. Default: with a language model.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
DeviceOpt = Annotated[
    Device,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where the model runs: auto, cpu, cuda or mps.",
        rich_help_panel=MACHINE,
    ),
]
PrecisionOpt = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="FORMAT",
        help="Number format of the model: auto, fp32, bf16, fp16 or int8.",
        rich_help_panel=MACHINE,
    ),
]
RuntimeOpt = Annotated[
    Runtime,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="What computes: onnxruntime, openvino or torch; auto: what is done soonest with so many lines.",
        rich_help_panel=MACHINE,
    ),
]
ThreadsOpt = Annotated[
    int,
    typer.Option(
        "--threads", min=0, metavar="N", help="Processors to use; 0: all cores.", rich_help_panel=MACHINE
    ),
]
WorkersOpt = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Workers that prepare lines ahead; 0: as many as the cores allow.",
        rich_help_panel=MACHINE,
    ),
]
FirstPageOpt = Annotated[
    bool,
    typer.Option(
        "--first-page",
        help="Of multi-page TIFF and of animations take the first page alone.",
        rich_help_panel=INPUT,
    ),
]
JsonOpt = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Write the result as one JSON document; -: to stdout, and what people read to stderr.",
        rich_help_panel=OUTPUT,
    ),
]
SeedOpt = Annotated[
    int, typer.Option("--seed", min=0, max=(1 << 63) - 1, metavar="N", help="Same seed, same result.")
]
