"""What is installed here and what this machine can read with: the facts that a report of a fault needs."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from vocr_cli import __version__
from vocr_cli.core.errors import reason_of
from vocr_cli.core.inference.engines.onnx import installed_runtimes
from vocr_cli.core.machine.cache_folder import cache_folder
from vocr_cli.core.machine.hardware import Hardware, read_hardware
from vocr_cli.core.machine.precision import good_precisions
from vocr_cli.core.machine.torch_available import has_torch
from vocr_cli.core.models.spec import embedded_models

EXTRAS = {
    "train": "torch",
    "onnx": "onnx",
    "openvino": "openvino",
    "gpu": "pynvml",
    "png": "pyspng",
    "parquet": "pyarrow",
    "layout": "lxml",
    "ray": "ray",
    "tensorboard": "tensorboard",
    "pages": "rapidocr",
    "web": "starlette",
    "browser": "playwright",
}
"""The extras of the package, and the module that each one brings."""

VARIABLES = ("VOCR_CACHE_DIR", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "RAY_ADDRESS")
"""Environment variables that change what vocr does."""

_PACKAGES = (
    "numpy",
    "pillow",
    "lmdb",
    "onnxruntime",
    "openvino",
    "onnx",
    "torch",
    "safetensors",
    "pydantic",
    "typer",
)


def environment_facts() -> dict[str, str]:
    """Versions, processor, what can be read with, extras and environment variables, each in words.

    Nothing that is missing or broken is an error: it is one of the facts.
    """
    hardware, torch_fault = _hardware()
    extras = {extra for extra, module in EXTRAS.items() if find_spec(module) is not None}
    return {
        "vocr": f"{__version__}, in {Path(__file__).parents[3]}",
        "python": f"{platform.python_version()}, {platform.python_implementation()}",
        "system": platform.platform(),
        "processor": f"{hardware.cpu_model or platform.machine()}, {hardware.cores} cores to use",
        "its flags": ", ".join(sorted(hardware.cpu_flags)) or "none that matter",
        "memory": _gigabytes(hardware.memory_bytes),
        "GPUs": "\n".join(f"{gpu.name}, {_gigabytes(gpu.memory_bytes)}" for gpu in hardware.gpus)
        or _no_gpu(),
        "torch": torch_fault or hardware.torch_version or "not installed",
        "formats on the CPU": _formats_on_cpu(hardware, bool(torch_fault)),
        "runtimes": ", ".join(_runtimes(bool(torch_fault))) or "none: pip install onnxruntime",
        "extras": ", ".join(sorted(extras)) or "none",
        "without": ", ".join(sorted(set(EXTRAS) - extras)) or "none",
        "embedded models": ", ".join(embedded_models()) or "none",
        "packages": ", ".join(_versions()),
        "cache folder": _cache_folder(),
        "environment": ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ)
        or f"none of {', '.join(VARIABLES)} is set",
    }


def _hardware() -> tuple[Hardware, str]:
    """The machine, and what is wrong with torch where it is installed and cannot be loaded."""
    try:
        return read_hardware(), ""
    except Exception as error:  # a damaged installation raises anything, and its reader wants to know what
        return read_hardware(torch_facts=False), f"installed, but cannot be loaded: {reason_of(error)}"


def _no_gpu() -> str:
    return "none that torch sees" if has_torch() else "not known without torch"


def _formats_on_cpu(hardware: Hardware, torch_is_broken: bool) -> str:
    floats = good_precisions("cpu") if has_torch() and not torch_is_broken else ()
    exactly = "" if hardware.cpu_int8 else " (summed exactly, which is slower without VNNI)"
    ints = [f"int8{exactly}"] if installed_runtimes() else []
    return ", ".join([*floats, *ints]) or "none"


def _runtimes(torch_is_broken: bool) -> list[str]:
    return [*installed_runtimes(), *(["torch"] if has_torch() and not torch_is_broken else [])]


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _cache_folder() -> str:
    try:
        return str(cache_folder())
    except RuntimeError as error:
        return f"none: {reason_of(error)}"


def _gigabytes(size: int | None) -> str:
    return "not known" if size is None else f"{size / 1e9:.1f} GB"
