"""vocr infer."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.errors import EXIT_INTERRUPTED
from vocr_cli.options import (
    INPUT,
    MACHINE,
    OUTPUT,
    READING,
    BeamOpt,
    ConfigOpt,
    Device,
    DeviceOpt,
    FirstPageOpt,
    LmOpt,
    ModelOpt,
    Precision,
    PrecisionOpt,
    Runtime,
    RuntimeOpt,
    SecondLookOpt,
    ThreadsOpt,
)
from vocr_cli.reading_options import (
    Engine,
    OutputFormat,
    check_engine,
    check_output,
    read_inputs,
)
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.inference.outputs.output import Output
    from vocr_cli.core.inference.read import ReadRequest, ReadRun

LONG_RUNS = "Long runs"

PathsArg = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATHS...",
        help="Line images, folders of them, tar archives, LMDB databases; -: an image on stdin. Parquet "
        "files with --engine ray.",
        show_default=False,
    ),
]
ListOpt = Annotated[
    str,
    typer.Option(
        "--from-file",
        metavar="LIST|-",
        help="Read the inputs' names here, one a line; -: stdin.",
        rich_help_panel=INPUT,
    ),
]
OutOpt = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write the readings here instead of to stdout; the ending names the format.",
        rich_help_panel=OUTPUT,
    ),
]
FormatOpt = Annotated[
    OutputFormat | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="tsv: path, text, confidence; jsonl: everything; csv: with a heading; parquet: needs --out. "
        "Default: that of --out's ending, or tsv.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
AllowOpt = Annotated[
    str,
    typer.Option("--allow", metavar="CHARS", help="Read only these characters.", rich_help_panel=READING),
]
DenyOpt = Annotated[
    str,
    typer.Option("--deny", metavar="CHARS", help="Never read these characters.", rich_help_panel=READING),
]
MinConfidenceOpt = Annotated[
    float,
    typer.Option(
        "--min-confidence",
        min=0,
        max=1,
        metavar="P",
        help="Flag less confident lines as unsure.",
        rich_help_panel=OUTPUT,
    ),
]
AheadOpt = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Threads that open images ahead; 0: those that read do it between batches, or beside a GPU one "
        "for each core. With --engine ray: recognizers; 0: one for every GPU, or every core.",
        rich_help_panel=MACHINE,
    ),
]
ErrorsOpt = Annotated[
    Path | None,
    typer.Option(
        "--errors",
        metavar="FILE",
        help="List unreadable inputs here: path, tab, reason.",
        rich_help_panel=OUTPUT,
    ),
]
ResumeOpt = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on where an interrupted run with this --out was.", rich_help_panel=LONG_RUNS
    ),
]
OverwriteOpt = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace --out, or what an interrupted run left of it.",
                 rich_help_panel=OUTPUT),
]  # fmt: skip
ShardOpt = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Read every N-th line from the I-th on, I from 1: for job arrays.",
        rich_help_panel=LONG_RUNS,
    ),
]
CacheOpt = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Keep readings here, and read no image twice, whatever its name.",
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
EngineOpt = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="ray: recognizers all over the Ray cluster at RAY_ADDRESS, or one started here.",
        rich_help_panel=MACHINE,
    ),
]


def command(
    paths: PathsArg = None,
    from_file: ListOpt = "",
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    out: OutOpt = None,
    output_format: FormatOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    threads: ThreadsOpt = 0,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    second_look: SecondLookOpt = None,
    workers: AheadOpt = 0,
    allow: AllowOpt = "",
    deny: DenyOpt = "",
    min_confidence: MinConfidenceOpt = 0.0,
    errors: ErrorsOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    shard: ShardOpt = "",
    first_page: FirstPageOpt = False,
    cache: CacheOpt = None,
    cache_limit: CacheLimitOpt = 1.0,
    engine: EngineOpt = Engine.local,
) -> None:
    """Read the text in cropped line images, page by page where a file has several: NAME#1, NAME#2.

    Results come in the order of the inputs, a folder's in natural order. With --out, the file appears when
    all is read; until then, what was read is in FILE.partial, and --resume goes on from there. Exit code 3:
    some inputs could not be read; --errors lists them.
    """
    out, form = check_output(out, output_format, errors, resume=resume, overwrite=overwrite)
    check_engine(engine, resume=resume, shard=shard, cache=cache, paths=paths or (), first_page=first_page)
    from vocr_cli.core.inference.read import ReadRequest, RecognizerOptions

    recognizer = RecognizerOptions(
        model=model, config=config, precision=precision.value, allow=allow, deny=deny, runtime=runtime.value,
        threads=threads or None, beam=beam, language_model=lm, second_look=second_look,
        min_confidence=min_confidence,
        n_best=beam if form == OutputFormat.jsonl else 1,  # the only format that shows them
    )  # fmt: skip
    request = ReadRequest(
        inputs=read_inputs(paths, from_file, shard, first_page=first_page), recognizer=recognizer,
        device=device.value, workers=workers, output_format=form.value, out=out, errors=errors,
        resume=resume, cache=cache, cache_bytes=int(cache_limit * 2**30), engine=engine.value,
    )  # fmt: skip
    _write_readings(request)


def _is_complete(out: Path | None) -> bool:
    """Whether nothing is left to resume, which is then said."""
    assert out is not None
    from vocr_cli.core.inference.outputs.journal import is_complete

    if complete := is_complete(out):
        console.note(
            f"{out} is there, and no {out.name}.partial: nothing is left to do. --overwrite reads it again."
        )
    return complete


def _write_readings(request: ReadRequest) -> None:
    """Reads what is asked for, writes or shows the readings, and reports."""
    if request.resume and _is_complete(request.out):
        return
    from vocr_cli.core.inference.read import start_reading

    run = start_reading(request, console.note)
    began = time.monotonic()
    try:
        _show_readings(run, request)
    except BrokenPipeError:
        console.drop_readings()
        raise typer.Exit() from None
    except KeyboardInterrupt:
        rest = f"are in {request.out}.partial" if request.out else "were written"
        goes_on = "; --resume goes on from there" if run.output.resumable else ""
        console.note(f"Interrupted: the readings so far {rest}{goes_on}.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    seconds = time.monotonic() - began
    if run.cached_lines is not None:
        console.note(f"Found in the cache: {run.cached_lines:,} lines.")
    for text in run.warnings:
        console.warning(text)
    _report(run.output, request.errors, seconds)


def _show_readings(run: ReadRun, request: ReadRequest) -> None:
    """Takes all results, shows progress, and on stdout the readings where they go to no file."""
    from vocr_cli.core.inference.outputs.text_files import CSV_HEADING, format_result

    with console.progress("Reading", None) as progress:
        if request.out is None and request.output_format == "csv":
            console.reading(CSV_HEADING)
        with closing(run.results(progress.expect, progress.advance)) as results:
            for result in results:
                if request.out is None and request.output_format != "parquet":
                    console.reading(format_result(result, request.output_format))
    if request.out is None:
        console.flush_readings()


def _report(output: Output, errors: Path | None, seconds: float) -> None:
    """Shows the summary on stderr; exit code 3 where inputs could not be read."""
    tally, now = output.tally, output.tally.lines - output.taken_over
    read = tally.lines - tally.unreadable
    console.note(f"Read {read:,} of {tally.lines:,} lines{console.speed(now if read else 0, seconds)}.")
    for flag, count in sorted(tally.flags.items()):
        console.note(f"Flagged {flag}: {count:,}; --format jsonl shows which.")
    if not tally.unreadable:
        return
    console.unusable_input(f"Warning: {tally.unreadable:,} of {tally.lines:,} inputs could not be read:")
    for reason in tally.reasons:
        console.unusable_input(f"  {reason}")
    if more := tally.unreadable - len(tally.reasons):
        listed = f"all are in {errors}" if errors else "--errors FILE lists all"
        console.unusable_input(f"  and {more:,} more; {listed}.")
    for remedy in tally.remedies:
        console.unusable_input(f"Remedy: {remedy}")
    raise typer.Exit(3)
