"""The options of `vocr eval`: what they are, and what contradicts what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vocr_cli.core.errors import DataError
from vocr_cli.options import INPUT, OUTPUT
from vocr_cli.terminal.documents import STDOUT

if TYPE_CHECKING:
    from vocr_cli.core.evaluation.line_table import TableFormat

DataArg = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Labelled lines of any kind: an LMDB, a list (path<TAB>text), a table, JSON, Parquet, a folder.",
        show_default=False,
    ),
]
ReadingsOpt = Annotated[
    Path | None,
    typer.Option(
        "--readings",
        metavar="FILE",
        help="Score readings of any OCR instead of a model's: path<TAB>text, or what `vocr infer` wrote.",
        rich_help_panel=INPUT,
    ),
]
LimitOpt = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, metavar="N", help="Score the first so many lines only.", rich_help_panel=INPUT
    ),
]
ReportOpt = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write an HTML page: scores, confusions, and all lines to sort, filter and search.",
        rich_help_panel=OUTPUT,
    ),
]
LinesOpt = Annotated[
    Path | None,
    typer.Option(
        "--lines",
        metavar="FILE|-",
        help="Write each line's path, label, reading, edits, CER, confidence: .tsv, .csv or .jsonl.",
        rich_help_panel=OUTPUT,
    ),
]
OverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file that --lines names.", rich_help_panel=OUTPUT)
]


def check_readings(context: typer.Context, readings: Path | None) -> None:
    """Refuses options of a model beside readings from a file.

    Raises:
        BadParameter: One was given.
    """
    if readings is None:
        return
    for name in ("model", "config", "device", "precision", "runtime", "beam", "lm", "workers"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("It has no effect on --readings of a file.", param_hint=f"--{name}")


def check_outputs(
    report: Path | None, json_file: Path | None, lines_file: Path | None, *, overwrite: bool
) -> None:
    """Refuses what would fail, or be lost, only after minutes of reading.

    Raises:
        BadParameter: Two outputs have one name, or `lines_file` is there and may not be replaced.
        DataError: A folder is missing, or may not be written to.
    """
    from vocr_cli.core.machine.files.output_place import require_writable

    named = {"--report": report, "--json": json_file, "--lines": lines_file}
    files = {option: path for option, path in named.items() if path is not None}
    _refuse_shared_names(files)
    for output in files.values():
        if output == STDOUT:
            continue
        if not output.resolve().parent.is_dir():
            raise DataError(
                f"There is no folder {output.parent} to write {output.name} in.", "Create it first."
            )
        require_writable(output)
    if overwrite and lines_file is None:
        raise typer.BadParameter("It is about --lines FILE, which is missing.", param_hint="--overwrite")
    if lines_file not in (None, STDOUT) and lines_file.is_file() and not overwrite:
        raise typer.BadParameter(f"{lines_file} is there. --overwrite replaces it.", param_hint="--lines")


def _refuse_shared_names(files: dict[str, Path]) -> None:
    options: dict[Path, str] = {}
    for option, path in files.items():
        where = path if path == STDOUT else path.resolve()
        if where in options:
            raise typer.BadParameter(f"{path} is what {options[where]} names, too.", param_hint=option)
        options[where] = option


def table_format(lines_file: Path | None) -> TableFormat:
    """Returns the format of `--lines`: that of the ending, TSV without one, on stdout and for .txt.

    Raises:
        BadParameter: The ending is that of another format.
    """
    from vocr_cli.core.evaluation.line_table import TableFormat

    known: Sequence[TableFormat] = get_args(TableFormat)
    ending = "" if lines_file is None else lines_file.suffix.lower().removeprefix(".")
    if ending in ("", "txt"):
        return "tsv"
    for name in known:
        if name == ending:
            return name
    raise typer.BadParameter(
        f"{lines_file} ends in .{ending}: write .tsv, .csv or .jsonl.", param_hint="--lines"
    )
