"""From a model's file to an engine that reads with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vocr_cli.core.config.families import Head, family_of
from vocr_cli.core.config.tree import ImageConfig
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.inference.engines.backbones import BACKBONE, BACKBONE_LINES, OnnxBackbone, fingerprint
from vocr_cli.core.inference.engines.base import Engine, TorchEngine
from vocr_cli.core.inference.engines.onnx import OnnxEngine, onnx_runtime, open_onnx
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.known_speeds import precision_without_timing
from vocr_cli.core.inference.model_source import ModelSource, find_source
from vocr_cli.core.inference.onnx_files import onnx_description
from vocr_cli.core.machine.precision import (
    TORCH_DTYPES,
    DeviceName,
    PrecisionName,
    choose_device,
    good_precisions,
    resolve_precision,
)
from vocr_cli.core.models.files import ModelFile, load_model, read_description
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset


@dataclass(frozen=True)
class LoadedModel:
    """An engine, and what it takes to use it."""

    engine: Engine
    image: ImageConfig
    charset: Charset
    name: str


def load_engine(
    source: ModelSource,
    device: str,
    precision: str,
    threads: int,
    decode_options: DecodeOptions | None = None,
) -> LoadedModel:
    """Loads an embedded model, a .safetensors, .onnx or VietOCR .pth file.

    Args:
        source: The model's file.
        device: auto, cpu or cuda.
        precision: auto, fp32, bf16, fp16 or int8.
        threads: Processors to use.
        decode_options: How models read that write step by step; None: as in validation.

    Raises:
        ModelError: A damaged or foreign file, or no int8 file beside it.
        ConfigError: The device or precision cannot be had, or the config is given for a file that needs none.
        DependencyError: No runtime for ONNX files is installed.
    """
    if source.is_onnx:
        return _load_onnx(source.path, device, precision, threads)
    if precision == "auto":
        precision = precision_without_timing(source.path, choose_device(device), threads).precision
    if precision != "int8":
        model = load_model(source.path, source.config)
        return make_engine(model, device, precision, threads, decode_options)
    resolve_precision(precision, choose_device("cpu" if device == "auto" else device))
    if source.config is None and _is_whole_in_int8(source):
        return _load_onnx(source.int8_companion(), device, precision, threads)
    model = load_model(source.path, source.config)
    return make_int8_engine(model, source.int8_companion(), source.name, threads, decode_options)


def make_engine(
    model: ModelFile,
    device: str,
    precision: str,
    threads: int,
    decode_options: DecodeOptions | None = None,
) -> LoadedModel:
    """Makes the torch engine of a loaded model; arguments as for `load_engine`.

    Raises:
        ConfigError: The device or precision cannot be had.
    """
    device_name = choose_device(device)
    precision_name = resolve_precision(precision, device_name)
    if precision_name == "int8":
        raise ConfigError(
            f"{model.name} has no int8 file while it is no file itself.",
            f"Use --precision {' or '.join(reversed(good_precisions(device_name)))}, or auto.",
        )
    engine = ENGINES[model.config.HEAD](model, device_name, precision_name, threads, decode_options)
    return LoadedModel(engine, model.image, model.charset, model.name)


def _ctc_engine(
    model: ModelFile,
    device: DeviceName,
    precision: PrecisionName,
    threads: int,
    decode_options: DecodeOptions | None,
) -> TorchEngine:
    return TorchEngine(model.module, device, precision)


def _autoregressive_engine(
    model: ModelFile,
    device: DeviceName,
    precision: PrecisionName,
    threads: int,
    decode_options: DecodeOptions | None,
) -> Seq2SeqEngine:
    assert isinstance(model.module, VietocrRecognizer)
    return Seq2SeqEngine(
        model.module, model.charset, device, precision, threads=threads, decode_options=decode_options
    )


EngineBuilder = Callable[[ModelFile, DeviceName, PrecisionName, int, DecodeOptions | None], Engine]
"""Makes an engine of a loaded model; arguments as for `load_engine`, device and precision resolved."""

ENGINES: dict[Head, EngineBuilder] = {"ctc": _ctc_engine, "autoregressive": _autoregressive_engine}
"""What a loaded model is read with in torch, by the `HEAD` of its family."""


def make_int8_engine(
    model: ModelFile,
    companion: Path,
    name: str,
    threads: int,
    decode_options: DecodeOptions | None = None,
) -> LoadedModel:
    """Makes the engine of a loaded VietOCR model, its backbone in int8.

    Args:
        model: The loaded model.
        companion: What `write_int8` made of it.
        name: The model's, as the user gave it; named in errors.
        threads: Processors to use.
        decode_options: How lines are read; None: as in validation.

    Raises:
        ModelError: The companion was made of other weights, or is none.
        DependencyError: No runtime for ONNX files is installed.
    """
    assert isinstance(model.module, VietocrRecognizer)
    onnx_model = open_onnx(companion, threads, BACKBONE_LINES)
    description = onnx_description(companion, onnx_model.metadata)
    if description.get("fingerprint") != fingerprint(model.module):
        raise ModelError(
            f"{companion} was made of other weights than those of {name}.",
            f"Write it anew: vocr export {name} {companion} --calibrate DATA",
        )
    open_shared = partial(open_onnx, companion, threads, BACKBONE_LINES, shared=True)
    backbone = OnnxBackbone(onnx_model, TORCH_DTYPES[good_precisions("cpu")[-1]], open_shared)
    engine = Seq2SeqEngine(
        model.module,
        model.charset,
        "cpu",
        "int8",
        threads=threads,
        backbone=backbone,
        decode_options=decode_options,
    )
    return LoadedModel(engine, model.image, model.charset, model.name)


def available_precisions(name_or_path: str | Path, device: str = "auto") -> tuple[PrecisionName, ...]:
    """The precisions that this model, this hardware and the installed packages allow.

    Raises:
        ModelError: No such model.
        ConfigError: No such device.
    """
    device_name = choose_device(device)
    source = find_source(name_or_path)
    if source.is_onnx:
        return (load_engine(source, "auto", "auto", 1).engine.precision,)
    precisions = good_precisions(device_name)
    has_int8 = source.int8_path.is_file() and onnx_runtime()
    return (*precisions, "int8") if device_name == "cpu" and has_int8 else precisions


def _is_whole_in_int8(source: ModelSource) -> bool:
    """Whether an int8 file of that model holds all of it: of one that writes step by step, the backbone."""
    if source.spec.kind != "vocr model":
        return False
    family = family_of(read_description(source.path).get("model", {}))
    return family is not None and family.HEAD == "ctc"


def _load_onnx(path: Path, device: str, precision: str, threads: int) -> LoadedModel:
    if device == "cuda":
        raise ModelError(
            f"{path} runs on the CPU only.", "Leave --device out, or use the .safetensors model."
        )
    onnx_model = open_onnx(path, threads)
    description = onnx_description(path, onnx_model.metadata)
    if description.get("part") == BACKBONE:
        raise ModelError(
            f"{path} holds the backbone of a VietOCR model only.",
            "Give the model it was made of, with --precision int8.",
        )
    stored_precision: PrecisionName = description["precision"]
    if precision not in ("auto", stored_precision):
        raise ModelError(
            f"{path} holds {stored_precision} numbers, not {precision}.",
            "Leave --precision out, or use the .safetensors model.",
        )
    image = ImageConfig.model_validate(description["image"])
    name = path.name.removesuffix(".onnx").removesuffix(".int8")
    engine = OnnxEngine(onnx_model, stored_precision)
    return LoadedModel(engine, image, Charset(description["charset"]), name)
