"""Engines that need torch: of loaded models, and of VietOCR's in int8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vocr_cli.core.config.families import Head
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.inference.backends.loaded_model import LoadedModel
from vocr_cli.core.inference.engines.backbones import (
    BACKBONE_LINES,
    OnnxBackbone,
    fingerprint,
    is_fingerprint,
)
from vocr_cli.core.inference.engines.base import Engine
from vocr_cli.core.inference.engines.onnx import RuntimeName, open_onnx
from vocr_cli.core.inference.engines.onnx_format import FINGERPRINT_KEY, MEMORY
from vocr_cli.core.inference.engines.onnx_sequence.open_files import open_sequence
from vocr_cli.core.inference.engines.torch_ctc import PIXEL_BYTES, TorchEngine
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.onnx_files import onnx_description, read_metadata
from vocr_cli.core.machine.precision import (
    DeviceName,
    PrecisionName,
    choose_device,
    good_precisions,
    resolve_precision,
)
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer


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
            f"Use precision {' or '.join(reversed(good_precisions(device_name)))}, or auto.",
        )
    engine = ENGINES[model.config.HEAD](model, device_name, precision_name, threads, decode_options)
    return LoadedModel(engine, model.image, model.charset, model.name, model.notes)


def _ctc_engine(
    model: ModelFile,
    device: DeviceName,
    precision: PrecisionName,
    threads: int,
    decode_options: DecodeOptions | None,
) -> TorchEngine:
    pixel_bytes = PIXEL_BYTES * model.config.activation_scale
    return TorchEngine(model.module, device, precision, pixel_bytes=pixel_bytes)


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
    runtime: RuntimeName,
    *,
    decode_options: DecodeOptions | None = None,
    config: str | Path | None = None,
) -> LoadedModel:
    """Makes the engine of a loaded VietOCR model, whole in int8 or its backbone, as the file has it.

    Args:
        model: The loaded model.
        companion: What `write_int8` made of it.
        name: The model's, as the user gave it; named in errors.
        threads: Processors to use.
        runtime: What runs the backbone.
        decode_options: How lines are read; None: as in validation.
        config: Named in the remedy: VietOCR's YAML that the model was loaded with.

    Raises:
        ModelError: The companion was made of other weights, or is none.
        DependencyError: No runtime for ONNX files is installed.
    """
    remedy = f"Write it anew: vocr export {name} {companion} --calibrate DATA"
    if config is not None:
        remedy += f" --config {config}"
    if not isinstance(model.module, VietocrRecognizer):
        raise ModelError(
            f"{companion} holds the backbone of a VietOCR model only, and {name} is none.", remedy
        )
    description = onnx_description(companion, read_metadata(companion))
    is_whole = description.get("part") == MEMORY
    written = description.get(FINGERPRINT_KEY)
    is_own = is_fingerprint(written, model.module) if is_whole else written == fingerprint(model.module)
    if not is_own or (is_whole and description["charset"] != model.charset.characters):
        raise ModelError(
            f"{companion} was made of other weights than those of {name}, or with another config.", remedy
        )
    if is_whole:
        whole = open_sequence(companion, description, threads, runtime, decode_options)
        return LoadedModel(whole, model.image, model.charset, model.name, model.notes)
    onnx_model = open_onnx(companion, threads, runtime, BACKBONE_LINES)
    open_shared = partial(open_onnx, companion, threads, runtime, BACKBONE_LINES, shared=True)
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
    return LoadedModel(engine, model.image, model.charset, model.name, model.notes)
