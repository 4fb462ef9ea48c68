"""What the options of `vocr infer` mean together: formats by ending, inputs, and what contradicts what."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vocr_cli.core.machine.files.output_place import final_path, is_stream, require_writable
from vocr_cli.terminal.documents import STDOUT

if TYPE_CHECKING:
    from vocr_cli.core.inference.inputs.inputs import Inputs

STDIN = Path("-")
"""An input's name that stands for an image on stdin."""


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


def read_inputs(
    paths: Sequence[Path] | None, from_file: str, shard: str, *, first_page: bool = False
) -> Inputs:
    """The lines to read; an image on stdin is read now.

    Raises:
        BadParameter: There is none, or a shard is not written as one.
        ImageError: What stdin holds is too large for a line image.
    """
    from vocr_cli.core.inference.inputs.inputs import Inputs

    if not paths and not from_file:
        raise typer.BadParameter("Name inputs, or a list of them.", param_hint="PATHS or --from-file")
    piped = None
    if STDIN in (paths or ()):
        if from_file == "-":
            raise typer.BadParameter("stdin is the list already: it is no image.", param_hint="PATHS -")
        piped = _image_on_stdin()
    listed = sys.stdin.buffer if from_file == "-" else Path(from_file) if from_file else None
    index, count = shard_of(shard)
    return Inputs(
        paths or [], listed, shard_index=index, shard_count=count, piped=piped, first_page=first_page
    )


def shard_of(shard: str) -> tuple[int, int]:
    """Which shard of how many `I/N` names; all there is where it is empty.

    Raises:
        BadParameter: It is written otherwise.
    """
    index, _, count = (shard or "1/1").partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise typer.BadParameter("Write I/N, I from 1 to N.", param_hint="--shard")
    return int(index), int(count)


def _image_on_stdin() -> bytes:
    from vocr_cli.core.data.images.file_kinds import MAX_FILE_BYTES, too_many_bytes

    stdin = sys.stdin
    if stdin.isatty():
        raise typer.BadParameter("stdin is a terminal: pipe an image into it.", param_hint="PATHS -")
    data = stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise too_many_bytes("The image on stdin", len(data))
    return data


def check_output(
    out: Path | None, named: OutputFormat | None, errors: Path | None, *, resume: bool, overwrite: bool
) -> tuple[Path | None, OutputFormat]:
    """Refuses what could not be written, or would be lost.

    Args:
        out: The file that was named; `-` stands for stdout, a link for what it leads to.
        named: The format that was named.
        errors: The file for what cannot be read.
        resume: Whether to go on with an interrupted run.
        overwrite: Whether what is there may be replaced.

    Returns:
        The file, None for stdout, and the format: where none was named, that of the file's ending, or TSV.

    Raises:
        BadParameter: File, ending and format contradict each other, or a file is there and nothing says what
            becomes of it.
        DataError: It is a folder, or `errors` cannot be written.
    """
    from vocr_cli.core.inference.outputs.partial import refuse_folder

    out = None if out == STDOUT else out and final_path(out)
    if out is not None:
        refuse_folder(out)
    if errors is not None:
        require_writable(errors)
    streams = out is not None and is_stream(out)
    form = _format(out, named)
    if out is None and (resume or form == OutputFormat.parquet):
        hint = "--resume" if resume else "--format parquet"
        raise typer.BadParameter("It needs --out FILE.", param_hint=hint)
    if resume and streams:
        raise typer.BadParameter(f"{out} is no file, and takes no more than once.", param_hint="--resume")
    if resume and form == OutputFormat.parquet:
        raise typer.BadParameter("Parquet files cannot be appended to.", param_hint="--resume")
    if resume and overwrite:
        raise typer.BadParameter("It contradicts --overwrite.", param_hint="--resume")
    if out is not None and not (resume or overwrite or streams):
        _refuse_existing(out, form)
    return out, form


def _format(out: Path | None, named: OutputFormat | None) -> OutputFormat:
    ending = out.suffix.lower().removeprefix(".") if out is not None else ""
    told = OutputFormat(ending) if ending in OutputFormat.__members__ else None
    if named is not None and told not in (None, named):
        raise typer.BadParameter(
            f"It contradicts the ending of {out}. Leave it out, or name a file that ends in .{named}.",
            param_hint=f"--format {named}",
        )
    return named or told or OutputFormat.tsv


def _refuse_existing(out: Path, form: OutputFormat) -> None:
    if out.is_file():
        goes_on = "" if form == OutputFormat.parquet else "; --resume goes on where an interrupted run was"
        raise typer.BadParameter(f"{out} is there. --overwrite replaces it{goes_on}.", param_hint="--out")
    partial = out.with_name(f"{out.name}.partial")
    if partial.is_file() and partial.stat().st_size and form != OutputFormat.parquet:
        text = f"{partial} is from an interrupted run. --resume goes on with it; --overwrite begins anew."
        raise typer.BadParameter(text, param_hint="--out")


def check_engine(
    engine: Engine, *, resume: bool, shard: str, cache: Path | None, paths: Sequence[Path], first_page: bool
) -> None:
    """Refuses what a Ray cluster does not do.

    Raises:
        BadParameter: It is asked for.
    """
    if engine != Engine.ray:
        return
    if resume or shard or cache:
        raise typer.BadParameter(
            "--resume, --cache and --shard are the local engine's; Ray repeats by itself what was lost.",
            param_hint="--engine ray",
        )
    if first_page:
        raise typer.BadParameter("Its recognisers read all pages.", param_hint="--first-page")
    if STDIN in paths:
        raise typer.BadParameter("stdin is read by the local engine alone.", param_hint="--engine ray")
