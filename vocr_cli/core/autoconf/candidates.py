"""Which training steps are worth trying: number formats, pixel budgets, recomputation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.autoconf.facts import Amp, DataFacts, Kind, ProbeResult, Recompute, StepSettings
from vocr_cli.core.autoconf.memory_model import (
    LineShapes,
    MemoryModel,
    StepPeak,
    fit_memory,
    largest_budget,
    with_margin_for,
)
from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import Config
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.machine.precision import FP16_CAPABILITY

if TYPE_CHECKING:
    from vocr_cli.core.machine.precision import DeviceName

_CPU_PIXELS: dict[Head, tuple[int, ...]] = {
    "ctc": (100_000, 200_000, 400_000, 800_000),
    "autoregressive": (40_000, 80_000, 160_000, 320_000),
}
_GPU_PIXELS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
_STEPS_IN_AN_EPOCH = 200
_FAR = 1.3  # budgets closer than that are not worth two probes


@dataclass(frozen=True)
class StepShape:
    """Width in px, and tokens, of each line of a step to try."""

    width_px: int
    tokens: int


def amp_choices(hardware: Hardware, device: DeviceName) -> tuple[Amp, ...]:
    """Number formats worth trying on the device, the likeliest first; `off` (fp32) is always among them.

    Where there are several cards, all must have the format: each of them may be trained on.
    """
    if device == "cpu":
        return ("bf16", "off") if hardware.cpu_bf16 else ("off",)
    if device == "mps":
        return ("off",)
    if all(gpu.bf16 for gpu in hardware.gpus):
        return ("bf16", "off")
    fp16 = all(gpu.capability >= FP16_CAPABILITY for gpu in hardware.gpus)
    return ("fp16", "off") if fp16 else ("off",)


def pixel_choices(device: DeviceName, data: DataFacts | None, config: Config) -> tuple[int, ...]:
    """Pixel budgets of a step worth trying, in ascending order.

    A small set gets no large ones: an epoch shall have some two hundred steps, or too few updates are made.
    """
    small = _CPU_PIXELS[config.model.HEAD]
    choices = _GPU_PIXELS if device == "cuda" else small
    if data is None:
        return choices
    most = data.stretched_widths(config.image).sum() * config.image.height_px / _STEPS_IN_AN_EPOCH
    fitting = tuple(pixels for pixels in choices if pixels <= most)
    return fitting or tuple(pixels for pixels in small if pixels <= most)[-1:] or small[:1]


def first_budgets(smallest: int, quick: bool) -> tuple[int, int]:
    """The two that a model of memory is fitted to, far apart where steps are quick."""
    return smallest, smallest * (4 if quick else 2)


def memory_models(probes: Sequence[ProbeResult]) -> dict[Kind, MemoryModel]:
    """Fits the memory that steps take, by number format and recomputation.

    Steps of extreme widths, which come first, tell what pixels cost: a process grows a little as it goes.
    """
    models: dict[Kind, MemoryModel] = {}
    good = [probe for probe in probes if not probe.failure]
    for kind in {(probe.settings.amp, probe.settings.recompute): None for probe in good}:
        alike = [probe for probe in good if (probe.settings.amp, probe.settings.recompute) == kind]
        first = [probe for probe in alike if not probe.typical] or alike
        models[kind] = with_margin_for(fit_memory(_peaks(first)), _peaks(alike))
    return models


def _peaks(probes: Sequence[ProbeResult]) -> list[StepPeak]:
    return [StepPeak(probe.most_pixels, probe.most_tokens, probe.peak_bytes) for probe in probes]


def candidates(
    probes: Sequence[ProbeResult],
    models: Mapping[Kind, MemoryModel],
    lines: LineShapes,
    choices: Sequence[int],
    limit_bytes: int,
) -> list[StepSettings]:
    """Steps worth timing, all within the memory limit, the likeliest first.

    The fastest number format at the budgets that fit, and at the largest that fits where that is none of
    them; with recomputation, light rather than of all, where only that allows a larger one.
    """
    speeds = {probe.settings.amp: probe.pixels_per_second for probe in probes if not probe.settings.recompute}
    amps = sorted((amp for amp, recompute in models if not recompute), key=lambda amp: -speeds.get(amp, 0.0))
    worth: list[StepSettings] = []
    for amp in amps[:1]:
        plain = largest_budget(models[amp, Recompute.OFF], lines, limit_bytes, choices[-1])
        fitting = [pixels for pixels in choices if pixels <= plain]
        if plain < choices[-1] and plain > _FAR * max(fitting, default=0):
            fitting.append(plain)
        middle = len(fitting) // 2
        fitting = [*fitting[middle:], *reversed(fitting[:middle])]  # larger ones are rather faster
        worth += [StepSettings(pixels, amp) for pixels in fitting]
        largest, savings = plain, []
        for level in (Recompute.LIGHT, Recompute.ALL):
            if largest < choices[-1] and (amp, level) in models:
                saving = largest_budget(models[amp, level], lines, limit_bytes, choices[-1])
                if saving > _FAR * largest:
                    savings.append(StepSettings(saving, amp, level))
                    largest = saving
        worth[1:1] = savings
    for rival in amps[1:]:
        if worth and speeds.get(rival, 0.0) > 0.8 * speeds.get(amps[0], 0.0):
            rest = largest_budget(models[rival, Recompute.OFF], lines, limit_bytes, worth[0].pixels)
            worth += [StepSettings(rest, rival)] if rest else []
    return worth


def with_step_settings(config: Config, settings: StepSettings, max_lines: int) -> Config:
    """Return the config with steps of these settings."""
    return config.model_copy(
        update={
            "batch": config.batch.model_copy(update={"pixels": settings.pixels, "max_lines": max_lines}),
            "precision": config.precision.model_copy(
                update={"amp": settings.amp, "recompute": settings.recompute.setting}
            ),
        }
    )


def typical_shapes(lines: LineShapes) -> list[StepShape]:
    """Lines at the quartiles of the widths."""
    return [_near(lines, float(np.quantile(lines.widths_px, share))) for share in (0.25, 0.5, 0.75)]


def extreme_shapes(lines: LineShapes) -> list[StepShape]:
    """The widest line, and the one with most tokens for its width, or the narrowest."""
    dense = int(np.argmax((lines.tokens + 1) / lines.widths_px))
    widest = int(np.argmax(lines.widths_px))
    return [
        StepShape(int(lines.widths_px[index]), int(lines.tokens[index])) for index in {widest: 0, dense: 0}
    ]


def _near(lines: LineShapes, width: float) -> StepShape:
    """The shape of the line whose width is nearest."""
    index = int(np.argmin(np.abs(lines.widths_px - width)))
    return StepShape(int(lines.widths_px[index]), int(lines.tokens[index]))
