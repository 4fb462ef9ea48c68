"""What a plan is made from: facts about the lines, and the training steps that are worth trying. N lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vocr_cli.core.autoconf.memory_model import (
    LineShapes,
    MemoryModel,
    StepPeak,
    fit_memory,
    largest_budget,
    raised,
)
from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import COLUMN_PX, Config, CtcConfig
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.text import UnknownCharacter

Amp = Literal["bf16", "fp16", "off"]

CTC_SIZES = {
    "ctc": CtcConfig(),
    "ctc-large": CtcConfig(channels=(48, 96, 192), blocks=(0, 2, 2), hidden=256, attention_layers=2, heads=4),
}
"""The sizes of the `ctc` family that are planned for: that of `vi-small`, and one three times as large."""

_LARGE_LINES = 100_000
TYPICAL_WIDTH_PX = 400
"""Width at model height of a rendered line; stands for data that is not known."""

_CPU_PIXELS: dict[Head, tuple[int, ...]] = {
    "ctc": (100_000, 200_000, 400_000, 800_000),
    "autoregressive": (40_000, 80_000, 160_000, 320_000),
}
_GPU_PIXELS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
_CPU_SHARE, _GPU_SHARE = 0.6, 0.85  # of the free memory; the rest is for data workers and for peaks
_UNKNOWN_MEMORY_BYTES = 4 << 30
_STEPS_IN_AN_EPOCH = 200
_CHARACTER_PX = 13  # of a rendered line at a height of 40
_FAR = 1.3  # budgets closer than that are not worth two trials


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
    scaled_lines: int = 0
    """Lines that are not stored at the model's size."""

    @property
    def lines(self) -> int:
        """Of all databases."""
        return sum(count for _, count in self.sources)


@dataclass(frozen=True)
class Trial:
    """A kind of training step that is worth trying.

    Attributes:
        pixels: `batch.pixels`.
        amp: Number format.
        recompute: Whether activations are computed anew in the backward pass instead of kept.
    """

    pixels: int
    amp: Amp
    recompute: bool = False


@dataclass(frozen=True)
class ProbeResult:
    """A few real training steps, timed and sized.

    Attributes:
        trial: What was tried.
        lines: Of a step, on average.
        step_ms: Of a full step.
        pixels_per_second: Padding included.
        peak_bytes: Most memory that the steps held at a time, weights and optimizer included.
        most_pixels: Of the largest of the steps.
        most_tokens: Of the step with most tokens.
        typical: Whether the steps were of the data's common widths, so that speeds may be compared; if not,
            of its extreme ones.
        failure: Why there are no numbers; empty: there are.
    """

    trial: Trial
    lines: int = 0
    step_ms: float = 0.0
    pixels_per_second: float = 0.0
    peak_bytes: int = 0
    most_pixels: int = 0
    most_tokens: int = 0
    typical: bool = True
    failure: str = ""


@dataclass(frozen=True)
class LoadResult:
    """Some seconds of a whole run, its data made ready by so many workers."""

    workers: int
    lines_per_second: float
    wait_share: float
    """Part of the time that steps waited for lines."""
    trial: Trial
    """What its steps were."""
    peak_bytes: int = 0


def amp_choices(hardware: Hardware, device: DeviceName) -> tuple[Amp, ...]:
    """Number formats worth trying on the device, the likeliest first; `off` (fp32) is always among them."""
    if device == "cpu":
        return ("bf16", "off") if hardware.cpu_bf16 else ("off",)
    gpu = hardware.gpus[0]
    if gpu.bf16:
        return ("bf16", "off")
    return ("fp16", "off") if gpu.capability >= (7, 0) else ("off",)


def pixel_choices(
    device: DeviceName, data: DataFacts | None, height_px: int, head: Head = "ctc"
) -> tuple[int, ...]:
    """Pixel budgets of a step worth trying, in ascending order.

    A small set gets no large ones: an epoch shall have some two hundred steps, or too few updates are made.
    """
    small = _CPU_PIXELS[head]
    choices = small if device == "cpu" else _GPU_PIXELS
    if data is None:
        return choices
    most = data.widths_px.sum() * height_px / _STEPS_IN_AN_EPOCH
    fitting = tuple(pixels for pixels in choices if pixels <= most)
    return fitting or tuple(pixels for pixels in small if pixels <= most)[-1:] or small[:1]


def model_size(device: DeviceName, data: DataFacts | None) -> tuple[str, str]:
    """Which of `CTC_SIZES` suits, and why: the larger one where a GPU meets many lines."""
    if device == "cpu":
        return "ctc", "the size that a CPU trains and reads fast"
    if data is not None and data.lines < _LARGE_LINES:
        return "ctc", f"fewer than {_LARGE_LINES:,} lines: a larger model would learn them by heart"
    return "ctc-large", "a GPU, and lines enough for a model three times as large as `ctc`"


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


def line_shapes(data: DataFacts | None, config: Config) -> LineShapes:
    """Widths and tokens of the lines as the config's batches hold them; without data, of rendered lines."""
    image, model = config.image, config.model
    if data is None:
        natural = TYPICAL_WIDTH_PX * image.height_px / 40 * np.arange(0.2, 3.1, 0.1)
        labels = natural * 40 / image.height_px / _CHARACTER_PX
    else:
        natural, labels = data.widths_px, data.label_lengths
    widths = np.clip(natural, image.min_width_px, image.max_width_px)
    multiple = image.width_multiple_px
    if not model.EXACT_WIDTHS:
        widths, multiple = np.maximum(widths, labels * COLUMN_PX), config.batch.bucket_px
    widths = (-(-np.ceil(widths) // multiple) * multiple).astype(np.int64)
    tokens = model.tokens(np.ceil(labels).astype(np.int64))
    return LineShapes(widths, tokens, image.height_px, config.batch.max_lines)


def first_budgets(smallest: int, quick: bool) -> tuple[int, int]:
    """The two that a model of memory is fitted to, far apart where steps are quick."""
    return smallest, smallest * (4 if quick else 2)


def memory_models(probes: Sequence[ProbeResult]) -> dict[tuple[Amp, bool], MemoryModel]:
    """The memory that steps take, by number format and recomputation.

    Steps of extreme widths, which come first, tell what pixels cost: a process grows a little as it goes.
    """
    models: dict[tuple[Amp, bool], MemoryModel] = {}
    good = [probe for probe in probes if not probe.failure]
    for kind in {(probe.trial.amp, probe.trial.recompute): None for probe in good}:
        alike = [probe for probe in good if (probe.trial.amp, probe.trial.recompute) == kind]
        first = [probe for probe in alike if not probe.typical] or alike
        models[kind] = raised(fit_memory(_peaks(first)), _peaks(alike))
    return models


def _peaks(probes: Sequence[ProbeResult]) -> list[StepPeak]:
    return [StepPeak(probe.most_pixels, probe.most_tokens, probe.peak_bytes) for probe in probes]


def candidates(
    probes: Sequence[ProbeResult],
    models: Mapping[tuple[Amp, bool], MemoryModel],
    lines: LineShapes,
    choices: Sequence[int],
    limit_bytes: int,
) -> list[Trial]:
    """Steps worth timing, all within the memory limit, the likeliest first.

    The fastest number format at the budgets that fit, and at the largest that fits where that is none of
    them; with recomputation, where only that allows a larger one.
    """
    speeds = {probe.trial.amp: probe.pixels_per_second for probe in probes if not probe.trial.recompute}
    amps = sorted((amp for amp, kept in models if not kept), key=lambda amp: -speeds.get(amp, 0.0))
    found: list[Trial] = []
    for amp in amps[:1]:
        plain = largest_budget(models[amp, False], lines, limit_bytes, choices[-1])
        fitting = [pixels for pixels in choices if pixels <= plain]
        if plain < choices[-1] and plain > _FAR * max(fitting, default=0):
            fitting.append(plain)
        middle = len(fitting) // 2
        fitting = [*fitting[middle:], *reversed(fitting[:middle])]  # larger ones are rather faster
        found += [Trial(pixels, amp) for pixels in fitting]
        if plain < choices[-1] and (amp, True) in models:
            saving = largest_budget(models[amp, True], lines, limit_bytes, choices[-1])
            if saving > _FAR * plain:
                found.insert(min(len(found), 1), Trial(saving, amp, recompute=True))
    for rival in amps[1:]:
        if found and speeds.get(rival, 0.0) > 0.8 * speeds.get(amps[0], 0.0):
            rest = largest_budget(models[rival, False], lines, limit_bytes, found[0].pixels)
            found += [Trial(rest, rival)] if rest else []
    return found


def with_trial(config: Config, trial: Trial, max_lines: int) -> Config:
    """A config whose steps are those of a trial."""
    return config.model_copy(
        update={
            "batch": config.batch.model_copy(update={"pixels": trial.pixels, "max_lines": max_lines}),
            "precision": config.precision.model_copy(
                update={"amp": trial.amp, "recompute": recompute_setting(trial.recompute)}
            ),
        }
    )


def recompute_setting(recompute: bool) -> tuple[str, ...]:
    """`precision.recompute`: every stage of the model, or none."""
    return ("all",) if recompute else ()
