"""From a model's name or file to an engine that reads with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vocr_cli.core.config import ImageConfig
from vocr_cli.core.errors import ConfigError, DataError, ModelError
from vocr_cli.core.inference.engines import Engine, TorchEngine, onnx_runtime, open_onnx
from vocr_cli.core.inference.seq2seq_engine import Seq2SeqEngine
from vocr_cli.core.models.files import ModelFile, find_model, is_vietocr_file, load_model, read_description
from vocr_cli.core.models.vietocr import VietocrRecognizer
from vocr_cli.core.precision import PrecisionName, choose_device, choose_precision, good_precisions
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
    if str(name_or_path).endswith(".onnx"):
        if config is not None:
            raise ConfigError(f"{name_or_path} describes itself.", "Leave --config out.")
        return _open_onnx(Path(name_or_path), device, precision, threads)
    if precision == "int8" and config is None and _takes_int8(find_model(name_or_path)):
        choose_precision(precision, choose_device("cpu" if device == "auto" else device))
        return _open_onnx(int8_file(name_or_path), device, precision, threads)
    return start_model(load_model(name_or_path, config), device, precision, threads)


def start_model(model: ModelFile, device: str, precision: str, threads: int) -> OpenModel:
    """The torch engine of a loaded model.

    Raises:
        ConfigError: The device or precision cannot be had.
    """
    place = choose_device(device)
    number_format = choose_precision(precision, place)
    if number_format == "int8":
        raise ConfigError(
            f"There is no int8 for {model.name}.",
            f"Use --precision {' or '.join(reversed(good_precisions(place)))}, or auto.",
        )
    engine: Engine
    if isinstance(model.module, VietocrRecognizer):
        engine = Seq2SeqEngine(model.module, model.charset, place, number_format, threads)
    else:
        engine = TorchEngine(model.module, place, number_format)
    return OpenModel(engine, model.image, model.charset, model.name)


def int8_file(name_or_path: str | Path) -> Path:
    """The int8 companion of a model.

    Raises:
        ModelError: No such model, or it has no companion.
    """
    model = find_model(name_or_path)
    companion = model.with_name(f"{model.stem}.int8.onnx")
    if not companion.is_file():
        raise ModelError(
            f"{name_or_path} has no int8 file: {companion} is missing.",
            f"Write it: vocr export {name_or_path} {companion} --calibrate DATA",
        )
    return companion


def available_precisions(name_or_path: str | Path, device: str = "auto") -> tuple[PrecisionName, ...]:
    """The precisions that this model, this hardware and the installed packages allow.

    Raises:
        ModelError: No such model.
        ConfigError: No such device.
    """
    place = choose_device(device)
    if str(name_or_path).endswith(".onnx"):
        return (open_model(name_or_path, "auto", "auto", 1).engine.precision,)
    found = good_precisions(place)
    model = find_model(name_or_path)
    companion = model.with_name(f"{model.stem}.int8.onnx")
    has_int8 = companion.is_file() and _takes_int8(model) and onnx_runtime()
    return (*found, "int8") if place == "cpu" and has_int8 else found


def _takes_int8(path: Path) -> bool:
    """Whether models of that file's family are written as int8."""
    if is_vietocr_file(path):
        return False
    family = read_description(path).get("model", {}).get("family", "ctc")
    return bool(family == "ctc")


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
    description = _description(path, engine.metadata)
    engine.precision = description["precision"]
    if precision not in ("auto", engine.precision):
        raise ModelError(
            f"{path} holds {engine.precision} numbers, not {precision}.",
            "Leave --precision out, or use the .safetensors model.",
        )
    image = ImageConfig.model_validate(description["image"])
    name = path.name.removesuffix(".onnx").removesuffix(".int8")
    return OpenModel(engine, image, Charset(description["charset"]), name)


def _description(path: Path, metadata: str | None) -> dict[str, Any]:
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
