"""Which device and number format a model runs in.

fp32 runs everywhere. bf16 pays on GPUs that compute in it and on CPUs with AVX512-BF16, AMX or ARM's BF16; on
others it is emulated and slower than fp32. fp16 pays on NVIDIA's GPUs from Volta on (capability 7.0): those
before have next to no units for it. int8 needs a model file that was calibrated for it. Apple's GPUs (MPS)
are taken only where they are asked for, and compute in fp32 unless another format is asked for, too: there,
nothing was measured yet. torch is asked only where a GPU may be: loading it takes longer than reading
hundreds of lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast, get_args

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.hardware import has_bf16, processor, sums_int8_exactly
from vocr_cli.core.machine.torch_available import has_torch, need_torch

DeviceName = Literal["cpu", "cuda", "mps"]
PrecisionName = Literal["fp32", "bf16", "fp16", "int8"]
DEVICES = ("auto", *get_args(DeviceName))
PRECISIONS = ("auto", *get_args(PrecisionName))
FP16_CAPABILITY = (7, 0)
"""Of NVIDIA's GPUs: the first that compute faster in fp16 than in fp32."""


def check_choice(what: str, named: str, known: Sequence[str]) -> None:
    """Refuses a name that is none of those known.

    Raises:
        ConfigError: It is none.
    """
    if named not in known:
        raise ConfigError(f"There is no {what} {named!r}.", f"Use {', '.join(known[:-1])} or {known[-1]}.")


def choose_device(requested: str) -> DeviceName:
    """`auto`: the CUDA GPU where there is one, else the CPU.

    Raises:
        ConfigError: `cuda` or `mps` was asked for, but torch sees none; or there is no such device.
        DependencyError: `cuda` or `mps` was asked for, and torch is not installed.
    """
    check_choice("device", requested, DEVICES)
    if requested in ("cuda", "mps"):
        need_torch(f"--device {requested}")
    if requested == "auto":
        return "cuda" if cuda_present() else "cpu"
    if requested == "mps" and not mps_present():
        raise ConfigError(
            "torch sees no Apple GPU (MPS).",
            "Use device auto or cpu; MPS needs a Mac with Apple silicon, macOS 14 or newer.",
        )
    if requested == "cuda" and not cuda_present():
        raise ConfigError(
            "torch sees no CUDA device.",
            "Use device auto or cpu, or install a CUDA build of torch and its driver.",
        )
    return cast(DeviceName, requested)


def cuda_present() -> bool:
    """Whether torch sees a GPU; torch is loaded only where it is installed, and a driver is."""
    if not has_torch() or not _cuda_driver_present():
        return False
    import torch

    return torch.cuda.is_available()


def mps_present() -> bool:
    """Whether torch can compute on the GPU of a Mac."""
    if not has_torch():
        return False
    import torch

    return torch.backends.mps.is_available()


def _cuda_driver_present(root: Path = Path("/")) -> bool:
    """Whether the driver of an NVIDIA card, or a ROCm one, is there."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "System32" / "nvcuda.dll").is_file()
    return any((root / name).exists() for name in ("dev/nvidiactl", "dev/nvidia0", "dev/dxg", "dev/kfd"))


def good_precisions(device: DeviceName) -> tuple[PrecisionName, ...]:
    """The floating-point formats that the hardware runs well, the fastest last."""
    if device == "cuda":
        import torch

        if torch.cuda.is_bf16_supported(including_emulation=False):
            return ("fp32", "fp16", "bf16")
        try:
            fp16 = torch.cuda.get_device_capability() >= FP16_CAPABILITY
        except (AssertionError, RuntimeError):  # no GPU after all: whoever uses it says so
            fp16 = False
        return ("fp32", "fp16") if fp16 else ("fp32",)
    if device == "mps":
        return ("fp32",)
    return ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively."""
    return has_bf16(processor()[1])


def cpu_sums_int8_exactly() -> bool:
    """Whether the CPU sums products of bytes without saturating; see `sums_int8_exactly`."""
    return sums_int8_exactly(processor()[1])


def resolve_precision(requested: str, device: DeviceName) -> PrecisionName:
    """Gives the precision for `requested`; for `auto` the fastest float format that the hardware runs well.

    Raises:
        ConfigError: fp16 on a CPU, int8 on a GPU, or no such format.
    """
    check_choice("precision", requested, PRECISIONS)
    if requested == "auto":
        return good_precisions(device)[-1]
    if requested == "fp16" and device == "cpu":
        raise ConfigError("fp16 is for GPUs; a CPU emulates it.", "Use precision auto, bf16 or fp32.")
    if requested == "int8" and device != "cpu":
        raise ConfigError("int8 is for CPUs.", "Use device cpu, or precision auto.")
    return cast(PrecisionName, requested)
