"""How busy a GPU is while something runs."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from statistics import mean
from types import TracebackType
from typing import Self

from vocr_cli.core.machine.gpus import GpuMeter, gpu_uuid, nvidia_smi_command, whole_number

_EVERY_S = 0.1
_STALE_S = 0.2
"""What the driver says first is of the time before the block; it looks every sixth of a second."""


class GpuUtilization:
    """Asks the driver ten times a second, while the block runs, about the GPU that torch is on.

    Attributes:
        fraction: Mean fraction of the time in which the GPU ran anything, known when the block has ended.
            None where the driver does not tell, or the block was too short for it to have looked.
    """

    def __init__(self) -> None:
        self.fraction: float | None = None
        self._meter = GpuMeter(gpu_uuid())
        self._over = threading.Event()
        self._samples: list[tuple[float, float]] = []  # when, and the fraction
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if not self._meter.has_nvml and self._meter.uuid is not None:
            self._process = _start_nvidia_smi(self._meter.uuid)
        self._watcher = threading.Thread(target=self._watch, name="vocr-gpu-utilization", daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        ended = time.monotonic()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._watcher.join()
        fresh = [share for when, share in self._samples if self._began + _STALE_S <= when <= ended + _STALE_S]
        self.fraction = mean(fresh) if fresh else None

    def _watch(self) -> None:
        for share in self._asked() if self._meter.has_nvml else self._printed():
            self._samples.append((time.monotonic(), share))

    def _asked(self) -> Iterator[float]:
        """What NVML says, until the block ends or it says nothing."""
        while not self._over.wait(_EVERY_S):
            if (share := self._meter.busy_fraction()) is None:
                return
            yield share

    def _printed(self) -> Iterator[float]:
        """What nvidia-smi prints, until it is told to end; `[N/A]` where the card does not tell."""
        if self._process is None or self._process.stdout is None:
            return
        for row in self._process.stdout:
            if (percent := whole_number(row)) is not None:
                yield percent / 100


def _start_nvidia_smi(uuid: str) -> subprocess.Popen[str] | None:
    command = [*nvidia_smi_command(uuid, "utilization.gpu"), f"--loop-ms={round(1000 * _EVERY_S)}"]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return None
