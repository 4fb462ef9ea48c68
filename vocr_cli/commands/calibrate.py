"""`vocr calibrate`: makes a model's confidences mean what they say."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from vocr_cli.core.export.confidences import Evidence, FitReport
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
    """
    from vocr_cli.core.errors import ModelError
    from vocr_cli.core.export.confidences import fit_calibration, raw_recognizers, report_fit
    from vocr_cli.core.inference.int8_companion import digest_of
    from vocr_cli.core.inference.model_source import find_source
    from vocr_cli.core.models.calibration import CalibrationFile, calibration_path, write_calibration

    source = find_source(str(model), config)
    if source.spec.is_embedded:
        raise ModelError(
            f"{model} is embedded, and calibrated.",
            f"To calibrate it on other lines, make it a file: vocr export {model} mine.safetensors",
        )
    recognizers = raw_recognizers(source, device.value, precision.value, runtime.value, lm)
    evidence = [line for each in data for line in _evidence(recognizers, each, labels)]
    calibration = fit_calibration(evidence)
    path = calibration_path(source.path)
    write_calibration(path, CalibrationFile(calibration, digest_of(source.path)))
    _show(report_fit(evidence), source)
    console.note(f"Wrote {path}")


def _evidence(
    recognizers: tuple[Recognizer, Recognizer | None], data: Path, labels: SourceOptions
) -> list[Evidence]:
    from vocr_cli.core.data.readers.labelled import load_labelled
    from vocr_cli.core.export.confidences import read_evidence

    labelled = load_labelled(data, None, labels)
    console.notes(labelled.notes)
    times = sum(each is not None for each in recognizers)
    with console.progress(f"Reading {data}", times * len(labelled.lines)) as counter:
        return read_evidence(recognizers, labelled, counter.advance)


def _show(report: FitReport, source: ModelSource) -> None:
    rows = [
        (name, f"{each.error:.2%}", f"{each.low:.2%} to {each.high:.2%}")
        for name, each in (("before", report.before), ("calibrated", report.after))
    ]
    title = f"Calibration error of {source.name}, {report.lines:,} lines, {report.searched:,} searched"
    console.table(title, ("", "value", "95 % interval"), rows)
