"""From a model's file to an engine that reads with it. Loads torch only for engines that need it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.errors import ModelError
from vocr_cli.core.inference.backends.auto_backend import choose_backend, device_for
from vocr_cli.core.inference.backends.backend import Backend, RuntimeName
from vocr_cli.core.inference.backends.loaded_model import LoadedModel
from vocr_cli.core.inference.engines.onnx import OnnxEngine, installed_runtimes, open_onnx
from vocr_cli.core.inference.engines.onnx_format import BACKBONE, MEMORY
from vocr_cli.core.inference.int8_companion import digest_of, speaks_for
from vocr_cli.core.inference.model_source import ModelSource, find_source
from vocr_cli.core.inference.onnx_files import onnx_description, part_of, read_metadata
from vocr_cli.core.machine.precision import (
    PrecisionName,
    choose_device,
    good_precisions,
)
from vocr_cli.core.machine.torch_available import has_torch, need_torch
from vocr_cli.core.models.calibration import Calibration, calibration_path, read_calibration
from vocr_cli.core.models.spec import ModelSpec
from vocr_cli.core.text import Charset

if TYPE_CHECKING:
    from vocr_cli.core.decoding.decode_options import DecodeOptions


def load_engine(
    source: ModelSource,
    device: str,
    precision: str,
    threads: int,
    decode_options: DecodeOptions | None = None,
    runtime: str = "auto",
) -> LoadedModel:
    """Loads an embedded model, a .safetensors, .onnx or VietOCR .pth file.

    Args:
        source: The model's file.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32, bf16, fp16 or int8.
        threads: Processors to use.
        decode_options: How models read that write step by step; None: as in validation.
        runtime: auto, torch, onnxruntime or openvino.

    Raises:
        ModelError: A damaged or foreign file, or no int8 file beside it.
        ConfigError: Device, precision or runtime cannot be had, or the config is given for a file that needs
            none.
        DependencyError: The runtime is not installed.
    """
    if source.is_onnx and device in ("cuda", "mps"):
        raise ModelError(
            f"{source.path} runs on the CPU only.", "Use device auto or cpu, or the .safetensors model."
        )
    device_name = device_for(device, precision, runtime, source)
    backend = choose_backend(source, device_name, precision, runtime, threads=threads).backend
    if source.is_onnx:
        return _load_onnx(source.path, precision, threads, backend.runtime, decode_options)
    if backend.runtime != "torch" and source.config is None:
        companion = source.int8_companion()
        if source.spec.is_embedded or part_of(companion) is None or speaks_for(source):
            return _load_onnx(companion, "int8", threads, backend.runtime, decode_options)
    need_torch(f"Reading with {source.name}")
    from vocr_cli.core.inference.torch_loading import make_engine, make_int8_engine
    from vocr_cli.core.models.files import load_model

    model = load_model(source.path, source.config)
    if backend.precision == "int8":
        assert backend.runtime != "torch"
        return make_int8_engine(
            model,
            source.int8_companion(),
            source.name,
            threads,
            backend.runtime,
            decode_options=decode_options,
            config=source.config,
        )
    return make_engine(model, device_name, backend.precision, threads, decode_options)


def calibration_of(model: ModelSpec) -> Calibration | None:
    """Reads the calibration beside a model; None: there is none, or it was fitted to other weights.

    Raises:
        ModelError: The file is damaged or of another format.
    """
    path = calibration_path(model.path)
    if not path.is_file():
        return None
    content = read_calibration(path)
    if model.is_embedded:  # shipped together, which a test holds to
        return content.calibration
    return content.calibration if content.weights == digest_of(model.path) else None


def available_backends(name_or_path: str | Path, device: str = "auto") -> tuple[Backend, ...]:
    """Lists the ways of reading that this model, this hardware and the installed packages allow.

    Raises:
        ModelError: No such model.
        ConfigError: No such device.
    """
    device_name = choose_device(device)
    source = find_source(name_or_path)
    if source.is_onnx:
        precision = onnx_description(source.path, read_metadata(source.path))["precision"]
        return tuple(Backend(precision, runtime) for runtime in installed_runtimes())
    floats = good_precisions(device_name) if has_torch() else ()
    has_int8 = device_name == "cpu" and source.int8_path.is_file()
    return (
        *(Backend(precision, "torch") for precision in floats),
        *(Backend("int8", runtime) for runtime in installed_runtimes() if has_int8),
    )


def _load_onnx(
    path: Path,
    precision: str,
    threads: int,
    runtime: RuntimeName,
    decode_options: DecodeOptions | None = None,
) -> LoadedModel:
    assert runtime != "torch"
    description = onnx_description(path, read_metadata(path))
    if description.get("part") == BACKBONE:
        raise ModelError(
            f"{path} holds the backbone of a VietOCR model only.",
            "Give the model it was made of, with precision int8.",
        )
    stored_precision: PrecisionName = description["precision"]
    if precision not in ("auto", stored_precision):
        raise ModelError(
            f"{path} holds {stored_precision} numbers, not {precision}.",
            "Use precision auto, or the .safetensors model.",
        )
    image = ImageConfig.parse(description["image"])
    name = path.name.removesuffix(".onnx").removesuffix(".int8")
    if description.get("part") == MEMORY:
        from vocr_cli.core.inference.engines.onnx_sequence.open_files import open_sequence

        sequence = open_sequence(path, description, threads, runtime, decode_options)
        return LoadedModel(sequence, image, Charset(description["charset"]), name)
    engine = OnnxEngine(open_onnx(path, threads, runtime), stored_precision, image.max_width_px)
    return LoadedModel(engine, image, Charset(description["charset"]), name)
