"""The options of `vocr read`, each declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vocr_cli.options import INPUT, MACHINE, OUTPUT, READING
from vocr_cli.reading_options import Engine

LONG_RUNS = "Long runs"


class PageFormat(StrEnum):
    """Format of the documents."""

    txt = "txt"
    md = "md"
    jsonl = "jsonl"
    tsv = "tsv"
    hocr = "hocr"
    alto = "alto"
    page = "page"
    pdf = "pdf"


class DetectorChoice(StrEnum):
    """What finds the lines."""

    auto = "auto"
    rapidocr = "rapidocr"
    tesseract = "tesseract"
    layout = "layout"


class Hyphens(StrEnum):
    """What becomes of hyphens at the ends of lines."""

    keep = "keep"
    taken = "join"


ONE_AT_A_TIME = (PageFormat.hocr, PageFormat.alto, PageFormat.page)
"""Formats of which stdout can hold one document."""

PagesArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="PAGES...",
        help="Images, PDFs, folders of them; files that give lines: PAGE XML, ALTO, hOCR, Label.txt, COCO, "
        "YOLO.",
        show_default=False,
    ),
]
OutOpt = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Write a file for each document here instead of to stdout.",
        rich_help_panel=OUTPUT,
    ),
]
FormatOpt = Annotated[
    PageFormat,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="txt; md: paragraphs joined; jsonl: everything; tsv: a row for each line; hocr; alto; page: "
        "PAGE XML; pdf: searchable.",
        rich_help_panel=OUTPUT,
    ),
]
DetectorOpt = Annotated[
    DetectorChoice,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="What finds the lines: rapidocr; tesseract; layout: files that give them; auto: the best "
        "that is installed.",
        rich_help_panel=READING,
    ),
]
DpiOpt = Annotated[
    int,
    typer.Option(
        "--dpi",
        min=50,
        max=600,
        metavar="N",
        help="Resolution that PDFs are drawn at.",
        rich_help_panel=INPUT,
    ),
]
TextLayerOpt = Annotated[
    bool,
    typer.Option(
        "--text-layer",
        help="Take the text that a page of a PDF holds as it is; read the pages that hold none.",
        rich_help_panel=INPUT,
    ),
]
LinesOpt = Annotated[
    Path | None,
    typer.Option(
        "--lines",
        metavar="FOLDER",
        help="Leave pictures of the lines here, and labels.tsv with what they say: to correct and train on.",
        rich_help_panel=OUTPUT,
    ),
]
ResumeOpt = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on where an interrupted run with this --out was, and pass by documents that are there.",
        rich_help_panel=LONG_RUNS,
    ),
]
OverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace documents that are there.", rich_help_panel=OUTPUT)
]
JoinOpt = Annotated[
    bool,
    typer.Option(
        "--join-lines",
        help="Write each paragraph of plain text as one line.",
        rich_help_panel=OUTPUT,
    ),
]
HyphensOpt = Annotated[
    Hyphens,
    typer.Option(
        "--hyphens",
        help="Where lines are joined: keep a hyphen at a line's end, or join the word's two parts.",
        rich_help_panel=OUTPUT,
    ),
]
ShardOpt = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Read every N-th document from the I-th on, I from 1: for job arrays.",
        rich_help_panel=LONG_RUNS,
    ),
]
EngineOpt = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="ray: pages are read all over the Ray cluster at RAY_ADDRESS, or one started here.",
        rich_help_panel=MACHINE,
    ),
]
CacheOpt = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Keep pages here, and read none twice, whatever its name.",
        rich_help_panel=LONG_RUNS,
    ),
]
CacheLimitOpt = Annotated[
    float,
    typer.Option(
        "--cache-limit",
        metavar="GB",
        help="The cache's size at most, GB; the oldest go first.",
        rich_help_panel=LONG_RUNS,
    ),
]
ErrorsOpt = Annotated[
    Path | None,
    typer.Option(
        "--errors",
        metavar="FILE",
        help="List unreadable pages here: path, tab, reason.",
        rich_help_panel=OUTPUT,
    ),
]
WorkersOpt = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Processes that open pages and find lines; 0: one for each processor. With --engine ray: "
        "actors; 0: one for every GPU, or every core.",
        rich_help_panel=MACHINE,
    ),
]
