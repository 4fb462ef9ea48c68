"""vocr infer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli import console
from vocr_cli.options import BeamOpt, ConfigOpt, Device, DeviceOpt, ModelOpt, Precision, PrecisionOpt

if TYPE_CHECKING:
    from vocr_cli.core.inference.pipeline import LineResult

SHOWN_ERRORS = 20
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class OutputFormat(StrEnum):
    """Form of the readings."""

    tsv = "tsv"
    jsonl = "jsonl"
    csv = "csv"


PathsArg = Annotated[
    list[Path], typer.Argument(help="Line images, folders of them, LMDB databases.", show_default=False)
]
OutOpt = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the readings here instead of to stdout.")
]
FormatOpt = Annotated[
    OutputFormat,
    typer.Option(
        "--format", "-f", help="tsv: path, text, confidence; jsonl: everything; csv: with a heading."
    ),
]
AllowOpt = Annotated[str, typer.Option("--allow", metavar="CHARS", help="Read only these characters.")]
DenyOpt = Annotated[str, typer.Option("--deny", metavar="CHARS", help="Never read these characters.")]
AheadOpt = Annotated[
    int, typer.Option("--workers", min=0, help="Threads that open images ahead; 0: one for every four cores.")
]
ErrorsOpt = Annotated[
    Path | None, typer.Option("--errors", help="List unreadable inputs here: path, tab, reason.")
]


def command(
    paths: PathsArg,
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
) -> None:
    """Read the text in cropped line images.

    Results come in the order of the inputs, a folder's in natural order. With --out, the file appears when
    all is read; until then, and after Ctrl-C, what was read is in FILE.partial. Exit code 3: some inputs
    could not be read; each is named on stderr and in --errors.
    """
    from vocr_cli.core.errors import DataError
    from vocr_cli.core.inference import Recognizer, read_all
    from vocr_cli.core.inference.sources import count_lines, find_lines

    total = count_lines(paths)
    if not total:
        raise DataError(
            f"No image in {', '.join(map(str, paths))}.",
            "Name line images, folders that hold some (.png, .jpg, ...), or an LMDB folder.",
        )
    recognizer = Recognizer.load(
        model,
        device.value,
        precision.value,
        allow=allow,
        deny=deny,
        config=config,
        beam=beam,
        n_best=beam if form == OutputFormat.jsonl else 1,  # the only form that shows them
    )
    workers = workers or max(1, recognizer.threads // 4)
    tally = _Tally()
    results = tally.count(read_all(recognizer, find_lines(paths), workers), total)
    if out is None:
        _to_stdout(results, form)
    else:
        _to_file(results, form, out)
    _report(tally, errors)


class _Tally:
    """What went through: lines, flagged lines, unreadable ones."""

    def __init__(self) -> None:
        self.lines = 0
        self.flags: dict[str, int] = {}
        self.unreadable: list[tuple[str, str]] = []
        self.began = time.monotonic()

    def count(self, results: Iterable[LineResult], total: int) -> Iterable[LineResult]:
        """Passes results on, counting them and showing progress."""
        with console.progress("Reading", total) as progress:
            for result in results:
                self.lines += 1
                if result.error is not None:
                    self.unreadable.append((result.path, result.error.problem))
                if result.reading is not None:
                    for flag in result.reading.flags:
                        self.flags[flag] = self.flags.get(flag, 0) + 1
                yield result
                progress.advance()


def _to_stdout(results: Iterable[LineResult], form: OutputFormat) -> None:
    from vocr_cli.core.inference.writer import CSV_HEADING, format_result

    try:
        if form == OutputFormat.csv:
            console.reading(CSV_HEADING)
        for result in results:
            console.reading(format_result(result, form.value))
        console.flush_readings()
    except BrokenPipeError:
        console.drop_readings()
        raise typer.Exit() from None
    except KeyboardInterrupt:
        console.note("Interrupted: the readings so far were written.")
        raise typer.Exit(INTERRUPTED) from None


def _to_file(results: Iterable[LineResult], form: OutputFormat, out: Path) -> None:
    from vocr_cli.core.inference.writer import ResultFile

    file = ResultFile(out, form.value)
    try:
        for result in results:
            file.add(result)
    except KeyboardInterrupt:
        console.note(f"Interrupted: the readings so far are in {file.partial}.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        file.close()
    file.finish()


def _report(tally: _Tally, errors: Path | None) -> None:
    """The summary on stderr, the file of errors, and exit code 3 where there are some."""
    seconds = time.monotonic() - tally.began
    unreadable = tally.unreadable
    read = tally.lines - len(unreadable)
    console.note(
        f"Read {read:,} of {tally.lines:,} lines in {seconds:,.1f} s, {read / max(seconds, 1e-6):,.0f}/s."
    )
    for flag, count in sorted(tally.flags.items()):
        console.note(f"Flagged {flag}: {count:,}; --format jsonl shows which.")
    if errors is not None:
        _write_errors(unreadable, errors)
    if unreadable:
        console.warning(f"{len(unreadable):,} of {tally.lines:,} inputs could not be read:")
        for _, reason in unreadable[:SHOWN_ERRORS]:
            console.note(f"  {reason}")
        if len(unreadable) > SHOWN_ERRORS:
            where = f"all are in {errors}" if errors else "--errors FILE lists all"
            console.note(f"  and {len(unreadable) - SHOWN_ERRORS:,} more; {where}.")
        raise typer.Exit(3)


def _write_errors(unreadable: list[tuple[str, str]], errors: Path) -> None:
    from vocr_cli.core.errors import DataError

    rows = "".join(f"{path}\t{' '.join(reason.split())}\n" for path, reason in unreadable)
    try:
        errors.parent.mkdir(parents=True, exist_ok=True)
        errors.write_text(rows, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise DataError(
            f"{errors} cannot be written: {error.strerror}.", "Name another --errors file."
        ) from None
