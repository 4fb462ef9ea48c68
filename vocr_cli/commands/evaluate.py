"""`vocr eval`: how well a model, or any other OCR, reads labelled lines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.evaluation_options import (
    DataArg,
    LimitOpt,
    LinesOpt,
    OverwriteOpt,
    ReadingsOpt,
    ReportOpt,
    check_outputs,
    check_readings,
    table_format,
)
from vocr_cli.label_options import with_label_options
from vocr_cli.options import (
    BeamOpt,
    ConfigOpt,
    Device,
    DeviceOpt,
    FirstPageOpt,
    JsonOpt,
    LmOpt,
    ModelOpt,
    Precision,
    PrecisionOpt,
    Runtime,
    RuntimeOpt,
    SecondLookOpt,
    WorkersOpt,
)
from vocr_cli.terminal import console
from vocr_cli.terminal.documents import write_json, write_table
from vocr_cli.terminal.unreadable import LEFT_OUT, show_faults

if TYPE_CHECKING:
    from vocr_cli.core.data.readers.labelled import LabelledSet
    from vocr_cli.core.evaluation.line_scores import LineScore
    from vocr_cli.core.evaluation.metrics import Scores
    from vocr_cli.core.evaluation.readings import Readings
    from vocr_cli.core.inference import Recognizer

_EMPTY = "Could not be read, scored as empty"


@with_label_options
def command(
    context: typer.Context,
    data: DataArg,
    labels: SourceOptions,
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    readings: ReadingsOpt = None,
    report: ReportOpt = None,
    lines_file: LinesOpt = None,
    overwrite: OverwriteOpt = False,
    json_file: JsonOpt = None,
    limit: LimitOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    second_look: SecondLookOpt = None,
    workers: WorkersOpt = 0,
    first_page: FirstPageOpt = False,
) -> None:
    """Measure how well labelled lines are read.

    Shows CER, WER, the share of lines read exactly and how far confidences are off, each with a 95 %
    interval, what kind of mistakes were made (tone, vowel mark, base letter, ...), the most frequent
    confusions and the worst lines. A line whose image cannot be read counts as read empty, is named, and
    makes the exit code 3.
    """
    check_readings(context, readings)
    check_outputs(report, json_file, lines_file, overwrite=overwrite)
    form = table_format(lines_file)
    from vocr_cli.core.data.readers.labelled import load_labelled
    from vocr_cli.core.evaluation.line_table import format_lines
    from vocr_cli.core.evaluation.metrics import summarise
    from vocr_cli.core.evaluation.readings import read_from_file
    from vocr_cli.terminal.scores import show_scores

    labelled = load_labelled(data, limit, labels)
    console.notes(labelled.notes)
    if readings is not None:
        facts, read = dict[str, object](readings=str(readings)), read_from_file(labelled, readings)
    else:
        recognizer = _load(
            model, device.value, precision.value, config=config, beam=beam, runtime=runtime.value,
            language_model=lm, second_look=second_look,
        )  # fmt: skip
        facts, read = _about(recognizer, model), _read_with_model(labelled, recognizer, workers, first_page)
    facts = {"data": str(data), **facts}
    lines = _score_lines(labelled, read)
    scores = summarise(lines)
    show_scores(scores, title := f"{readings.name if readings else model} on {data}, {scores.lines:,} lines")
    if json_file is not None:
        faults = {"unread": read.unread, "unusable": labelled.unusable}
        write_json(json_file, {**facts, **scores.to_json(), **faults}, indent=1)
    if lines_file is not None:
        write_table(lines_file, format_lines(lines, form, dict(read.unread)))
    if report is not None:
        _write_report(report, labelled, scores, lines, read, title=title, facts=facts)
    if show_faults((_EMPTY, read.unread), (LEFT_OUT, labelled.unusable), all_in="--json lists them all"):
        raise typer.Exit(3)


def _load(*arguments: Any, **named: Any) -> Recognizer:
    """Loads a recogniser; arguments as of `Recognizer.load`."""
    from vocr_cli.core.inference import Recognizer
    from vocr_cli.core.machine.memory import freeze_loaded_objects

    recognizer = Recognizer.load(*arguments, **named)
    console.notes(recognizer.notes)
    freeze_loaded_objects()
    return recognizer


def _read_with_model(
    labelled: LabelledSet, recognizer: Recognizer, workers: int, first_page: bool
) -> Readings:
    from vocr_cli.core.evaluation.readings import Readings
    from vocr_cli.core.inference import read_all
    from vocr_cli.core.inference.inputs.sources import LineInput
    from vocr_cli.core.inference.single_lines import WORTH_PROCESSES_LINES, reading_processes

    inputs = (LineInput(line.name, line.image, first_page=first_page) for line in labelled.lines)
    read = Readings()
    many = not workers and len(labelled.lines) >= WORTH_PROCESSES_LINES
    remedy = "Have threads of this process read: --workers 1."
    processes = reading_processes(recognizer, remedy) if many else None
    with processes or nullcontext(), console.progress("Reading", len(labelled.lines)) as counter:
        results = read_all(
            recognizer, inputs, workers=workers or None, on_done=counter.advance, processes=processes
        )
        for line, known in zip(results, labelled.lines, strict=True):
            if line.reading is not None:
                read.add(line.reading.text, line.reading.confidence, line.reading.flags)
            else:
                assert line.error is not None
                read.add_unread(known.name, line.error.problem)
    return read


def _score_lines(labelled: LabelledSet, read: Readings) -> list[LineScore]:
    from vocr_cli.core.evaluation.line_scores import score_lines

    return score_lines(
        [line.label for line in labelled.lines],
        read.texts,
        paths=[line.name for line in labelled.lines],
        confidences=read.confidences,
        flags=read.flags,
    )


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
        "second_look": recognizer.second_look,
        "calibrated": recognizer.calibration is not None,
    }


def _write_report(
    path: Path,
    labelled: LabelledSet,
    scores: Scores,
    lines: Sequence[LineScore],
    read: Readings,
    *,
    title: str,
    facts: dict[str, object],
) -> None:
    from datetime import datetime

    from vocr_cli import __version__
    from vocr_cli.core.evaluation.html_report import build_report
    from vocr_cli.core.evaluation.report.images import line_images, pictured_lines
    from vocr_cli.core.machine.atomic_write import write_report

    date = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z")
    shown = {**facts, "lines": f"{scores.lines:,}", "date": date, "vocr": __version__}
    if labelled.unusable:
        shown["left out"] = f"{len(labelled.unusable):,} entries that are no labelled lines"
    pictured = pictured_lines(lines)
    with console.progress("Images of the report", len(pictured)) as counter:
        images = line_images(labelled, pictured, counter.advance)
    page = build_report(
        scores,
        title=title,
        lines=lines,
        facts=[(name.replace("_", " "), _in_words(value)) for name, value in shown.items()],
        images=images,
        unread=read.unread,
    )
    write_report(path, page)
    console.note(f"Wrote {path}")


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
