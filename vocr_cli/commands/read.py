"""`vocr read`: the text of pages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vocr_cli.core.errors import EXIT_INTERRUPTED
from vocr_cli.core.machine.atomic_write import write_report
from vocr_cli.core.machine.files.output_place import require_writable
from vocr_cli.options import (
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
    SecondLookOpt,
    ThreadsOpt,
)
from vocr_cli.page_options import (
    ONE_AT_A_TIME,
    CacheLimitOpt,
    CacheOpt,
    DetectorChoice,
    DetectorOpt,
    DpiOpt,
    EngineOpt,
    ErrorsOpt,
    FormatOpt,
    Hyphens,
    HyphensOpt,
    JoinOpt,
    LinesOpt,
    OutOpt,
    OverwriteOpt,
    PageFormat,
    PagesArg,
    ResumeOpt,
    ShardOpt,
    TextLayerOpt,
    WorkersOpt,
)
from vocr_cli.reading_options import Engine, shard_of
from vocr_cli.terminal import console
from vocr_cli.terminal.documents import STDOUT
from vocr_cli.terminal.unreadable import show_unreadable

if TYPE_CHECKING:
    from vocr_cli.core.pages.inputs.documents import Document
    from vocr_cli.core.pages.request import ReadPagesRequest
    from vocr_cli.core.pages.run import ReadPagesRun


def command(
    pages: PagesArg,
    out: OutOpt = None,
    page_format: FormatOpt = PageFormat.txt,
    detector: DetectorOpt = DetectorChoice.auto,
    dpi: DpiOpt = 200,
    text_layer: TextLayerOpt = False,
    join_lines: JoinOpt = False,
    hyphens: HyphensOpt = Hyphens.keep,
    lines: LinesOpt = None,
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    threads: ThreadsOpt = 0,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    second_look: SecondLookOpt = None,
    workers: WorkersOpt = 0,
    errors: ErrorsOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    shard: ShardOpt = "",
    cache: CacheOpt = None,
    cache_limit: CacheLimitOpt = 1.0,
    engine: EngineOpt = Engine.local,
) -> None:
    """Read the text of pages: scans, photographs, PDFs.

    Lines are found by a detector, read, and put in reading order. With --out, each document appears when all
    its pages are read, and --resume goes on after an interruption; documents that are there are passed by.
    Exit code 3: some pages could not be read; --errors lists them.
    """
    shard_index, shard_count = shard_of(shard)
    if errors is not None:
        require_writable(errors)
    from vocr_cli.core.inference.recognizer_options import RecognizerOptions
    from vocr_cli.core.pages.outputs.formats import FormatOptions
    from vocr_cli.core.pages.outputs.text import TextOptions
    from vocr_cli.core.pages.request import ReadPagesRequest

    recognizer = RecognizerOptions(
        model=model, config=config, precision=precision.value, runtime=runtime.value, threads=threads or None,
        beam=beam, language_model=lm, second_look=second_look,
    )  # fmt: skip
    request = ReadPagesRequest(
        paths=pages, recognizer=recognizer, device=device.value,
        detector=detector.value, dpi=dpi, workers=workers,
        text_layer=text_layer, lines=lines, out=None if out == STDOUT else out, format=page_format.value,
        options=FormatOptions(TextOptions(join_lines, hyphens.value), dpi),
        cache=cache, cache_bytes=int(cache_limit * 2**30), engine=engine.value,
        resume=resume, overwrite=overwrite, shard_index=shard_index, shard_count=shard_count,
    )  # fmt: skip
    _read(request, errors)


def _read(request: ReadPagesRequest, errors: Path | None) -> None:
    from vocr_cli.core.pages.request import documents_of

    documents = documents_of(request)
    _check(request, documents)
    from vocr_cli.core.pages.run import start_reading_pages

    run = start_reading_pages(request, documents, console.note)
    began = time.monotonic()
    try:
        _show_pages(run, request)
    except BrokenPipeError:
        console.drop_readings()
        raise typer.Exit() from None
    except KeyboardInterrupt:
        goes_on = "; --resume goes on from there" if request.out else ""
        console.note(f"Interrupted after {_counted(run.tally.pages, 'page')}{goes_on}.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _report(run, errors, time.monotonic() - began)


def _check(request: ReadPagesRequest, documents: Sequence[Document]) -> None:
    """Refuses what contradicts itself, could not be written, or would be lost."""
    from vocr_cli.core.pages.request import existing_output

    if request.out is None:
        if request.resume or request.lines or request.format == PageFormat.pdf:
            hint = "--resume" if request.resume else "--lines" if request.lines else "--format pdf"
            raise typer.BadParameter("It needs --out FOLDER.", param_hint=hint)
        if request.format in ONE_AT_A_TIME and len(documents) > 1:
            text = f"Several documents of {request.format} need --out FOLDER: each is a file of its own."
            raise typer.BadParameter(text, param_hint="--format")
        return
    if request.resume and request.overwrite:
        raise typer.BadParameter("It contradicts --overwrite.", param_hint="--resume")
    if request.out.is_file():
        text = f"{request.out} is a file. Name a folder: each document becomes a file in it."
        raise typer.BadParameter(text, param_hint="--out")
    if not (request.resume or request.overwrite) and (file := existing_output(request, documents)):
        text = f"{file} is there. --overwrite replaces it; --resume passes by what is there."
        hint = "--lines" if request.lines is not None and file.parent == request.lines else "--out"
        raise typer.BadParameter(text, param_hint=hint)


def _show_pages(run: ReadPagesRun, request: ReadPagesRequest) -> None:
    """Takes all pages, shows progress, and on stdout the text where it goes to no folder."""
    from vocr_cli.core.pages.outputs.formats import document_end, document_start, page_text

    with console.progress("Reading", None, "pages") as progress, closing(run.pages(progress.expect)) as pages:
        shown, form = 0, request.format
        if request.out is None:
            console.reading(document_start(form))
        for page in pages:
            progress.advance(also=_counted(run.tally.lines, "line"))
            if request.out is None and not page.error:
                for text in page_text(page, form, request.options, shown):
                    console.reading(text)
                shown += 1
        if request.out is None:
            console.reading(document_end(form))
            console.flush_readings()


def _report(run: ReadPagesRun, errors: Path | None, seconds: float) -> None:
    """Shows the summary on stderr; exit code 3 where pages could not be read."""
    tally = run.tally
    if run.kept_labels is not None:
        console.warning(f"The corrected labels stay; those of all documents are in {run.kept_labels}.")
    if errors is not None:
        write_report(errors, "".join(f"{_plain(name)}\t{_plain(reason)}\n" for name, reason in tally.faults))
    if tally.signed:
        console.warning(
            f"{_counted(tally.signed, 'document')} had digital signatures, which do not hold for the "
            "searchable copies: keep the originals."
        )
    if run.passed_by:
        console.note(
            f"Passed by {_counted(run.passed_by, 'document')} that are there; --overwrite reads them again."
        )
    if run.cached_pages is not None:
        console.note(f"Found in the cache: {_counted(run.cached_pages, 'page')}.")
    now = tally.pages - run.resumed
    speed = f" in {seconds:,.1f} s, {60 * now / seconds:,.0f} pages a minute" if now and seconds >= 1 else ""
    console.note(f"Read {_counted(tally.pages, 'page')}, {_counted(tally.lines, 'line')}{speed}.")
    if tally.empty:
        console.note(f"Nothing was found on {_counted(tally.empty, 'page')}.")
    for flag, count in sorted(tally.flags.items()):
        console.note(f"Flagged {flag}: {_counted(count, 'line')}; --format jsonl shows which.")
    if not tally.faults:
        return
    listed = f"all are in {errors}" if errors else "--errors FILE lists all"
    heading = f"{tally.unreadable:,} of {_counted(tally.pages, 'page')} could not be read"
    if tally.left_out:
        heading += f", {tally.left_out:,} things on others" if tally.unreadable else ""
        heading = heading if tally.unreadable else f"{tally.left_out:,} things could not be used"
    show_unreadable(heading, len(tally.faults), tally.reasons, tally.remedies, listed)
    raise typer.Exit(3)


def _plain(text: str) -> str:
    return " ".join(text.replace("\t", "\\t").split())


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
