"""What a plan is made from: facts about the lines, and steps and runs as they were measured. N lines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vocr_cli.core.autoconf.memory_model import LineShapes
from vocr_cli.core.config.run import RecomputedStage
from vocr_cli.core.config.tree import COLUMN_PX, Config, ImageConfig
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.text import UnknownCharacter

if TYPE_CHECKING:
    from vocr_cli.core.machine.precision import DeviceName

Amp = Literal["bf16", "fp16", "off"]

TYPICAL_WIDTH_PX = 400
"""Width at model height of a rendered line; stands for data that is not known."""

_CPU_SHARE, _GPU_SHARE = 0.6, 0.85  # of the free memory; the rest is for data workers and for peaks
_UNKNOWN_MEMORY_BYTES = 4 << 30
_CHARACTER_PX = 13  # of a rendered line at a height of 40


@dataclass(frozen=True, eq=False)
class DataFacts:
    """What is known of the training lines."""

    sources: tuple[tuple[Path, int], ...]
    """Each database and its number of lines."""
    widths_px: np.ndarray
    """(N,) float, at model height, neither stretched nor limited; lines that cannot be read are left out."""
    label_lengths: np.ndarray
    """(N,) characters."""
    column_demand: float = 0.0
    """Median over the lines of the columns that CTC needs for the label over those that the image has
    unstretched; 0: not known."""
    unreadable_lines: int = 0
    unknown: tuple[UnknownCharacter, ...] = ()
    """Characters of the labels that the charset lacks."""
    unknown_lines: int = 0
    """Lines that hold such a character."""
    valid: tuple[tuple[Path, int], ...] = ()
    """Each database that was held back for validation and its number of lines."""
    scaled_lines: int = 0
    """Lines that are not stored at the model's size."""

    @property
    def lines(self) -> int:
        """Number of lines in all databases together."""
        return sum(count for _, count in self.sources)

    def stretched_widths(self, image: ImageConfig) -> np.ndarray:
        """(N,) float px: the widths as these image settings stretch them, before any limit."""
        return self.widths_px * image.stretch


class Recompute(IntEnum):
    """How much of the activations is computed anew in the backward pass instead of kept."""

    OFF = 0
    LIGHT = 1
    ALL = 2

    @property
    def setting(self) -> tuple[RecomputedStage, ...]:
        """`precision.recompute`."""
        return () if self is Recompute.OFF else ("light",) if self is Recompute.LIGHT else ("all",)


Kind = tuple[Amp, Recompute]
"""What decides how much memory the pixels of a step take."""


@dataclass(frozen=True)
class StepSettings:
    """What a training step holds and how it is computed.

    Attributes:
        pixels: `batch.pixels`.
        amp: Number format.
        recompute: How much of the activations is computed anew.
    """

    pixels: int
    amp: Amp
    recompute: Recompute = Recompute.OFF


@dataclass(frozen=True)
class ProbeResult:
    """A few real training steps, timed and sized.

    Attributes:
        settings: What was tried.
        lines: Of a step, on average.
        step_ms: Of a full step; 0: not timed.
        pixels_per_second: Padding included.
        peak_bytes: Most memory that the steps held at a time, weights and optimizer included; of a GPU, what
            torch reserved and the context takes. Where the system does not tell, by rule of thumb.
        most_pixels: Of the largest of the steps.
        most_tokens: Of the step with most tokens.
        typical: Whether the steps were of the data's common widths, so that speeds may be compared; if not,
            of its extreme ones.
        failure: Why there are no numbers; empty: there are.
    """

    settings: StepSettings
    lines: int = 0
    step_ms: float = 0.0
    pixels_per_second: float = 0.0
    peak_bytes: int = 0
    most_pixels: int = 0
    most_tokens: int = 0
    typical: bool = True
    failure: str = ""


@dataclass(frozen=True)
class LoaderTiming:
    """Some seconds of a whole run whose lines come from so many data workers.

    Attributes:
        workers: `data.workers`; 0: lines are made ready in the training process.
        lines_per_second: Of the whole run.
        wait_share: Fraction of the time that steps waited for lines.
        settings: What the steps held.
        peak_bytes: Most memory that the run held at a time; 0: not measured.
    """

    workers: int
    lines_per_second: float
    wait_share: float
    settings: StepSettings
    peak_bytes: int = 0


def memory_limit(hardware: Hardware, device: DeviceName) -> int:
    """Return the bytes that training steps may take: most of what is free on the device.

    Of several cards the one with least counts, since each may be trained on. Where the driver does not tell
    what is free on one, all of it is thought to be.
    """
    if device == "cuda":
        least = min(gpu.memory_bytes if gpu.free_bytes is None else gpu.free_bytes for gpu in hardware.gpus)
        return int(least * _GPU_SHARE)
    return int((hardware.available_bytes or _UNKNOWN_MEMORY_BYTES) * _CPU_SHARE)


def cores_of_rank(hardware: Hardware, device: DeviceName) -> int:
    """Return the cores of each process that trains, at least 1: torchrun starts one for each GPU."""
    return max(1, hardware.cores // max(1, len(hardware.gpus))) if device == "cuda" else hardware.cores


def median_width(data: DataFacts | None, image: ImageConfig) -> float:
    """Return the median width in px at model height; without data, that of a rendered line."""
    if data is None or not len(data.widths_px):
        return float(TYPICAL_WIDTH_PX)
    return max(float(np.median(data.stretched_widths(image))), 8.0)


def line_shapes(data: DataFacts | None, config: Config) -> LineShapes:
    """Return widths and tokens as the config's batches hold the lines; without data, of rendered lines."""
    image, model = config.image, config.model
    if data is None:
        natural = TYPICAL_WIDTH_PX * image.height_px / 40 * np.arange(0.2, 3.1, 0.1)
        labels = natural * 40 / image.height_px / _CHARACTER_PX
    else:
        natural, labels = data.stretched_widths(image), data.label_lengths
    widths = np.clip(natural, image.min_width_px, image.max_width_px)
    multiple = image.width_multiple_px
    if not model.EXACT_WIDTHS:
        widths, multiple = np.maximum(widths, labels * COLUMN_PX), config.batch.bucket_px
    widths = (-(-np.ceil(widths) // multiple) * multiple).astype(np.int64)
    tokens = model.tokens(np.ceil(labels).astype(np.int64))
    return LineShapes(widths, tokens, image.height_px, config.batch.max_lines)
