"""From a model's name or file to an engine that reads with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vocr_cli.core.config.families import Head, family_of
from vocr_cli.core.config.tree import ImageConfig
from vocr_cli.core.errors import ConfigError, DataError, ModelError
from vocr_cli.core.inference.engines.backbones import BACKBONE, BACKBONE_LINES, OnnxBackbone, fingerprint
from vocr_cli.core.inference.engines.base import Engine, TorchEngine
from vocr_cli.core.inference.engines.onnx import onnx_runtime, open_onnx
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.known_speeds import without_timing
from vocr_cli.core.machine.precision import (
    TORCH_DTYPES,
    DeviceName,
    PrecisionName,
    choose_device,
    choose_precision,
    good_precisions,
)
from vocr_cli.core.models.files import ModelFile, load_model, read_description
from vocr_cli.core.models.spec import find_model, is_onnx, resolve_model
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset


@dataclass(frozen=True)
class OpenModel:
    """An engine, and what it takes to use it."""

    engine: Engine
    image: ImageConfig
    charset: Charset
    name: str


def open_model(
    name_or_path: str | Path, device: str, precision: str, threads: int, config: str | Path | None = None
) -> OpenModel:
    """Loads an embedded model, a .safetensors, .onnx or VietOCR .pth file.

    Raises:
        ModelError: No such model, a damaged or foreign file, or no int8 file beside it.
        ConfigError: The device or precision cannot be had, or `config` is given for a file that needs none.
        DependencyError: No runtime for ONNX files is installed.
    """
    if is_onnx(name_or_path):
        if config is not None:
            raise ConfigError(f"{name_or_path} describes itself.", "Leave --config out.")
        return _open_onnx(Path(name_or_path), device, precision, threads)
    if precision == "auto":
        precision = without_timing(find_model(name_or_path), choose_device(device), threads).precision
    if precision != "int8":
        return start_model(load_model(name_or_path, config), device, precision, threads)
    choose_precision(precision, choose_device("cpu" if device == "auto" else device))
    if config is None and _is_whole_in_int8(name_or_path):
        return _open_onnx(int8_file(name_or_path), device, precision, threads)
    model = load_model(name_or_path, config)
    return start_int8(model, int8_file(name_or_path, config), str(name_or_path), threads)


def start_model(model: ModelFile, device: str, precision: str, threads: int) -> OpenModel:
    """The torch engine of a loaded model.

    Raises:
        ConfigError: The device or precision cannot be had.
    """
    place = choose_device(device)
    number_format = choose_precision(precision, place)
    if number_format == "int8":
        raise ConfigError(
            f"{model.name} has no int8 file while it is no file itself.",
            f"Use --precision {' or '.join(reversed(good_precisions(place)))}, or auto.",
        )
    engine = ENGINES[model.config.HEAD](model, place, number_format, threads)
    return OpenModel(engine, model.image, model.charset, model.name)


def _column_engine(
    model: ModelFile, device: DeviceName, precision: PrecisionName, threads: int
) -> TorchEngine:
    return TorchEngine(model.module, device, precision)


def _token_engine(
    model: ModelFile, device: DeviceName, precision: PrecisionName, threads: int
) -> Seq2SeqEngine:
    assert isinstance(model.module, VietocrRecognizer)
    return Seq2SeqEngine(model.module, model.charset, device, precision, threads)


ENGINES: dict[Head, Callable[[ModelFile, DeviceName, PrecisionName, int], Engine]] = {
    "ctc": _column_engine,
    "autoregressive": _token_engine,
}
"""What a loaded model is read with in torch, by the `HEAD` of its family."""


def start_int8(model: ModelFile, companion: Path, name_or_path: str, threads: int) -> OpenModel:
    """The engine of a loaded VietOCR model, its backbone in int8.

    Args:
        model: Loaded from `name_or_path`.
        companion: What `write_int8` made of it.
        name_or_path: Named in errors.
        threads: Processors to use.

    Raises:
        ModelError: The companion was made of other weights, or is none.
        DependencyError: No runtime for ONNX files is installed.
    """
    assert isinstance(model.module, VietocrRecognizer)
    runner = open_onnx(companion, threads, BACKBONE_LINES)
    description = onnx_description(companion, runner.metadata)
    if description.get("fingerprint") != fingerprint(model.module):
        raise ModelError(
            f"{companion} was made of other weights than those of {name_or_path}.",
            f"Write it anew: vocr export {name_or_path} {companion} --calibrate DATA",
        )
    shared = partial(open_onnx, companion, threads, BACKBONE_LINES, shared=True)
    backbone = OnnxBackbone(runner, TORCH_DTYPES[good_precisions("cpu")[-1]], shared)
    engine = Seq2SeqEngine(model.module, model.charset, "cpu", "int8", threads, backbone)
    return OpenModel(engine, model.image, model.charset, model.name)


def int8_file(name_or_path: str | Path, config: str | Path | None = None) -> Path:
    """The int8 companion of a model; `config` as for `load_model`, named in errors.

    Raises:
        ModelError: No such model, or it has no companion.
    """
    model = find_model(name_or_path)
    companion = model.with_name(f"{model.stem}.int8.onnx")
    if not companion.is_file():
        raise ModelError(
            f"{name_or_path} has no int8 file: {companion} is missing.",
            f"Write it: vocr export {name_or_path} {companion} --calibrate DATA"
            + (f" --config {config}" if config else ""),
        )
    return companion


def available_precisions(name_or_path: str | Path, device: str = "auto") -> tuple[PrecisionName, ...]:
    """The precisions that this model, this hardware and the installed packages allow.

    Raises:
        ModelError: No such model.
        ConfigError: No such device.
    """
    place = choose_device(device)
    if is_onnx(name_or_path):
        return (open_model(name_or_path, "auto", "auto", 1).engine.precision,)
    found = good_precisions(place)
    model = find_model(name_or_path)
    companion = model.with_name(f"{model.stem}.int8.onnx")
    has_int8 = companion.is_file() and onnx_runtime()
    return (*found, "int8") if place == "cpu" and has_int8 else found


def _is_whole_in_int8(name_or_path: str | Path) -> bool:
    """Whether an int8 file of that model holds all of it: of one that writes step by step, the backbone."""
    spec = resolve_model(name_or_path)
    if spec.kind != "vocr model":
        return False
    family = family_of(read_description(spec.path).get("model", {}))
    return family is not None and family.HEAD == "ctc"


def _open_onnx(path: Path, device: str, precision: str, threads: int) -> OpenModel:
    if device == "cuda":
        raise ModelError(
            f"{path} runs on the CPU only.", "Leave --device out, or use the .safetensors model."
        )
    if not path.is_file():
        raise ModelError(
            f"No model at {path}.", "Check the path, or write it with `vocr export MODEL OUT.onnx`."
        )
    engine = open_onnx(path, threads)
    description = onnx_description(path, engine.metadata)
    if description.get("part") == BACKBONE:
        raise ModelError(
            f"{path} holds the backbone of a VietOCR model only.",
            "Give the model it was made of, with --precision int8.",
        )
    engine.precision = description["precision"]
    if precision not in ("auto", engine.precision):
        raise ModelError(
            f"{path} holds {engine.precision} numbers, not {precision}.",
            "Leave --precision out, or use the .safetensors model.",
        )
    image = ImageConfig.model_validate(description["image"])
    name = path.name.removesuffix(".onnx").removesuffix(".int8")
    return OpenModel(engine, image, Charset(description["charset"]), name)


def onnx_description(path: Path, metadata: str | None) -> dict[str, Any]:
    """What an ONNX file of ours says of its model, checked.

    Raises:
        ModelError: It is not one of ours, or says what cannot be.
    """
    remedy = "Give a model that `vocr export` wrote."
    if metadata is None:
        raise ModelError(f"{path} is an ONNX model, but not one of vocr's.", remedy)
    try:
        description: dict[str, Any] = json.loads(metadata)
        ImageConfig.model_validate(description["image"])
        Charset(description["charset"])
        if description["precision"] not in ("fp32", "int8"):
            raise ValueError(f"precision {description['precision']}")
    except (ValueError, KeyError, ValidationError, DataError) as error:
        raise ModelError(f"{path} describes itself wrongly: {error}", remedy) from None
    return description
