"""The tools of measuring: processors held fast, rounds in turns, times summed up, memory at its peak."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from vocr_cli import __version__
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.core.machine.precision import choose_device

OnMessage = Callable[[str], None]
"""Takes a sentence about what is being done."""

_JSON_KEYS = {"budget": "effort"}
"""Fields that are called otherwise in the documents which users have written with --json."""

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """A measured rate or time.

    Attributes:
        median: Over the rounds.
        low: The lowest.
        high: The highest.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine that was measured on."""

    cpu_model: str
    cores: int
    system: str
    python: str
    gpu: str


@dataclass(frozen=True, kw_only=True)
class BenchBudget:
    """How much `vocr bench train` and `vocr bench claims` measure.

    Attributes:
        rounds: Rounds that count.
        steps: Steps of a round, at least.
        seconds: Length of a round, at least.
        rendered_lines: Lines to render where no data are given.
        read_lines: Lines of a reading pass.
        batch_lines: Lines of VietOCR's fixed batch.
        accuracy_steps: Steps of the trainings whose accuracy is compared.
    """

    rounds: int = 3
    steps: int = 2
    seconds: float = 6.0
    rendered_lines: int = 640
    read_lines: int = 64
    batch_lines: int = 32
    accuracy_steps: int = 200


QUICK_BUDGET = BenchBudget(
    rounds=1, steps=1, seconds=0.0, rendered_lines=48, read_lines=6, batch_lines=4, accuracy_steps=3
)
"""Just enough to see that everything works; its numbers mean nothing."""


@dataclass(frozen=True, kw_only=True)
class BenchSetup:
    """What every bench says beside its numbers.

    Attributes:
        machine: The machine that was measured on.
        model: The model, as the user named it.
        device: cpu or cuda.
        threads: Processors for each side.
        pinned: Whether all processes were held to that many processors.
        vocr: The version that measured.
    """

    machine: Machine
    model: str
    device: str
    threads: int
    pinned: bool
    vocr: str = __version__


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What was measured, and with what."""

    setup: BenchSetup

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings, ready for `json.dump`."""
        document = asdict(self)
        return {_JSON_KEYS.get(key, key): value for key, value in (document.pop("setup") | document).items()}


@dataclass(frozen=True, kw_only=True)
class TrainingBenchReport(BenchReport):
    """What was measured of training on some lines.

    Attributes:
        data: What the lines are called.
        mean_width_px: Their mean width at model height.
        budget: How much was measured.
    """

    data: str
    mean_width_px: float
    budget: BenchBudget


def spread(values: Sequence[float]) -> Spread:
    """Sum up the rounds."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return what `fraction` (0..1) of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def alternate(
    measurements: Sequence[Callable[[], T]], rounds: int, on_message: OnMessage, prefix: str = ""
) -> list[list[T]]:
    """Take every measurement once a round, in turns: what slows the machine meanwhile slows all alike.

    Returns:
        The results of each measurement, round by round.
    """
    results: list[list[T]] = [[] for _ in measurements]
    for index in range(1, rounds + 1):
        on_message(f"{prefix}round {index} of {rounds}")
        for measure, measured in zip(measurements, results, strict=True):
            measured.append(measure())
    return results


@contextmanager
def pinned(threads: int) -> Iterator[bool]:
    """Hold this process and those it starts to `threads` processors; give False where that cannot be.

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


@contextmanager
def bench_setup(model: str, device: str, threads: int) -> Iterator[BenchSetup]:
    """Hold this process and those it starts to `threads` processors, and say what is measured with.

    Args:
        model: The model, as the user named it.
        device: auto, cpu or cuda.
        threads: Processors for each side.

    Raises:
        ConfigError: The device cannot be had.
    """
    machine, device_name = describe_machine(), choose_device(device)
    with pinned(threads) as is_pinned:
        yield BenchSetup(machine=machine, model=model, device=device_name, threads=threads, pinned=is_pinned)


def peak_memory_mb() -> float | None:
    """Return the largest resident size of this process so far; None where the system does not tell.

    Linux's `getrusage` would also count what the process that started this one held at that moment.
    """
    try:
        match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if match:
            return int(match[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def describe_machine() -> Machine:
    """Return the facts that are printed beside every number."""
    hardware = read_hardware()
    return Machine(
        cpu_model=hardware.cpu_model,
        cores=hardware.cores,
        system=platform.platform(),
        python=platform.python_version(),
        gpu=", ".join(card.name for card in hardware.gpus),
    )


def private_memory_mb(process: BaseProcess) -> float:
    """Return what a process holds that no other does, by Linux's account."""
    held = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Private_\w+:\s*(\d+) kB", held, re.MULTILINE))) / 1024
