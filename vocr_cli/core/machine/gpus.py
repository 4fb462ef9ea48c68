"""What the driver tells of a GPU: how busy it is, and what of its memory is free.

It is asked by the card's UUID, since NVIDIA's tools count all cards of the machine, torch those of
CUDA_VISIBLE_DEVICES. NVML, its management library, answers where the extra `gpu` is installed, else the
program nvidia-smi; neither needs a context on the card, which takes some hundred MB of its memory. What
neither tells is None, never 0: parts of a card (MIG), virtual cards and ROCm's say nothing of their use.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

_PREFIXES = ("GPU-", "MIG-")
_TIMEOUT_S = 10.0


def gpu_uuid(index: int | None = None) -> str | None:
    """Gives the UUID of a GPU without the word before it; None: torch does not know it.

    Args:
        index: As torch counts; None: the one in use.
    """
    import torch

    with suppress(Exception):  # torch without CUDA, or a driver that is at odds with it
        index = torch.cuda.current_device() if index is None else index
        uuid = str(torch.cuda.get_device_properties(index).uuid)
        return uuid.removeprefix(_PREFIXES[0]).removeprefix(_PREFIXES[1])
    return None


class GpuMeter:
    """Asks about one GPU.

    Args:
        uuid: As `gpu_uuid` gives it; None: nothing is known of the card.
    """

    def __init__(self, uuid: str | None) -> None:
        self.uuid = uuid
        self._nvml, self._handle = _nvml_handle(uuid)

    @property
    def has_nvml(self) -> bool:
        """Whether NVML knows the card, so that asking takes microseconds."""
        return self._handle is not None

    def busy_fraction(self) -> float | None:
        """Gives the fraction of the last moments, 1/6 s to 1 s, in which the card ran anything."""
        if self._handle is not None:
            with suppress(Exception):  # not supported, as of a part of a card; or the driver is gone
                return int(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100
            return None
        percent = self._ask_nvidia_smi("utilization.gpu")
        return None if percent is None else percent / 100

    def free_bytes(self) -> int | None:
        """Gives the bytes that no process has taken."""
        if self._handle is not None:
            with suppress(Exception):
                return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).free)
        mib = self._ask_nvidia_smi("memory.free")
        return None if mib is None else mib << 20

    def _ask_nvidia_smi(self, what: str) -> int | None:
        if self.uuid is None:
            return None
        import subprocess  # takes longer to load than a line to read

        command = nvidia_smi_command(self.uuid, what)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.SubprocessError):
            return None
        return whole_number(done.stdout) if done.returncode == 0 else None


def nvidia_smi_command(uuid: str, what: str) -> list[str]:
    """Gives the command that prints one number about a card, or a word in brackets where there is none."""
    return ["nvidia-smi", f"--id=GPU-{uuid}", f"--query-gpu={what}", "--format=csv,noheader,nounits"]


def whole_number(text: str) -> int | None:
    """Reads what nvidia-smi prints; None for `[N/A]`, `[Not Supported]` and complaints."""
    return int(text) if text.strip().isdigit() else None


def _nvml_handle(uuid: str | None) -> tuple[Any, Any]:
    """NVML and its handle of a card; None, None where there is no library or no such card."""
    nvml: Any = _nvml() if uuid is not None else None
    for prefix in _PREFIXES if nvml is not None else ():
        with suppress(Exception):
            return nvml, nvml.nvmlDeviceGetHandleByUUID(f"{prefix}{uuid}")
    return None, None


@cache
def _nvml() -> Any:
    """NVIDIA's module, begun; None where it is not installed or finds no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or an error of its own of any kind
        return None
    return pynvml


def free_bytes_in_use() -> int | None:
    """Gives the bytes that this process can still have of its GPU, those that torch keeps for later included.

    None where there is no GPU. To ask makes a context on the card, if there is none yet.
    """
    import torch

    with suppress(Exception):
        if torch.cuda.is_available():
            cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
            return int(torch.cuda.mem_get_info()[0]) + cached
        if torch.backends.mps.is_available():
            return max(0, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return None
