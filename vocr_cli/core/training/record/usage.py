"""What a run takes of its machine."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass

import torch

from vocr_cli.core.machine.gpus import GpuMeter, gpu_uuid
from vocr_cli.core.machine.hardware import usable_processors
from vocr_cli.core.machine.memory import process_cpu_seconds, resident_bytes


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
        self._gpu = GpuMeter(gpu_uuid()) if device.type == "cuda" else None
        self._wall_s, self._cpu_s = time.monotonic(), cpu_seconds()

    def read(self) -> Usage:
        """Usage since the last call."""
        wall_s, cpu_s = time.monotonic(), cpu_seconds()
        passed, share = wall_s - self._wall_s, None
        if cpu_s is not None and self._cpu_s is not None and passed > 0:
            share = min(1.0, max(0.0, (cpu_s - self._cpu_s) / (passed * self._processors)))
        self._wall_s, self._cpu_s = wall_s, cpu_s
        if self._gpu is None:
            return Usage(share, None, _resident_mb())
        busy = (
            self._gpu.busy_fraction() if self._gpu.has_nvml else None
        )  # another program would take too long
        return Usage(share, busy, torch.cuda.max_memory_allocated(self._device) / 2**20)


def cpu_seconds() -> float | None:
    """CPU time of this process, of its children that have ended, and of those that run; None: not known."""
    running = [process_cpu_seconds(child.pid) for child in multiprocessing.active_children() if child.pid]
    known = [seconds for seconds in running if seconds is not None]
    return None if len(known) < len(running) else sum(os.times()[:4]) + sum(known)


def cpu_seconds_since(before: float | None) -> float | None:
    """CPU time since `cpu_seconds` gave a value; None: one of the two is not known."""
    now = cpu_seconds()
    return None if now is None or before is None else now - before


def _resident_mb() -> float | None:
    """What this process holds of the RAM; None where the system does not tell."""
    held = resident_bytes()
    return None if held is None else held / 2**20
