"""`vocr eval`: how well a model, or any other OCR, reads labelled lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import DataError
from vocr_cli.label_options import with_label_options
from vocr_cli.options import (
    INPUT,
    OUTPUT,
    BeamOpt,
    ConfigOpt,
    Device,
    DeviceOpt,
    JsonOpt,
    LmOpt,
    ModelOpt,
    Precision,
    PrecisionOpt,
    Runtime,
    RuntimeOpt,
    WorkersOpt,
)
from vocr_cli.terminal import console
from vocr_cli.terminal.documents import write_json

if TYPE_CHECKING:
    from vocr_cli.core.data.readers.labelled import LabelledSet
    from vocr_cli.core.evaluation.metrics import Scores
    from vocr_cli.core.evaluation.readings import Readings
    from vocr_cli.core.inference import Recognizer

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
ReportOpt = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write an HTML page with the worst lines in it.",
        rich_help_panel=OUTPUT,
    ),
]
LimitOpt = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, metavar="N", help="Score the first so many lines only.", rich_help_panel=INPUT
    ),
]


@with_label_options
def command(
    context: typer.Context,
    data: DataArg,
    labels: SourceOptions,
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    readings: ReadingsOpt = None,
    report: ReportOpt = None,
    json_file: JsonOpt = None,
    limit: LimitOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    workers: WorkersOpt = 0,
) -> None:
    """Measure how well labelled lines are read.

    Shows CER, WER, the share of lines read exactly and how far confidences are off, each with a 95 %
    interval, what kind of mistakes were made (tone, vowel mark, base letter, ...), the most frequent
    confusions and the worst lines. A line whose image cannot be read counts as read empty, is named, and
    makes the exit code 3.
    """
    _check_options(context, readings, [report, json_file])
    from vocr_cli.core.data.readers.labelled import load_labelled
    from vocr_cli.core.evaluation.metrics import score
    from vocr_cli.core.evaluation.readings import read_from_file
    from vocr_cli.terminal.scores import show_scores

    labelled = load_labelled(data, limit, labels)
    console.notes(labelled.notes)
    facts: dict[str, object] = {"data": str(data)}
    if readings is not None:
        facts["readings"] = str(readings)
        read = read_from_file(labelled, readings)
    else:
        from vocr_cli.core.inference import Recognizer
        from vocr_cli.core.machine.memory import freeze_loaded_objects

        recognizer = Recognizer.load(
            model, device.value, precision.value,
            config=config, beam=beam, runtime=runtime.value, language_model=lm,
        )  # fmt: skip
        freeze_loaded_objects()
        read = _read_with_model(labelled, recognizer, workers)
        facts |= _about(recognizer, model)
    texts, names = [line.label for line in labelled.lines], [line.name for line in labelled.lines]
    scores = score(texts, read.texts, paths=names, confidences=read.confidences)
    title = f"{readings.name if readings else model} on {data}, {scores.lines:,} lines"
    show_scores(scores, title)
    if json_file is not None:
        document = {**facts, **scores.to_json(), "unread": read.unread, "unusable": labelled.unusable}
        write_json(json_file, document, indent=1)
    if report is not None:
        _write(report, _page(labelled, scores, read, title, facts))
    _report_faults(read.unread, labelled.unusable)


def _page(labelled: LabelledSet, scores: Scores, read: Readings, title: str, facts: dict[str, object]) -> str:
    from vocr_cli.core.evaluation.html_report import build_report, line_images

    shown = [(name, str(value)) for name, value in facts.items()]
    images = line_images(labelled, scores.worst)
    return build_report(scores, title=title, facts=shown, images=images, unread=read.unread)


def _report_faults(unread: Sequence[tuple[str, str]], unusable: Sequence[tuple[str, str]]) -> None:
    """Lists on stderr what could not be scored as it should; exit code 3 where there is any."""
    _list_on_stderr("Could not be read, scored as empty", unread)
    _list_on_stderr("Cannot be used as labelled lines, left out", unusable)
    if unread or unusable:
        raise typer.Exit(3)


def _check_options(context: typer.Context, readings: Path | None, outputs: Sequence[Path | None]) -> None:
    """Refuses what would fail, or mean nothing, only after minutes of reading."""
    if readings is not None:
        for name in ("model", "config", "device", "precision", "runtime", "beam", "lm", "workers"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter("It has no effect on --readings of a file.", param_hint=f"--{name}")
    for output in outputs:
        if output is not None and not output.resolve().parent.is_dir():
            raise DataError(
                f"There is no folder {output.parent} to write {output.name} in.", "Create it first."
            )


def _read_with_model(labelled: LabelledSet, recognizer: Recognizer, workers: int) -> Readings:
    from vocr_cli.core.evaluation.readings import Readings
    from vocr_cli.core.inference import read_all
    from vocr_cli.core.inference.inputs.sources import LineInput

    inputs = (LineInput(line.name, line.image) for line in labelled.lines)
    read = Readings()
    with console.progress("Reading", len(labelled.lines)) as counter:
        results = read_all(recognizer, inputs, workers=workers or None, on_done=counter.advance)
        for line, known in zip(results, labelled.lines, strict=True):
            read.texts.append(line.reading.text if line.reading else "")
            read.confidences.append(line.reading.confidence if line.reading else None)
            if line.error is not None:
                read.unread.append((known.name, line.error.problem))
    return read


def _about(recognizer: Recognizer, model: str) -> dict[str, object]:
    """What read the lines, as the JSON document says it."""
    engine = recognizer.engine
    return {
        "model": model,
        "device": engine.device,
        "precision": engine.precision,
        "runtime": engine.runtime,
        "beam": recognizer.beam,
        "lm": recognizer.language_model.name if recognizer.language_model else None,
        "calibrated": recognizer.calibration is not None,
    }


def _write(path: Path, text: str) -> None:
    from vocr_cli.core.machine.atomic_write import write_report

    write_report(path, text)
    console.note(f"Wrote {path}")


def _list_on_stderr(title: str, entries: Sequence[tuple[str, str]], shown: int = 50) -> None:
    """Shows entries, each with its reason."""
    if entries:
        console.unusable_input(f"Warning: {title} ({len(entries):,}):")
    for name, reason in entries[:shown]:
        console.unusable_input(f"  {name}: {reason}")
    if len(entries) > shown:
        console.unusable_input(f"  and {len(entries) - shown:,} more; --json lists them all")
