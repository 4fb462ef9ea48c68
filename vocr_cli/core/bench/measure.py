"""The tools of measuring: processors held fast, times summed up, memory at its peak."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.machine.hardware import read_hardware


@dataclass(frozen=True)
class Spread:
    """A measured rate or time: its median over the rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu_model: str
    cores: int
    system: str
    python: str
    gpu: str


def spread(values: Sequence[float]) -> Spread:
    """Sums up the rounds."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@contextmanager
def pinned(threads: int) -> Iterator[bool]:
    """Holds this process and those it starts to `threads` processors; gives False where that cannot be.

    With as many processors as threads, decoding and computing share them, on both sides of a comparison.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    if threads > len(before):
        yield False
        return
    os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def peak_memory_mb() -> float | None:
    """The largest resident size of this process so far; None where the system does not tell.

    Linux's `getrusage` would also count what the process that started this one held at that moment.
    """
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def describe_machine() -> Machine:
    """Facts to print beside every number."""
    hardware = read_hardware()
    gpu = ", ".join(card.name for card in hardware.gpus)
    return Machine(hardware.cpu_model, hardware.cores, platform.platform(), platform.python_version(), gpu)
