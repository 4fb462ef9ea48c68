"""`vocr calibrate`: makes a model's confidences mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.label_options import with_label_options
from vocr_cli.options import (
    ConfigOpt,
    Device,
    DeviceOpt,
    LmOpt,
    Precision,
    PrecisionOpt,
    Runtime,
    RuntimeOpt,
)
from vocr_cli.terminal import console
from vocr_cli.terminal.unreadable import LEFT_OUT, show_faults

if TYPE_CHECKING:
    from vocr_cli.core.data.readers.labelled import LabelledSet
    from vocr_cli.core.export.confidences import Evidence, FitReport, LeftOut
    from vocr_cli.core.inference import Recognizer
    from vocr_cli.core.inference.model_source import ModelSource

ModelArg = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A model file, not an embedded model.", show_default=False),
]
DataArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATA...",
        help="Lines that the model was not trained on: LMDBs, lists, tables, folders with labels.",
        show_default=False,
    ),
]


@with_label_options
def command(
    model: ModelArg,
    data: DataArg,
    labels: SourceOptions,
    config: ConfigOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    lm: LmOpt = "auto",
) -> None:
    """Make a model's confidences mean what they say: of lines with 0.9, nine in ten are right.

    Reads labelled lines, a thousand or more, as easy and as hard as those to come, compares, and writes
    MODEL.calibration.json beside the model. Whatever reads with the model then takes it. The weights stay as
    they are; after further training it is not taken any more.

    Lines that cannot be used are left out and named (exit code 3).

    With a language model, as of --lm vi, how much that counts is chosen on the same lines.
    """
    from vocr_cli.core.errors import ModelError
    from vocr_cli.core.export.confidences import (
        LeftOut,
        fit_calibration,
        heard_at,
        raw_recognizers,
        report_fit,
    )
    from vocr_cli.core.inference.int8_companion import digest_of
    from vocr_cli.core.inference.model_source import find_source
    from vocr_cli.core.models.calibration import CalibrationFile, calibration_path, write_calibration

    source = find_source(str(model), config)
    if source.spec.is_embedded:
        raise ModelError(
            f"{model} is embedded, and calibrated.",
            f"To calibrate it on other lines, make it a file: vocr export {model} mine.safetensors",
        )
    direct, searching = raw_recognizers(source, device.value, precision.value, runtime.value, lm)
    labelled = {path: _labelled(path, labels) for path in data}
    weight = None if searching is None else _lm_weight(searching, list(labelled.values()))
    searching = searching and heard_at(searching, weight)
    left_out = LeftOut()
    evidence = [
        line
        for path, lines in labelled.items()
        for line in _evidence((direct, searching), path, lines, left_out)
    ]
    if left_out.empty:
        console.note(f"{left_out.empty:,} lines, read as empty, say nothing of confidences.")
    unusable = [line for part in labelled.values() for line in part.unusable]
    some_unusable = show_faults(("Could not be read, left out", left_out.unread), (LEFT_OUT, unusable))
    calibration = replace(fit_calibration(evidence), lm_weight=weight)
    path = calibration_path(source.path)
    write_calibration(path, CalibrationFile(calibration, digest_of(source.path)))
    _show(report_fit(evidence), source)
    console.note(f"Wrote {path}")
    if some_unusable:
        raise typer.Exit(3)


def _labelled(data: Path, labels: SourceOptions) -> LabelledSet:
    from vocr_cli.core.data.readers.labelled import load_labelled

    labelled = load_labelled(data, None, labels)
    console.notes(labelled.notes)
    return labelled


def _lm_weight(searching: Recognizer, labelled: Sequence[LabelledSet]) -> float | None:
    """Chooses how much the language model counts, and tells; None: as much as beside any other model."""
    from vocr_cli.core.decoding.ctc_beam import LM_WEIGHT
    from vocr_cli.core.export.confidences import WEIGHTS, choose_lm_weight

    times = len(WEIGHTS) * sum(len(part.lines) for part in labelled)
    with console.progress("Hearing the language model", times) as counter:
        choice = choose_lm_weight(searching, labelled, counter.advance)
    if choice is None or choice.kept is None:
        return None
    console.note(
        f"The language model counts {choice.weight}, not {LM_WEIGHT}: CER {choice.cer:.2%}, not "
        f"{choice.usual_cer:.2%}, on these lines."
    )
    return choice.kept


def _evidence(
    recognizers: tuple[Recognizer, Recognizer | None], data: Path, labelled: LabelledSet, left_out: LeftOut
) -> list[Evidence]:
    from vocr_cli.core.export.confidences import read_evidence

    times = sum(each is not None for each in recognizers)
    with console.progress(f"Reading {data}", times * len(labelled.lines)) as counter:
        return read_evidence(recognizers, labelled, counter.advance, left_out)


def _show(report: FitReport, source: ModelSource) -> None:
    rows = [
        (name, f"{each.error:.2%}", f"{each.low:.2%} to {each.high:.2%}")
        for name, each in (("before", report.before), ("calibrated", report.after))
    ]
    title = f"Calibration error of {source.name}, {report.lines:,} lines, {report.searched:,} searched"
    console.table(title, ("", "value", "95 % interval"), rows)
