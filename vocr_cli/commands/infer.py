"""vocr infer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vocr_cli.options import BeamOpt, ConfigOpt, Device, DeviceOpt, ModelOpt, Precision, PrecisionOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.inference.inputs.inputs import Inputs
    from vocr_cli.core.inference.outputs.output import Output
    from vocr_cli.core.inference.outputs.text_files import Format
    from vocr_cli.core.inference.pipeline import LineResult

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class OutputFormat(StrEnum):
    """Form of the readings."""

    tsv = "tsv"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class Where(StrEnum):
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
    Where,
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
    form: FormatOpt = OutputFormat.tsv,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    beam: BeamOpt = 1,
    workers: AheadOpt = 0,
    allow: AllowOpt = "",
    deny: DenyOpt = "",
    errors: ErrorsOpt = None,
    resume: ResumeOpt = False,
    shard: ShardOpt = "",
    cache: CacheOpt = None,
    cache_limit: CacheLimitOpt = 1.0,
    engine: EngineOpt = Where.local,
) -> None:
    """Read the text in cropped line images.

    Results come in the order of the inputs, a folder's in natural order. With --out, the file appears when
    all is read; until then, and after Ctrl-C or a kill, what was read is in FILE.partial, and --resume goes
    on from there. Exit code 3: some inputs could not be read; --errors lists them, stderr names the first.
    """
    from vocr_cli.core.inference.outputs.journal import is_complete

    _check_out(out, form, resume)
    inputs = _inputs(paths, from_file, shard)
    if resume and out is not None and is_complete(out):
        console.note(
            f"{out} is there, and no {out.name}.partial: nothing is left to do. To read again, delete it."
        )
        return
    load = {
        "name_or_path": model, "precision": precision.value, "allow": allow, "deny": deny, "config": config,
        "beam": beam, "n_best": beam if form == OutputFormat.jsonl else 1,  # the only form that shows them
    }  # fmt: skip
    if engine == Where.ray:
        if resume or cache or shard:
            raise typer.BadParameter(
                "--resume, --cache and --shard are the local engine's; Ray repeats by itself what was lost.",
                param_hint="--engine ray",
            )
        _with_ray(inputs, load, device.value, workers, out, form, errors)
    else:
        _here(inputs, load, device.value, workers, out, form, errors, resume, cache, cache_limit)


def _inputs(paths: list[Path] | None, from_file: str, shard: str) -> Inputs:
    from vocr_cli.core.inference.inputs.inputs import Inputs

    if not paths and not from_file:
        raise typer.BadParameter("Name inputs, or a list of them.", param_hint="PATHS or --from-file")
    listed = sys.stdin.buffer if from_file == "-" else Path(from_file) if from_file else None
    number, _, shares = (shard or "1/1").partition("/")
    if not (number.isdecimal() and shares.isdecimal() and 1 <= int(number) <= int(shares)):
        raise typer.BadParameter("Write I/N, I from 1 to N.", param_hint="--shard")
    return Inputs(paths or [], listed, int(number), int(shares))


def _check_out(out: Path | None, form: OutputFormat, resume: bool) -> None:
    if out is None and (resume or form == OutputFormat.parquet):
        raise typer.BadParameter(
            "It needs --out FILE.",
            param_hint="--resume" if resume else "--format parquet",
        )
    if resume and form == OutputFormat.parquet:
        raise typer.BadParameter("Parquet files cannot be appended to.", param_hint="--resume")


def _here(
    inputs: Inputs,
    load: dict[str, Any],
    device: str,
    workers: int,
    out: Path | None,
    form: OutputFormat,
    errors: Path | None,
    resume: bool,
    cache_folder: Path | None,
    cache_gb: float,
) -> None:
    """Reads on this machine."""
    from vocr_cli.core.inference import Recognizer, read_all
    from vocr_cli.core.inference.auto_precision import settle_precision
    from vocr_cli.core.inference.cache.identity import reading_identity
    from vocr_cli.core.inference.cache.result_cache import ResultCache
    from vocr_cli.core.inference.outputs.journal import begun_precision
    from vocr_cli.core.inference.outputs.output import Output
    from vocr_cli.core.inference.pipeline import section_lines
    from vocr_cli.core.machine.memory import freeze_loaded_objects

    lines = inputs.lines()
    model, config, allow, deny = (load[name] for name in ("name_or_path", "config", "allow", "deny"))
    begun = begun_precision(out) if resume and out and load["precision"] == "auto" else None
    chosen = settle_precision(model, device, begun or load["precision"], inputs.known_count, config)
    recognizer = Recognizer.load(**load | {"precision": chosen.precision}, device=device)
    console.note(f"Precision {recognizer.engine.precision}: {chosen.reason}.")
    freeze_loaded_objects()
    identity = reading_identity(recognizer, model, config, allow, deny)
    cache = ResultCache(cache_folder, identity, int(cache_gb * 2**30)) if cache_folder else None
    section = section_lines(recognizer)
    output = Output(out, form.value, errors, {**identity, "section": section}, section, resume)
    if output.resumed:
        console.note(f"Resumed: {output.resumed:,} lines were done before.")
    seconds = 0.0
    if not output.complete:
        try:
            seconds = _take(
                lambda advance: read_all(
                    recognizer, output.inputs(lines), workers or None, cache=cache, on_done=advance
                ),
                output,
                form,
                inputs,
            )
        finally:
            if cache is not None:
                cache.close()
    if cache is not None:
        console.note(f"Found in the cache: {cache.hits:,} lines.")
        for text in cache.notes:
            console.warning(text)
    _report(output, errors, seconds)


def _with_ray(
    inputs: Inputs,
    load: dict[str, Any],
    device: str,
    actors: int,
    out: Path | None,
    form: OutputFormat,
    errors: Path | None,
) -> None:
    """Reads on a Ray cluster."""
    from vocr_cli.core.inference.outputs.output import Output
    from vocr_cli.core.inference.ray.engine import need_ray, read_with_ray

    need_ray()
    output = Output(out, form.value, errors, None)
    seconds = _take(
        lambda advance: read_with_ray(inputs.paths(), load, actors, device, advance),
        output,
        form,
        inputs,
    )
    if not output.tally.lines:
        raise inputs.nothing()
    _report(output, errors, seconds)


def _take(
    read: Callable[[Callable[[int], None]], Iterable[LineResult]],
    output: Output,
    form: OutputFormat,
    inputs: Inputs,
) -> float:
    """Writes what `read` gives, to the output file or to stdout, and shows progress; its seconds.

    Args:
        read: Gives the results in their order, and tells what it is handed how many more lines are done.
        output: Where they go.
        form: Of stdout's lines.
        inputs: Told to count themselves.
    """
    began = time.monotonic()
    try:
        with console.progress("Reading", None) as progress:
            inputs.count(lambda total: progress.expect(total - output.resumed))
            if output.out is None and form == OutputFormat.csv:
                from vocr_cli.core.inference.outputs.text_files import CSV_HEADING

                console.reading(CSV_HEADING)
            for result in read(progress.advance):
                output.add(result)
                if output.out is None:
                    _show(result, form)
        output.finish()
        if output.out is None:
            console.flush_readings()
    except BrokenPipeError:
        console.drop_readings()
        raise typer.Exit() from None
    except KeyboardInterrupt:
        output.close()
        place = f"are in {output.out}.partial" if output.out else "were written"
        goes_on = "; --resume goes on from there" if output.resumable else ""
        console.note(f"Interrupted: the readings so far {place}{goes_on}.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        output.close()
    return time.monotonic() - began


def _show(result: LineResult, form: OutputFormat) -> None:
    from vocr_cli.core.inference.outputs.text_files import format_result

    console.reading(format_result(result, cast("Format", form.value)))


def _report(output: Output, errors: Path | None, seconds: float) -> None:
    """The summary on stderr, and exit code 3 where inputs could not be read."""
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
        where = f"all are in {errors}" if errors else "--errors FILE lists all"
        console.note(f"  and {more:,} more; {where}.")
    raise typer.Exit(3)
