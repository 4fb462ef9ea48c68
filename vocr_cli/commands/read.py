"""`vocr read`: the text of pages."""

from __future__ import annotations

import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.options import (
    INPUT,
    MACHINE,
    OUTPUT,
    READING,
    BeamOpt,
    ConfigOpt,
    Device,
    DeviceOpt,
    LmOpt,
    ModelOpt,
    Precision,
    PrecisionOpt,
    Runtime,
    RuntimeOpt,
    ThreadsOpt,
)
from vocr_cli.terminal import console
from vocr_cli.terminal.unreadable import show_unreadable

if TYPE_CHECKING:
    from vocr_cli.core.pages.run import ReadPagesRequest, ReadPagesRun

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
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


PagesArg = Annotated[
    list[Path],
    typer.Argument(metavar="PAGES...", help="Images, PDFs, folders of them.", show_default=False),
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
        help="txt; md: paragraphs joined; jsonl: everything; tsv: a row for each line; hocr, alto, page: XML; "
        "pdf: searchable.",
        rich_help_panel=OUTPUT,
    ),
]
DetectorOpt = Annotated[
    DetectorChoice,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="What finds the lines: rapidocr, tesseract, or layout: files that give them; auto: what is installed.",
        rich_help_panel=READING,
    ),
]
DpiOpt = Annotated[
    int,
    typer.Option("--dpi", min=50, max=600, metavar="N", help="Resolution that PDFs are drawn at.", rich_help_panel=INPUT),
]
ResumeOpt = Annotated[
    bool,
    typer.Option("--resume", help="Go on where an interrupted run with this --out was.", rich_help_panel=LONG_RUNS),
]
OverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace documents that are there.", rich_help_panel=OUTPUT)
]
ErrorsOpt = Annotated[
    Path | None,
    typer.Option("--errors", metavar="FILE", help="List unreadable pages here: path, tab, reason.", rich_help_panel=OUTPUT),
]
WorkersOpt = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Processes that open pages and find lines; 0: one for each processor.",
        rich_help_panel=MACHINE,
    ),
]


def command(
    pages: PagesArg,
    out: OutOpt = None,
    page_format: FormatOpt = PageFormat.txt,
    detector: DetectorOpt = DetectorChoice.auto,
    dpi: DpiOpt = 200,
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    threads: ThreadsOpt = 0,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    workers: WorkersOpt = 0,
    errors: ErrorsOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
) -> None:
    """Read the text of pages: scans, photographs, PDFs.

    Lines are found by a detector, read, and put in reading order. Exit code 3: some pages could not be read;
    --errors lists them.
    """
    from vocr_cli.core.pages.run import ReadPagesRequest, RecognizerOptions

    recognizer = RecognizerOptions(
        model=model, config=config, precision=precision.value, runtime=runtime.value, threads=threads or None,
        beam=beam, language_model=lm,
    )  # fmt: skip
    request = ReadPagesRequest(
        paths=pages, recognizer=recognizer, device=device.value,
        detector=None if detector == DetectorChoice.auto else detector.value, dpi=dpi, workers=workers,
        out=out, format=page_format.value, resume=resume,
    )  # fmt: skip
    _read(request, errors)


def _read(request: ReadPagesRequest, errors: Path | None) -> None:
    from vocr_cli.core.pages.run import documents_of, start_reading_pages

    documents = documents_of(request)
    run = start_reading_pages(request, documents, console.note)
    began = time.monotonic()
    try:
        _show_pages(run, request)
    except BrokenPipeError:
        console.drop_readings()
        raise typer.Exit() from None
    except KeyboardInterrupt:
        goes_on = "; --resume goes on from there" if request.out else ""
        console.note(f"Interrupted after {run.tally.pages:,} pages{goes_on}.")
        raise typer.Exit(INTERRUPTED) from None
    _report(run, errors, time.monotonic() - began)


def _show_pages(run: ReadPagesRun, request: ReadPagesRequest) -> None:
    """Takes all pages, shows progress, and on stdout the text where it goes to no folder."""
    from vocr_cli.core.pages.outputs.formats import page_text

    with console.progress("Reading", None, "pages") as progress, closing(run.pages()) as pages:
        shown = 0
        for page in pages:
            progress.advance()
            if request.out is None and not page.error:
                for text in page_text(page, request.format, request.options, shown):
                    console.reading(text)
                shown += 1
    if request.out is None:
        console.flush_readings()


def _report(run: ReadPagesRun, errors: Path | None, seconds: float) -> None:
    """Shows the summary on stderr; exit code 3 where pages could not be read."""
    tally = run.tally
    now = tally.pages - run.resumed
    console.note(f"Read {tally.pages:,} pages, {tally.lines:,} lines{console.speed(now, seconds)}.")
    if not tally.unreadable:
        return
    listed = f"all are in {errors}" if errors else "--errors FILE lists all"
    show_unreadable(
        f"{tally.unreadable:,} of {tally.pages:,} pages could not be read",
        tally.unreadable,
        tally.reasons,
        tally.remedies,
        listed,
    )
    raise typer.Exit(3)
