"""Which device and number format a model runs in.

fp32 runs everywhere. bf16 pays on GPUs that compute in it and on CPUs with AVX512-BF16 or AMX; on others it
is emulated and slower than fp32. fp16 pays on GPUs only. int8 needs a model file that was calibrated for it.
"""

from __future__ import annotations

from typing import Literal, cast

import torch

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.hardware import read_hardware

DeviceName = Literal["cpu", "cuda"]
PrecisionName = Literal["fp32", "bf16", "fp16", "int8"]

TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The floating-point formats as torch has them; int8 is a format of files, no dtype of tensors here."""


def choose_device(requested: str) -> DeviceName:
    """`auto`: the GPU where there is one.

    Raises:
        ConfigError: `cuda` was asked for, but torch sees none.
    """
    present = torch.cuda.is_available()
    if requested == "auto":
        return "cuda" if present else "cpu"
    if requested == "cuda" and not present:
        raise ConfigError(
            "torch sees no CUDA device.",
            "Leave --device out, or install a CUDA build of torch and its driver.",
        )
    return cast(DeviceName, requested)


def good_precisions(device: DeviceName) -> tuple[PrecisionName, ...]:
    """The floating-point formats that the hardware runs well, the fastest last."""
    if device == "cuda":
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("fp32", "fp16", "bf16") if bf16 else ("fp32", "fp16")
    return ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively."""
    return read_hardware(torch_facts=False).cpu_bf16


def resolve_precision(requested: str, device: DeviceName) -> PrecisionName:
    """Gives the precision for `requested`; for `auto` the fastest float format that the hardware runs well.

    Raises:
        ConfigError: fp16 on a CPU, or int8 on a GPU.
    """
    if requested == "auto":
        return good_precisions(device)[-1]
    if requested == "fp16" and device == "cpu":
        raise ConfigError("fp16 is for GPUs; a CPU emulates it.", "Use --precision auto, bf16 or fp32.")
    if requested == "int8" and device == "cuda":
        raise ConfigError("int8 is for CPUs.", "Use --device cpu, or --precision auto.")
    return cast(PrecisionName, requested)
