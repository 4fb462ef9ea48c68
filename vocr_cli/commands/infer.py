"""vocr infer."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    ThreadsOpt,
)
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.inference.inputs.inputs import Inputs
    from vocr_cli.core.inference.outputs.output import Output
    from vocr_cli.core.inference.read import ReadRequest, ReadRun

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class OutputFormat(StrEnum):
    """Format of the readings."""

    tsv = "tsv"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class Engine(StrEnum):
    """What reads the lines."""

    local = "local"
    ray = "ray"


PathsArg = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Line images, folders of them, tar archives, LMDB databases; Parquet files with --engine ray.",
        show_default=False,
    ),
]
ListOpt = Annotated[
    str,
    typer.Option("--from-file", metavar="LIST|-", help="Read the inputs' names here, one a line; -: stdin."),
]
OutOpt = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the readings here instead of to stdout.")
]
FormatOpt = Annotated[
    OutputFormat,
    typer.Option(
        "--format",
        "-f",
        help="tsv: path, text, confidence; jsonl: everything; csv: with a heading; parquet: needs --out.",
    ),
]
AllowOpt = Annotated[str, typer.Option("--allow", metavar="CHARS", help="Read only these characters.")]
MinConfidenceOpt = Annotated[
    float, typer.Option("--min-confidence", min=0, max=1, help="Flag less confident lines as unsure.")
]
DenyOpt = Annotated[str, typer.Option("--deny", metavar="CHARS", help="Never read these characters.")]
AheadOpt = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        help="Threads that open images ahead; 0: those that read do it between batches, or beside a GPU one "
        "for each core. With --engine ray: recognizers; 0: one for every GPU, or every core.",
    ),
]
ErrorsOpt = Annotated[
    Path | None, typer.Option("--errors", help="List unreadable inputs here: path, tab, reason.")
]
ResumeOpt = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run with this --out was.")
]
ShardOpt = Annotated[
    str,
    typer.Option(
        "--shard", metavar="I/N", help="Read every N-th line from the I-th on, I from 1: for job arrays."
    ),
]
CacheOpt = Annotated[
    Path | None,
    typer.Option(
        "--cache", metavar="DIR", help="Keep readings here, and read no image twice, whatever its name."
    ),
]
CacheLimitOpt = Annotated[
    float,
    typer.Option("--cache-limit", metavar="GB", help="The cache's size at most, GB; the oldest go first."),
]
EngineOpt = Annotated[
    Engine,
    typer.Option(
        "--engine", help="ray: recognizers all over the Ray cluster at RAY_ADDRESS, or one started here."
    ),
]


def command(
    paths: PathsArg = None,
    from_file: ListOpt = "",
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    out: OutOpt = None,
    output_format: FormatOpt = OutputFormat.tsv,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    threads: ThreadsOpt = 0,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    workers: AheadOpt = 0,
    allow: AllowOpt = "",
    deny: DenyOpt = "",
    min_confidence: MinConfidenceOpt = 0.0,
    errors: ErrorsOpt = None,
    resume: ResumeOpt = False,
    shard: ShardOpt = "",
    cache: CacheOpt = None,
    cache_limit: CacheLimitOpt = 1.0,
    engine: EngineOpt = Engine.local,
) -> None:
    """Read the text in cropped line images.

    Results come in the order of the inputs, a folder's in natural order. With --out, the file appears when
    all is read; until then, what was read is in FILE.partial, and --resume goes on from there. Exit code 3:
    some inputs could not be read; --errors lists them.
    """
    _check_options(out, output_format, resume, engine, bool(shard or cache))
    from vocr_cli.core.inference.read import ReadRequest, RecognizerOptions

    recognizer = RecognizerOptions(
        model=model,
        config=config,
        precision=precision.value,
        allow=allow,
        deny=deny,
        runtime=runtime.value,
        threads=threads or None,
        beam=beam,
        language_model=lm,
        min_confidence=min_confidence,
        n_best=beam if output_format == OutputFormat.jsonl else 1,  # the only format that shows them
    )
    request = ReadRequest(
        inputs=_inputs(paths, from_file, shard),
        recognizer=recognizer,
        device=device.value,
        workers=workers,
        output_format=output_format.value,
        out=out,
        errors=errors,
        resume=resume,
        cache=cache,
        cache_bytes=int(cache_limit * 2**30),
        engine=engine.value,
    )
    _write_readings(request)


def _inputs(paths: list[Path] | None, from_file: str, shard: str) -> Inputs:
    from vocr_cli.core.inference.inputs.inputs import Inputs

    if not paths and not from_file:
        raise typer.BadParameter("Name inputs, or a list of them.", param_hint="PATHS or --from-file")
    listed = sys.stdin.buffer if from_file == "-" else Path(from_file) if from_file else None
    index, _, count = (shard or "1/1").partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise typer.BadParameter("Write I/N, I from 1 to N.", param_hint="--shard")
    return Inputs(paths or [], listed, shard_index=int(index), shard_count=int(count))


def _check_options(
    out: Path | None, output_format: OutputFormat, resume: bool, engine: Engine, takes_shard_or_cache: bool
) -> None:
    if out is None and (resume or output_format == OutputFormat.parquet):
        raise typer.BadParameter(
            "It needs --out FILE.",
            param_hint="--resume" if resume else "--format parquet",
        )
    if resume and output_format == OutputFormat.parquet:
        raise typer.BadParameter("Parquet files cannot be appended to.", param_hint="--resume")
    if engine == Engine.ray and (resume or takes_shard_or_cache):
        raise typer.BadParameter(
            "--resume, --cache and --shard are the local engine's; Ray repeats by itself what was lost.",
            param_hint="--engine ray",
        )


def _is_complete(out: Path | None) -> bool:
    """Whether nothing is left to resume, which is then said."""
    assert out is not None
    from vocr_cli.core.inference.outputs.journal import is_complete

    if complete := is_complete(out):
        console.note(
            f"{out} is there, and no {out.name}.partial: nothing is left to do. To read again, delete it."
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
        raise typer.Exit(INTERRUPTED) from None
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
    tally, now = output.tally, output.tally.lines - output.resumed
    speed = f" in {seconds:,.1f} s, {now / max(seconds, 1e-6):,.0f}/s" if now else ""
    console.note(f"Read {tally.lines - tally.unreadable:,} of {tally.lines:,} lines{speed}.")
    for flag, count in sorted(tally.flags.items()):
        console.note(f"Flagged {flag}: {count:,}; --format jsonl shows which.")
    if not tally.unreadable:
        return
    console.warning(f"{tally.unreadable:,} of {tally.lines:,} inputs could not be read:")
    for reason in tally.reasons:
        console.note(f"  {reason}")
    if more := tally.unreadable - len(tally.reasons):
        listed = f"all are in {errors}" if errors else "--errors FILE lists all"
        console.note(f"  and {more:,} more; {listed}.")
    raise typer.Exit(3)
