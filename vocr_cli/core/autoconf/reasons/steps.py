"""Reasons that lie in the machine: what a step holds, who makes lines ready, how long the run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vocr_cli.core.autoconf.reasons.base import Reason
from vocr_cli.core.machine.sizes import show_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vocr_cli.core.autoconf.facts import LoaderTiming
    from vocr_cli.core.autoconf.memory_model import MemoryModel


@dataclass(frozen=True)
class SmallestNearFastest(Reason):
    """A timed step, and the memory that it is expected to take."""

    pixels_per_second: float
    expected_bytes: float
    limit_bytes: int
    model: MemoryModel

    def __str__(self) -> str:
        return (
            f"measured: {self.pixels_per_second / 1e6:.2f} M px/s, the smallest near the fastest; "
            f"{show_size(self.expected_bytes)} of {show_size(self.limit_bytes)} at most, by {self.model}"
        )


@dataclass(frozen=True)
class LargestWithin(Reason):
    """A step that was not timed, the largest that memory allows."""

    limit_bytes: int
    model: MemoryModel

    def __str__(self) -> str:
        return f"the largest within {show_size(self.limit_bytes)}, by {self.model}"


@dataclass(frozen=True)
class ByRule(Reason):
    """A step that was not timed, by a rule of thumb for its memory."""

    rule: MemoryModel
    limit_bytes: int

    def __str__(self) -> str:
        return f"not timed; about {self.rule}, within {show_size(self.limit_bytes)}"


@dataclass(frozen=True)
class MeasuredWith(Reason):
    """A step that fine-tuning was measured with, and what its memory is."""

    why: Reason

    def __str__(self) -> str:
        return f"as fine-tuning was measured; {self.why}"


@dataclass(frozen=True)
class FormatSpeed(Reason):
    """Speed of a number format over that of a rival.

    Attributes:
        ratio: Of steps that are alike otherwise.
        rival: The other format.
        fits: Whether the rival's steps of that size fit into the memory allowed.
        other_pixels: Pixels of those steps, where they are not of the size chosen; 0: they are.
    """

    ratio: float
    rival: str
    fits: bool = True
    other_pixels: int = 0

    def __str__(self) -> str:
        ratio = f"{self.ratio:.1f}" if self.ratio >= 1 else f"{self.ratio:.2f}"
        at = f" at {self.other_pixels:,} px a step" if self.other_pixels else ""
        measured = f"measured{at}: {ratio} × the speed of {self.rival}"
        if self.ratio >= 1:
            return measured
        if self.other_pixels:
            return f"{measured}, whose steps of the size chosen could not be timed"
        if not self.fits:
            return f"{measured}, whose steps of this size take more memory than allowed"
        return f"{measured}; within 3 %, they count as equally fast"


@dataclass(frozen=True)
class FormatUntimed(Reason):
    """The number format that the device is known for; `off`: none but fp32."""

    amp: str

    def __str__(self) -> str:
        device_has = "no fast half precision" if self.amp == "off" else f"{self.amp} of its own"
        return f"not timed; this device has {device_has}"


@dataclass(frozen=True)
class Recomputation(Reason):
    """Why activations are recomputed, or are not.

    Attributes:
        needed: Whether no step so large fits without it.
        ratio: Speed of the choice over that of the other one; 0: not measured.
    """

    needed: bool
    ratio: float

    def __str__(self) -> str:
        if self.needed:
            return "without it no step so large fits" + (
                f"; {self.ratio:.0%} of the speed" if self.ratio else ""
            )
        return "steps fit without it" + (f", {self.ratio:.1f} × as fast" if self.ratio else "")


@dataclass(frozen=True)
class TwiceMedianLines(Reason):
    """So many lines of median width fit into half of the limit."""

    lines: int

    def __str__(self) -> str:
        return f"twice the {self.lines:,} lines of median width in a step"


@dataclass(frozen=True)
class ScaledRate(Reason):
    """A learning rate that trained well, and the pixels of its steps."""

    rate: float
    pixels: int

    def __str__(self) -> str:
        return f"{self.rate:g} at {self.pixels:,} px a step, growing with its root (Malladi et al., 2022)"


@dataclass(frozen=True)
class RateForErrors(Reason):
    """A learning rate that suits how well the starting weights read the lines."""

    rate: Reason
    cer: float

    def __str__(self) -> str:
        return f"the starting weights read {self.cer:.1%} of the lines' characters wrong; {self.rate}"


@dataclass(frozen=True)
class TimedRuns(Reason):
    """Whole runs that were compared, or the only one."""

    timings: Sequence[LoaderTiming]

    def __str__(self) -> str:
        if len(self.timings) == 1:
            return f"measured: steps wait {self.timings[0].wait_share:.0%} of the time for lines"
        compared = ", ".join(f"{timing.workers}: {timing.lines_per_second:,.1f}" for timing in self.timings)
        return f"measured, lines/s of whole runs by workers: {compared}"


@dataclass(frozen=True)
class WorkerRate(Reason):
    """Lines that steps take, and that a worker makes ready, each second."""

    lines_per_second: float
    worker_rate: float

    def __str__(self) -> str:
        return f"steps take {self.lines_per_second:,.0f} lines/s, a worker makes about {self.worker_rate:.0f}"


@dataclass(frozen=True)
class CoresForWorkers(Reason):
    """How many of the cores are left to data workers.

    Attributes:
        cores: Those of each process that trains.
        on_gpu: Whether a GPU computes.
        rendered: Whether the workers render lines.
        processes: That train together, one a GPU.
    """

    cores: int
    on_gpu: bool
    rendered: bool
    processes: int = 1

    def __str__(self) -> str:
        if self.on_gpu:
            each = f" for each of {self.processes} GPUs" if self.processes > 1 else ""
            return f"all but one of {self.cores} cores{each}: the GPU computes"
        if self.rendered:
            return f"half of {self.cores} cores: rendering costs about as much as training"
        return f"a quarter of {self.cores} cores: decoding costs little"


@dataclass(frozen=True)
class LinesSeen(Reason):
    """Lines that the run sees, how often each stored one comes (0: none is stored), and the run's seconds."""

    lines: int
    epochs: float
    seconds: float

    def __str__(self) -> str:
        passes = f", {self.epochs:,.0f} times the data" if self.epochs else ""
        duration = f", about {_duration(self.seconds)} at the measured speed" if self.seconds else ""
        return f"{self.lines:,} lines{passes}{duration}"


@dataclass(frozen=True)
class WarmupShare(Reason):
    """Warm-up as a share of the steps, within limits."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"3 % of the steps, within {self.low}..{self.high}"


@dataclass(frozen=True)
class WarmupMeasured(Reason):
    """Warm-up of the runs that fine-tuning was measured with."""

    steps: int

    def __str__(self) -> str:
        return f"{self.steps} as fine-tuning was measured with, and at most a tenth of the steps"


@dataclass(frozen=True)
class EveryTenSeconds(Reason):
    """Time of a step."""

    step_ms: float

    def __str__(self) -> str:
        return f"every 10 s or so at {self.step_ms:,.0f} ms a step"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
