"""vocr export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.options import ConfigOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    import numpy as np

    from vocr_cli.core.models.files import ModelFile

CALIBRATION_LINES = 300
CHECK_LINES = 16


class WeightFormat(StrEnum):
    """Number format of stored weights."""

    fp32 = "fp32"
    fp16 = "fp16"


class Target(StrEnum):
    """A program that a file is written for."""

    vietocr = "vietocr"


ModelArg = Annotated[
    str,
    typer.Argument(
        help="Name of an embedded model, a .safetensors or VietOCR .pth file.", show_default=False
    ),
]
OutArg = Annotated[
    Path,
    typer.Argument(
        help="OUT.safetensors, OUT.onnx, OUT.int8.onnx (calibrated), or OUT.pth with --to vietocr.",
        show_default=False,
    ),
]
ToOpt = Annotated[
    Target | None,
    typer.Option("--to", help="Write OUT.pth and OUT.yml for VietOCR.", show_default=False),
]
DtypeOpt = Annotated[
    WeightFormat, typer.Option("--dtype", help="Weights of a .safetensors file; fp16 halves its size.")
]
PruneOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--prune",
        metavar="SHARE|K=V",
        help="Leave out this share of a ctc model's weights, those that matter least, or go down to a size: "
        "0.5, blocks=[0,1,1]. May be repeated.",
        show_default=False,
    ),
]
CalibrateOpt = Annotated[
    Path | None,
    typer.Option(
        "--calibrate",
        help="Lines that set the ranges of int8: annotation file, folder or LMDB. Default: rendered.",
        show_default=False,
    ),
]


def command(
    model: ModelArg,
    out: OutArg,
    to: ToOpt = None,
    dtype: DtypeOpt = WeightFormat.fp32,
    calibrate: CalibrateOpt = None,
    prune: PruneOpt = None,
    config: ConfigOpt = None,
) -> None:
    """Write a model as .safetensors, ONNX or for VietOCR, and check that it computes the same.

    An int8 file beside its model, named MODEL.int8.onnx, serves --precision int8. Of a VietOCR model it
    holds the backbone.
    """
    kind = "int8" if out.name.endswith(".int8.onnx") else out.suffix.lower()
    if kind not in (("int8", ".onnx", ".safetensors") if to is None else (".pth", ".pt")):
        wanted = (
            ".safetensors, .onnx or .int8.onnx (.pth goes with --to vietocr)" if to is None else ".pth or .pt"
        )
        raise typer.BadParameter(f"must end in {wanted}", param_hint="OUT")
    if calibrate is not None and kind != "int8":
        raise typer.BadParameter("is for OUT.int8.onnx", param_hint="--calibrate")
    if dtype != WeightFormat.fp32 and kind != ".safetensors":
        raise typer.BadParameter("is for OUT.safetensors", param_hint="--dtype")
    if prune and kind != ".safetensors":
        raise typer.BadParameter("is for OUT.safetensors: train it, then export it", param_hint="--prune")
    share, sizes = _to_prune(prune or [])

    from vocr_cli.core.models.files import load_model

    source = load_model(model, config)
    if prune:
        _write_pruned(source, model, out, dtype, share, sizes)
    elif kind == "int8" and source.config.family == "vietocr":
        _write_int8_backbone(source, model, out, calibrate)
    elif to is not None or source.config.family == "vietocr":
        _write_vietocr(source, out, kind, dtype)
    else:
        _write_ctc(source, model, out, kind, dtype, calibrate)


def _to_prune(given: list[str]) -> tuple[float, dict[str, object]]:
    """The share and the sizes that --prune names."""
    import yaml

    share, sizes = 0.0, {}
    for text in given:
        key, equals, value = text.partition("=")
        try:
            if equals:
                sizes[key.strip()] = yaml.safe_load(value)
            else:
                share = float(text)
        except (ValueError, yaml.YAMLError):
            raise typer.BadParameter(
                f"{text!r} is neither a share nor a size", param_hint="--prune"
            ) from None
    if not 0 <= share < 1:
        raise typer.BadParameter(f"a share is below 1, not {share:g}", param_hint="--prune")
    return share, sizes


def _write_pruned(
    source: ModelFile, model: str, out: Path, dtype: WeightFormat, share: float, sizes: dict[str, object]
) -> None:
    from vocr_cli.core.export.prune import pruned
    from vocr_cli.core.models.files import save_model

    smaller = pruned(source, share, sizes)
    save_model(out, smaller, dtype.value)
    before, after = smaller.provenance["parameters before"], smaller.provenance["parameters"]
    settings = ", ".join(f"{key}: {value}" for key, value in smaller.config.model_dump(mode="json").items())
    console.note(
        f"Wrote {out}, {out.stat().st_size / 1e6:.1f} MB: {after:,} of {before:,} parameters "
        f"({after / before:.0%}). It reads badly until it is trained on.\n"
        f"In the config: model: {{{settings}}}\n"
        f"Then: vocr train CONFIG --init {out} --teacher {model}"
    )


def _write_vietocr(source: ModelFile, out: Path, kind: str, dtype: WeightFormat) -> None:
    """A model of the `vietocr` family, for vocr or for VietOCR."""
    from vocr_cli.core.errors import ModelError
    from vocr_cli.core.export.vietocr import check_same, save_for_vietocr
    from vocr_cli.core.models.files import load_model, save_model

    written = str(out)
    if kind == ".safetensors":
        save_model(out, source, dtype.value)
    elif kind in (".pth", ".pt"):
        written += f" and {save_for_vietocr(out, source).name}"
    else:
        raise ModelError(
            f"{source.name} writes its text step by step, which no ONNX file of vocr does.",
            "Export it as OUT.safetensors, as OUT.pth with --to vietocr, or its backbone as OUT.int8.onnx.",
        )
    difference = check_same(source, load_model(out), out, exact=dtype == WeightFormat.fp32)
    size = f"{out.stat().st_size / 1e6:.1f} MB"
    console.note(f"Wrote {written}, {size}. Largest difference of a logit: {difference:.2g}.")


def _write_int8_backbone(source: ModelFile, model: str, out: Path, calibrate: Path | None) -> None:
    from vocr_cli.core.export.onnx import compare, write_int8
    from vocr_cli.core.inference.loading import make_int8_engine
    from vocr_cli.core.inference.recognizer import Recognizer

    lines = _calibration_lines(source, calibrate)
    write_int8(source, out, lines)
    engine = make_int8_engine(source, out, model, threads=1).engine
    written = Recognizer(engine, source.image, source.charset, source.name)
    agreement = compare(Recognizer.of(source, "cpu", "fp32", threads=1), written, lines[-CHECK_LINES:])
    console.note(
        f"Wrote the backbone to {out}, {out.stat().st_size / 1e6:.1f} MB. Of {agreement.lines} lines, "
        f"{agreement.same_texts} read the same as by {model}; largest difference of a feature: "
        f"{agreement.largest_difference:.2g}."
    )


def _write_ctc(
    source: ModelFile, model: str, out: Path, kind: str, dtype: WeightFormat, calibrate: Path | None
) -> None:
    from vocr_cli.core.export.onnx import check_fp32, compare, write_int8, write_onnx
    from vocr_cli.core.inference.recognizer import Recognizer
    from vocr_cli.core.models.files import save_model

    if kind == "int8":
        lines = _calibration_lines(source, calibrate)
        write_int8(source, out, lines)
    else:
        lines = _noise_lines(source)
        if kind == ".onnx":
            write_onnx(source, out)
        else:
            save_model(out, source, dtype.value)
    written = Recognizer.load(out, "cpu", "int8" if kind == "int8" else "fp32")
    agreement = compare(Recognizer.load(model, "cpu", "fp32"), written, lines[-CHECK_LINES:])
    if kind != "int8" and dtype == WeightFormat.fp32:
        check_fp32(agreement, out)
    console.note(
        f"Wrote {out}, {out.stat().st_size / 1e6:.1f} MB. Of {agreement.lines} lines, {agreement.same_texts} "
        f"read the same as by {model}; largest difference of a logit: {agreement.largest_difference:.2g}."
    )


def _calibration_lines(source: ModelFile, data: Path | None) -> list[np.ndarray]:
    from vocr_cli.core.data.images.images import fit_line
    from vocr_cli.core.errors import DataError, VocrError

    if data is None:
        return _rendered_lines(source)
    from vocr_cli.core.inference.inputs.sources import load_data

    lines = []
    for entry in load_data(data, CALIBRATION_LINES):
        try:
            lines.append(fit_line(entry.line.load()[1], source.image))
        except VocrError as error:
            console.warning(f"Left out: {error.problem}")
    if not lines:
        raise DataError(f"No line of {data} can be read.", "Name other lines with --calibrate.")
    return lines


def _rendered_lines(source: ModelFile) -> list[np.ndarray]:
    from vocr_cli.core.config.tree import SynthConfig
    from vocr_cli.core.data.images.images import fit_line
    from vocr_cli.core.synth.source import LineSource

    rendered = LineSource(SynthConfig(), source.charset, source.image.channels)
    with console.progress("Rendering lines to calibrate on", CALIBRATION_LINES) as progress:
        lines = []
        for number in range(CALIBRATION_LINES):
            lines.append(fit_line(rendered.line(number).image, source.image))
            progress.advance()
    return lines


def _noise_lines(source: ModelFile) -> list[np.ndarray]:
    """Lines of many widths, of noise: enough to show whether two files compute the same."""
    import numpy as np

    rng = np.random.default_rng(0)
    image = source.image
    widths = np.linspace(image.min_width_px, min(image.max_width_px, 1000), CHECK_LINES) // 8 * 8
    return [
        rng.integers(0, 256, (image.height_px, int(width), image.channels), dtype=np.uint8)
        for width in widths
    ]
