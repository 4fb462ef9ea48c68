"""How this process uses memory: what it keeps for later, and how much it holds."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CUDA_CONTEXT_BYTES = 600_000_000
"""What a process holds of a GPU besides tensors: kernels, libraries' workspaces."""

ONEDNN_CACHE_KERNELS = 1 << 15
"""Kernels that oneDNN keeps after `raise_onednn_cache`."""

PROC = Path("/proc")
"""What Linux tells of processes; macOS and Windows have none, and psutil is asked there."""

_WATCH_S = 0.002
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_heap() -> bool:
    """Has glibc keep freed blocks instead of giving each large one back to the kernel.

    Activations of a training step are tens of MB each; by default every one is mapped, zeroed page by page
    and unmapped again, which took half of all CPU time here. Peak memory stays as it is.

    Returns:
        Whether the C library offers that.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    limit = 2**31 - 1
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, limit) and mallopt(_M_TOP_PAD, 256 * 2**20)
    )


def raise_onednn_cache() -> None:
    """Has oneDNN keep the kernels that it prepares for each shape, if it has not prepared any yet.

    A training step needs about 200, and every width of lines others; of the 1,024 that it keeps by default
    each is gone before its width comes again, and preparing takes a third as long as computing. One takes
    some 6 kB.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(ONEDNN_CACHE_KERNELS))


def freeze_loaded_objects() -> None:
    """Has Python's garbage collector pass by all that exists now, once a process has loaded all it needs.

    It would go through the hundreds of thousands of objects of torch and the others again and again while
    lines are read, 3 % of the time. What exists now and is dropped later in cycles is never freed.
    """
    gc.freeze()


def trim_heap() -> None:
    """Hands freed blocks to the system, kept by `keep_heap` or not, so that growth can be measured."""
    gc.collect()
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):
            return


def reset_peak_rss() -> None:
    """Has the system count this process's peak of resident memory from now on, where it can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_bytes() -> int | None:
    """What this process holds of the RAM; None where neither /proc nor psutil is there to tell."""
    try:
        pages = int((PROC / "self/statm").read_text().split()[1])
    except OSError:
        psutil = psutil_without_proc()
        return None if psutil is None else int(psutil.Process().memory_info().rss)
    import resource

    return pages * resource.getpagesize()


def process_cpu_seconds(pid: int) -> float | None:
    """CPU time that another process has taken so far, 0 once it is gone; None: the system does not tell."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime
    except (OSError, ValueError, IndexError):
        if PROC.is_dir():
            return 0.0
    if (psutil := psutil_without_proc()) is None:
        return None
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def psutil_without_proc() -> Any:
    """The package psutil, which vocr depends on where there is no /proc; None elsewhere, and if missing."""
    if PROC.is_dir():
        return None
    try:
        import psutil
    except ImportError:
        return None
    return psutil


class PeakGrowth:
    """The most by which this process grows while the block runs, above what it held before.

    Args:
        before_bytes: What it held; None: what it holds when the block begins.

    Attributes:
        peak_bytes: The growth so far; None where the system does not tell what a process holds.
    """

    def __init__(self, before_bytes: int | None = None) -> None:
        self.peak_bytes: int | None = None
        self._before = before_bytes
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._before = resident_bytes() if self._before is None else self._before
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        ended = False
        while not ended and self._before is not None:
            ended = self._done.wait(_WATCH_S)  # looks once more at the end
            if (now := resident_bytes()) is not None:
                self.peak_bytes = max(self.peak_bytes or 0, now - self._before)


class DevicePeak:
    """The most memory of a device that this process takes while the block runs.

    Of a CUDA GPU that is what torch's allocator reserves, tensors and the gaps between them, and a context's:
    so much has to be free. Of a CPU it is the growth of the process.

    Args:
        device: cpu, cuda or mps.
        before_bytes: What the process held, from which growth counts; None: what it holds at the beginning.
        limit_bytes: On a CUDA GPU, no more is taken: torch raises its out-of-memory error instead. None: all
            that there is.

    Attributes:
        peak_bytes: Known when the block has ended; None where the system does not tell.
    """

    def __init__(self, device: str, before_bytes: int | None = None, limit_bytes: int | None = None) -> None:
        self.peak_bytes: int | None = None
        self._device, self._limit = device, limit_bytes
        self._growth = PeakGrowth(before_bytes)

    @property
    def is_over_limit(self) -> bool:
        """Whether the process has grown beyond the limit, which a CPU's memory cannot be held to."""
        growth, limit = self._growth.peak_bytes, self._limit
        return self._device == "cpu" and growth is not None and limit is not None and growth > limit

    def __enter__(self) -> Self:
        trim_heap()  # what an earlier trial left in cycles holds memory of GPUs, too
        if self._device == "cuda":
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            if self._limit is not None:
                total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
                share = max(self._limit - CUDA_CONTEXT_BYTES, 1 << 20) / total
                torch.cuda.set_per_process_memory_fraction(min(share, 1.0))
        self._growth.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._growth.__exit__(kind, error, trace)
        self.peak_bytes = self._growth.peak_bytes
        if self._device == "cuda":
            import torch

            self.peak_bytes = torch.cuda.max_memory_reserved() + CUDA_CONTEXT_BYTES
            if self._limit is not None:
                torch.cuda.set_per_process_memory_fraction(1.0)
