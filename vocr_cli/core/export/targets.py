"""What a model can be written as: one exporter for each target and kind of model.

Every exporter writes its file, reads it back and compares it with the model that it was written from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from vocr_cli.core.config.families import Head
from vocr_cli.core.errors import ModelError
from vocr_cli.core.export.compare import (
    COMPARED_LINES,
    EXACT_TOLERANCE,
    FP32_TOLERANCE,
    check_difference,
    compare,
    noise_lines,
    same_texts,
    teacher_forced_difference,
)
from vocr_cli.core.export.onnx import write_int8, write_onnx
from vocr_cli.core.export.sequence.difference import FP32_TOLERANCE as SEQUENCE_TOLERANCE
from vocr_cli.core.export.sequence.difference import sequence_difference
from vocr_cli.core.export.sequence.write import has_graphs, write_sequence
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.inference.engines.onnx import installed_runtimes
from vocr_cli.core.inference.int8_companion import digest_of
from vocr_cli.core.inference.loading import calibration_of
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.torch_loading import make_int8_engine
from vocr_cli.core.models.calibration import CalibrationFile, calibration_path, write_calibration
from vocr_cli.core.models.files import ModelFile, load_model, save_model
from vocr_cli.core.models.spec import resolve_model

Target = Literal["safetensors", "onnx", "int8", "vietocr"]
WeightFormat = Literal["fp32", "fp16"]


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How a model is to be written.

    Attributes:
        out: The file.
        name: What the model was called by; named in errors.
        source: The file that it was loaded from.
        dtype: Number format of the weights of a .safetensors file.
        calibration: Lines from `fit_line`, each (H, W, channels) uint8, that set the ranges of int8.
    """

    out: Path
    name: str
    source: Path
    dtype: WeightFormat = "fp32"
    calibration: Sequence[np.ndarray] = ()


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and how it compares with the model.

    Attributes:
        files: The model's file, then those that belong to it.
        output: What was compared.
        largest_difference: Of any value of that output, absolute.
        lines: Lines that both have read; 0: random texts were compared instead.
        same_texts: Those that both read the same.
        backbone_only: Whether the file holds the backbone of the model, and no more.
    """

    files: tuple[Path, ...]
    output: Literal["logit", "feature"] = "logit"
    largest_difference: float
    lines: int = 0
    same_texts: int = 0
    backbone_only: bool = False


def export(model: ModelFile, target: Target, settings: ExportSettings) -> ExportReport:
    """Writes a model, and checks that the file computes the same; its calibration is carried over.

    Raises:
        ModelError: Such a model cannot be written as that target, the file cannot be written, or, its
            weights not being rounded, it computes something else.
        DependencyError: The packages for ONNX files are not installed.
    """
    exporter = EXPORTERS.get((target, model.config.HEAD))
    if exporter is None:
        raise ModelError(*_REFUSALS[target](model))
    report = exporter(model, settings)
    path = None if report.backbone_only else carry_calibration(settings.source, settings.out)
    return report if path is None else replace(report, files=(*report.files, path))


def carry_calibration(source: Path, out: Path) -> Path | None:
    """Writes the calibration of a model beside another file that computes the same.

    Args:
        source: The model's file.
        out: The other file.

    Returns:
        The file of the calibration; None: the model has none.

    Raises:
        ModelError: The calibration cannot be read.
    """
    calibration = calibration_of(resolve_model(source))
    if calibration is None:
        return None
    path = calibration_path(out)
    write_calibration(path, CalibrationFile(calibration, digest_of(out)))
    return path


def _read_and_compared(
    model: ModelFile, settings: ExportSettings, precision: str, lines: Sequence[np.ndarray]
) -> ExportReport:
    written = Recognizer.load(settings.out, "cpu", precision, language_model="none")
    agreement = compare(Recognizer.of(model, "cpu", "fp32"), written, lines[-COMPARED_LINES:])
    return ExportReport(
        files=(settings.out,),
        largest_difference=agreement.largest_difference,
        lines=agreement.lines,
        same_texts=agreement.same_texts,
    )


def _ctc_safetensors(model: ModelFile, settings: ExportSettings) -> ExportReport:
    save_model(settings.out, model, settings.dtype)
    report = _read_and_compared(model, settings, "fp32", noise_lines(model.image))
    if settings.dtype == "fp32":
        check_difference(report.largest_difference, settings.out, FP32_TOLERANCE)
    return report


def _ctc_onnx(model: ModelFile, settings: ExportSettings) -> ExportReport:
    write_onnx(model, settings.out)
    report = _read_and_compared(model, settings, "fp32", noise_lines(model.image))
    check_difference(report.largest_difference, settings.out, FP32_TOLERANCE)
    return report


def _ctc_int8(model: ModelFile, settings: ExportSettings) -> ExportReport:
    write_int8(model, settings.out, settings.calibration, digest_of(settings.source))
    return _read_and_compared(model, settings, "int8", settings.calibration)


def _autoregressive_safetensors(model: ModelFile, settings: ExportSettings) -> ExportReport:
    save_model(settings.out, model, settings.dtype)
    return _teacher_forced(model, settings, exact=settings.dtype == "fp32")


def _autoregressive_vietocr(model: ModelFile, settings: ExportSettings) -> ExportReport:
    config_path = save_for_vietocr(settings.out, model)
    report = _teacher_forced(model, settings, exact=True)
    return replace(report, files=(settings.out, config_path))


def _teacher_forced(model: ModelFile, settings: ExportSettings, exact: bool) -> ExportReport:
    difference = teacher_forced_difference(model, load_model(settings.out))
    if exact:
        check_difference(difference, settings.out, EXACT_TOLERANCE)
    return ExportReport(files=(settings.out,), largest_difference=difference)


def _autoregressive_onnx(model: ModelFile, settings: ExportSettings) -> ExportReport:
    if not has_graphs(model):
        raise ModelError(
            f"{model.name} writes its text by convolutions, which no ONNX file of vocr does.",
            "Export it as OUT.safetensors, as OUT.pth with --to vietocr, or its backbone as OUT.int8.onnx.",
        )
    files = write_sequence(model, settings.out, "fp32")
    difference = sequence_difference(model, settings.out)
    check_difference(difference.relative, settings.out, SEQUENCE_TOLERANCE, files)
    return ExportReport(files=files, largest_difference=difference.absolute)


def _autoregressive_int8(model: ModelFile, settings: ExportSettings) -> ExportReport:
    """All of it, or, of a model that no graph of the decoder is written for, the backbone."""
    if not has_graphs(model):
        return _backbone_int8(model, settings)
    files = write_sequence(model, settings.out, "int8", settings.calibration, digest_of(settings.source))
    lines = settings.calibration[-COMPARED_LINES:]
    source, written = (
        Recognizer.of(model, "cpu", "fp32"),
        Recognizer.load(settings.out, "cpu", language_model="none"),
    )
    return ExportReport(
        files=files,
        largest_difference=sequence_difference(model, settings.out).absolute,
        lines=len(lines),
        same_texts=same_texts(source, written, lines),
    )


def _backbone_int8(model: ModelFile, settings: ExportSettings) -> ExportReport:
    write_int8(model, settings.out, settings.calibration)
    engine = make_int8_engine(model, settings.out, settings.name, 1, installed_runtimes()[-1]).engine
    written = Recognizer(engine, model.image, model.charset, model.name)
    source = Recognizer.of(model, "cpu", "fp32", threads=1)
    agreement = compare(source, written, settings.calibration[-COMPARED_LINES:])
    return ExportReport(
        files=(settings.out,),
        output="feature",
        largest_difference=agreement.largest_difference,
        lines=agreement.lines,
        same_texts=agreement.same_texts,
        backbone_only=True,
    )


EXPORTERS: dict[tuple[Target, Head], Callable[[ModelFile, ExportSettings], ExportReport]] = {
    ("safetensors", "ctc"): _ctc_safetensors,
    ("onnx", "ctc"): _ctc_onnx,
    ("int8", "ctc"): _ctc_int8,
    ("safetensors", "autoregressive"): _autoregressive_safetensors,
    ("onnx", "autoregressive"): _autoregressive_onnx,
    ("int8", "autoregressive"): _autoregressive_int8,
    ("vietocr", "autoregressive"): _autoregressive_vietocr,
}
"""The exporters, by target and by the `HEAD` of the model's family."""

_REFUSALS: dict[str, Callable[[ModelFile], tuple[str, str]]] = {
    "vietocr": lambda model: (
        f"{model.name} is of the family {model.config.family}, which VietOCR cannot run.",
        "Save it as .safetensors or .onnx, or train a model of the family vietocr.",
    ),
}
"""Problem and remedy where a target has no exporter for a model."""
