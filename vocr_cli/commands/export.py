"""vocr export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.options import OUTPUT, ConfigOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from vocr_cli.core.export.targets import ExportReport, Target
    from vocr_cli.core.models.files import ModelFile


class WeightFormat(StrEnum):
    """Number format of stored weights."""

    fp32 = "fp32"
    fp16 = "fp16"


class Program(StrEnum):
    """A program that a file is written for."""

    vietocr = "vietocr"


ModelArg = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Name of an embedded model, a .safetensors or VietOCR .pth file.",
        show_default=False,
    ),
]
OutArg = Annotated[
    Path,
    typer.Argument(
        metavar="OUT",
        help="OUT.safetensors, OUT.onnx, OUT.int8.onnx (calibrated), or OUT.pth with --to vietocr.",
        show_default=False,
    ),
]
ToOpt = Annotated[
    Program | None,
    typer.Option(
        "--to",
        help="Write OUT.pth and OUT.yml for VietOCR.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
DtypeOpt = Annotated[
    WeightFormat,
    typer.Option(
        "--dtype", help="Weights of a .safetensors file; fp16 halves its size.", rich_help_panel=OUTPUT
    ),
]
PruneOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--prune",
        metavar="SHARE|K=V",
        help="Leave out this share of a ctc model's weights, those that matter least, or go down to a size: "
        "0.5, blocks=[0,1,1]. May be repeated.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
GrowOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--grow",
        metavar="K=V",
        help="Give a ctc model more layers, which change nothing until it is trained on: blocks=[0,2,4], "
        "column_blocks=3, attention_layers=3. May be repeated.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
AverageOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--average",
        metavar="MODEL",
        help="Write the mean of the weights of MODEL and of this one, trained on from the same: it often "
        "errs less than either. May be repeated.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
CalibrateOpt = Annotated[
    Path | None,
    typer.Option(
        "--calibrate",
        metavar="DATA",
        help="Lines that set the ranges of int8: annotation file, folder or LMDB. Default: rendered.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def command(
    model: ModelArg,
    out: OutArg,
    to: ToOpt = None,
    dtype: DtypeOpt = WeightFormat.fp32,
    calibrate: CalibrateOpt = None,
    prune: PruneOpt = None,
    grow: GrowOpt = None,
    average: AverageOpt = None,
    config: ConfigOpt = None,
) -> None:
    """Write a model as .safetensors, ONNX or for VietOCR, and check that it computes the same.

    An int8 file beside its model, named MODEL.int8.onnx, serves --precision int8.

    A VietOCR model becomes two ONNX files: OUT.onnx, and OUT.decoder.onnx with a step of its decoder.
    """
    target = _target(out, to)
    if calibrate is not None and target != "int8":
        raise typer.BadParameter("It is for OUT.int8.onnx.", param_hint="--calibrate")
    if dtype != WeightFormat.fp32 and target != "safetensors":
        raise typer.BadParameter("It is for OUT.safetensors.", param_hint="--dtype")
    reshaping = "--prune" if prune else "--grow" if grow else "--average"
    if (prune or grow or average) and target != "safetensors":
        raise typer.BadParameter(
            "It is for OUT.safetensors. Train that, then export it.", param_hint=reshaping
        )
    if sum(map(bool, (prune, grow, average))) > 1:
        raise typer.BadParameter("One of --prune, --grow and --average.", param_hint=reshaping)
    share, sizes = _shares_and_sizes(prune or grow or [], reshaping)
    need_torch("vocr export")

    from vocr_cli.core.export.targets import ExportSettings, export
    from vocr_cli.core.models.files import load_model
    from vocr_cli.core.models.spec import find_model

    source = load_model(model, config)
    if prune:
        _write_pruned(source, model, out, dtype, share, sizes)
        return
    if grow:
        _write_grown(source, find_model(model), out, dtype, sizes)
        return
    if average:
        _write_average([source, *(load_model(other) for other in average)], out, dtype)
        return
    calibration = _calibration_lines(source, calibrate) if target == "int8" else ()
    settings = ExportSettings(
        out=out, name=model, source=find_model(model), dtype=dtype.value, calibration=calibration
    )
    console.note(_described(export(source, target, settings), model))


def _target(out: Path, to: Program | None) -> Target:
    """What the name of the file asks for.

    Raises:
        BadParameter: No target is written to a file with such a suffix.
    """
    suffix = out.suffix.lower()
    if to is not None:
        if suffix not in (".pth", ".pt"):
            raise typer.BadParameter("With --to vietocr, its name ends in .pth or .pt.", param_hint="OUT")
        return "vietocr"
    if suffix not in (".onnx", ".safetensors"):
        raise typer.BadParameter(
            "Its name ends in .safetensors, .onnx or .int8.onnx; .pth goes with --to vietocr.",
            param_hint="OUT",
        )
    if suffix == ".safetensors":
        return "safetensors"
    return "int8" if out.name.lower().endswith(".int8.onnx") else "onnx"


def _shares_and_sizes(given: list[str], option: str) -> tuple[float, dict[str, object]]:
    """The share and the sizes that --prune names, or the sizes of --grow."""
    from vocr_cli.core.config.yaml_text import parse_yaml

    share, sizes = 0.0, {}
    for text in given:
        key, equals, value = text.partition("=")
        try:
            if equals or option == "--grow":
                sizes[key.strip()] = parse_yaml(value)
            else:
                share = float(text)
        except ValueError:
            wanted = "a size" if option == "--grow" else "a share, such as 0.5, or a size"
            problem = f"{text!r} is not {wanted}, such as blocks=[0,1,1]."
            raise typer.BadParameter(problem, param_hint=option) from None
    if not 0 <= share < 1:
        raise typer.BadParameter(f"A share is at least 0 and below 1, not {share:g}.", param_hint=option)
    return share, sizes


def _write_pruned(
    source: ModelFile, model: str, out: Path, dtype: WeightFormat, fraction: float, sizes: dict[str, object]
) -> None:
    from vocr_cli.core.export.prune import prune_model
    from vocr_cli.core.models.files import save_model

    smaller = prune_model(source, fraction, sizes)
    save_model(out, smaller, dtype.value)
    reads = "It reads badly until it is trained on."
    if smaller.config == source.config:
        reads = "Nothing was taken away: it reads as before."
    console.note(
        f"Wrote {out}, {_reshaped(smaller, out)}. {reads}\n"
        f"{_settings_of(smaller)}\nThen: vocr train CONFIG --init {out} --teacher {model}"
    )


def _write_grown(
    source: ModelFile, file: Path, out: Path, dtype: WeightFormat, depths: dict[str, object]
) -> None:
    from vocr_cli.core.export.grow import grow_model
    from vocr_cli.core.export.targets import carry_calibration
    from vocr_cli.core.models.files import save_model

    larger = grow_model(source, depths)
    save_model(out, larger, dtype.value)
    calibration = carry_calibration(file, out)
    names = f"{out} and {calibration.name}" if calibration else f"{out}"
    console.note(
        f"Wrote {names}, {_reshaped(larger, out)}. It computes the same until it is trained on.\n"
        f"{_settings_of(larger)}\nThen: vocr train CONFIG --init {out}"
    )


def _write_average(models: Sequence[ModelFile], out: Path, dtype: WeightFormat) -> None:
    from vocr_cli.core.export.average import averaged_model
    from vocr_cli.core.models.files import save_model

    save_model(out, averaged_model(models), dtype.value)
    console.note(
        f"Wrote {out}, {out.stat().st_size / 1e6:.1f} MB: the mean of {len(models)} models.\n"
        "Whether it reads better than each of them: vocr eval"
    )


def _reshaped(model: ModelFile, out: Path) -> str:
    before, after = model.provenance["parameters before"], model.provenance["parameters"]
    share = f"{after:,} of {before:,} parameters ({after / before:.0%})"
    if after > before:
        share = f"{after:,} parameters instead of {before:,}"
    return f"{out.stat().st_size / 1e6:.1f} MB: {share}"


def _settings_of(model: ModelFile) -> str:
    settings = ", ".join(f"{key}: {value}" for key, value in model.config.model_dump(mode="json").items())
    return f"In the config: model: {{{settings}}}"


def _described(report: ExportReport, model: str) -> str:
    names = " and ".join([str(report.files[0]), *(path.name for path in report.files[1:])])
    size = f"{report.files[0].stat().st_size / 1e6:.1f} MB"
    difference = f"largest difference of a {report.output}: {report.largest_difference:.2g}."
    compared = difference.capitalize()
    if report.lines:
        compared = f"Of {report.lines} lines, {report.same_texts} read the same as by {model}; {difference}"
    return f"Wrote {'the backbone to ' if report.backbone_only else ''}{names}, {size}. {compared}"


def _calibration_lines(source: ModelFile, data: Path | None) -> Sequence[np.ndarray]:
    """The lines that set the ranges of int8, those of --calibrate or rendered ones."""
    from vocr_cli.core.export.calibration import CALIBRATION_LINES, read_lines, rendered_lines

    if data is not None:
        return read_lines(source, data, lambda error: console.warning(f"Left out: {error.problem}"))
    lines = []
    with console.progress("Rendering lines to calibrate on", CALIBRATION_LINES) as progress:
        for line in rendered_lines(source):
            lines.append(line)
            progress.advance()
    return lines
