"""What a run takes of its machine."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from vocr_cli.core.machine.hardware import usable_processors
from vocr_cli.core.machine.memory import resident_bytes

_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """Since the last look; None where the system does not tell.

    Attributes:
        cpu_share: CPU time of this process and its children, over that of the processors it may use.
        gpu_share: Part of the last moments in which the GPU ran anything.
        memory_mb: Most memory that tensors took on the GPU, or else the process's resident size.
    """

    cpu_share: float | None
    gpu_share: float | None
    memory_mb: float | None


class UsageMeter:
    """Reads the clocks of this process and of the data workers.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._processors = usable_processors()
        self._wall_s, self._cpu_s = time.monotonic(), cpu_seconds()

    def read(self) -> Usage:
        """Usage since the last call."""
        wall_s, cpu_s = time.monotonic(), cpu_seconds()
        passed, used = wall_s - self._wall_s, cpu_s - self._cpu_s
        self._wall_s, self._cpu_s = wall_s, cpu_s
        share = min(1.0, max(0.0, used / (passed * self._processors))) if passed > 0 else None
        if self._device.type != "cuda":
            return Usage(share, None, _resident_mb())
        return Usage(share, _gpu_share(self._device), torch.cuda.max_memory_allocated(self._device) / 2**20)


def cpu_seconds() -> float:
    """CPU time of this process, of its children that have ended, and of those that run."""
    running = sum(_process_cpu_s(child.pid) for child in multiprocessing.active_children() if child.pid)
    return sum(os.times()[:4]) + running


def _process_cpu_s(pid: int) -> float:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime
    except (OSError, ValueError, IndexError):
        return 0.0


def _resident_mb() -> float | None:
    """What this process holds of the RAM; None where the system does not tell."""
    held = resident_bytes()
    return held / 2**20 if held else None


def _gpu_share(device: torch.device) -> float | None:
    """By NVIDIA's management library, where its Python module is installed."""
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # it raises its own errors, of a module that may be missing
        return None
