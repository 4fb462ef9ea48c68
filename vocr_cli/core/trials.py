"""What a plan is made from: facts about the lines, and the training steps that are worth timing. N lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vocr_cli.core.hardware import Hardware
from vocr_cli.core.text import UnknownCharacter

Amp = Literal["bf16", "fp16", "off"]
DeviceName = Literal["cpu", "cuda"]

CPU_PIXELS = (100_000, 200_000, 400_000)
GPU_PIXELS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
TYPICAL_WIDTH_PX = 400
"""Width at model height of a rendered line; stands for data that is not known."""

_CPU_SHARE, _GPU_SHARE = 0.6, 0.85  # of the free memory; the rest is for data workers and for peaks
_UNKNOWN_MEMORY_BYTES = 4 << 30
_STEPS_IN_AN_EPOCH = 200


@dataclass(frozen=True, eq=False)
class DataFacts:
    """What is known of the training lines."""

    sources: tuple[tuple[Path, int], ...]
    """Each database and its number of lines."""
    widths_px: np.ndarray
    """(N,) float, at model height, before any limit; lines that cannot be read are left out."""
    label_lengths: np.ndarray
    """(N,) characters."""
    unreadable_lines: int = 0
    unknown: tuple[UnknownCharacter, ...] = ()
    """Characters of the labels that the charset lacks."""
    unknown_lines: int = 0
    """Lines that hold such a character."""
    valid: tuple[tuple[Path, int], ...] = ()


@dataclass(frozen=True)
class ProbeResult:
    """A few real training steps, timed and sized."""

    pixels: int
    amp: Amp
    lines: int = 0
    step_ms: float = 0.0
    pixels_per_second: float = 0.0
    peak_bytes: int = 0
    """Most memory that the steps held at a time, weights and optimizer included."""
    failure: str = ""
    """Why there are no numbers."""


def amp_choices(hardware: Hardware, device: DeviceName) -> tuple[Amp, ...]:
    """Number formats worth trying on the device, the likeliest first; `off` (fp32) is always among them."""
    if device == "cpu":
        return ("bf16", "off") if hardware.cpu_bf16 else ("off",)
    gpu = hardware.gpus[0]
    if gpu.bf16:
        return ("bf16", "off")
    return ("fp16", "off") if gpu.capability >= (7, 0) else ("off",)


def pixel_choices(device: DeviceName, data: DataFacts | None, height_px: int) -> tuple[int, ...]:
    """Pixel budgets of a step worth trying, in ascending order.

    A small set gets no large ones: an epoch shall have some two hundred steps, or too few updates are made.
    """
    choices = CPU_PIXELS if device == "cpu" else GPU_PIXELS
    if data is None:
        return choices
    most = data.widths_px.sum() * height_px / _STEPS_IN_AN_EPOCH
    fitting = tuple(pixels for pixels in choices if pixels <= most)
    return fitting or tuple(pixels for pixels in CPU_PIXELS if pixels <= most)[-1:] or CPU_PIXELS[:1]


def memory_limit(hardware: Hardware, device: DeviceName) -> int:
    """Bytes that training steps may take: a share of what is free on the device."""
    if device == "cuda":
        return int(hardware.gpus[0].free_bytes * _GPU_SHARE)
    return int((hardware.available_bytes or _UNKNOWN_MEMORY_BYTES) * _CPU_SHARE)


def median_width(data: DataFacts | None) -> float:
    """Px at model height; that of a rendered line if there is no data."""
    if data is None or not len(data.widths_px):
        return float(TYPICAL_WIDTH_PX)
    return max(float(np.median(data.widths_px)), 8.0)
