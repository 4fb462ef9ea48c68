"""Chooses what a step holds, its number format, recomputation and data workers, out of what was tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vocr_cli.core.autoconf.candidates import memory_models
from vocr_cli.core.autoconf.facts import (
    Amp,
    Kind,
    LoaderTiming,
    ProbeResult,
    Recompute,
    StepSettings,
    cores_of_rank,
)
from vocr_cli.core.autoconf.memory_model import (
    LineShapes,
    MemoryModel,
    StepPeak,
    largest_budget,
    peak_under,
    rule_of_thumb,
    with_margin_for,
)
from vocr_cli.core.autoconf.reasons.base import Reason, Sentence
from vocr_cli.core.autoconf.reasons.notes import Note, StepTooLarge
from vocr_cli.core.autoconf.reasons.steps import (
    ByRule,
    CoresForWorkers,
    FormatSpeed,
    FormatUntimed,
    LargestWithin,
    Recomputation,
    SmallestNearFastest,
    TimedRuns,
    WorkerRate,
)
from vocr_cli.core.config.tree import Config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.hardware import Hardware

if TYPE_CHECKING:
    from vocr_cli.core.machine.precision import DeviceName

_NEAR_FASTEST = 0.97
_LEAST_PIXELS = 1_000
_DECODED_LINES_PER_S = 2_000  # by one worker; 5,000 of small images were measured
_RENDERED_LINES_PER_S = 300  # measured


@dataclass(frozen=True)
class StepChoice:
    """What a step shall hold.

    Attributes:
        settings: Pixel budget, number format, recomputation.
        step_ms: Its time; 0: not known.
        pixels_why: The reason of the budget.
        amp_why: That of the number format.
        recompute_why: That of the recomputation.
        note: What the user should know besides; None: nothing.
    """

    settings: StepSettings
    step_ms: float
    pixels_why: Reason
    amp_why: Reason
    recompute_why: Reason
    note: Note | None = None


def choose_from_probes(
    probes: Sequence[ProbeResult],
    timings: Sequence[LoaderTiming],
    lines: LineShapes,
    limit_bytes: int,
    must_fit: bool,
) -> StepChoice:
    """Choose the smallest step of those nearly as fast as the fastest: small ones learn more a line.

    Args:
        probes: One that did not fail, at least.
        timings: Whole runs; where one held more than its steps were expected to, all are expected to.
        lines: What steps will be made of.
        limit_bytes: Neither a measured peak nor the one expected of the largest step may lie above it.
        must_fit: Whether a limit that nothing fits is an error, or merely worth a note.

    Raises:
        ConfigError: Not even the smallest step fits.
    """
    models = memory_models(probes)
    for timing in timings:
        kind = timing.settings.amp, timing.settings.recompute
        if kind in models:
            whole = StepPeak(*lines.largest_step(timing.settings.pixels), timing.peak_bytes)
            models[kind] = with_margin_for(models[kind], [whole])
    good = [probe for probe in probes if not probe.failure]
    fitting = [
        probe
        for probe in good
        if probe.typical
        and probe.peak_bytes <= limit_bytes
        and peak_under(_model(models, probe), lines, probe.settings.pixels) <= limit_bytes
    ]
    if not fitting:
        return _smaller_than_probed(good, models, lines, limit_bytes, must_fit)
    top = max(probe.pixels_per_second for probe in fitting)
    near = [probe for probe in fitting if probe.pixels_per_second >= _NEAR_FASTEST * top]
    best = min(
        near,
        key=lambda probe: (probe.settings.pixels, probe.settings.amp != "off", probe.settings.recompute),
    )
    model = _model(models, best)
    expected = peak_under(model, lines, best.settings.pixels)
    return StepChoice(
        best.settings,
        best.step_ms,
        SmallestNearFastest(best.pixels_per_second, expected, limit_bytes, model),
        _amp_reason(best, good, fitting),
        _recompute_reason(best.settings.recompute, good),
    )


def choose_by_rules(
    config: Config, *, amp: Amp, choices: Sequence[int], lines: LineShapes, limit_bytes: int, must_fit: bool
) -> StepChoice:
    """Choose the middle one of the budgets that fit by rules of thumb.

    Args:
        config: Gives the model.
        amp: Number format.
        choices: Pixel budgets, in ascending order.
        lines: What steps will be made of.
        limit_bytes: The memory expected of the largest step may not lie above it.
        must_fit: Whether a limit that nothing fits is an error, or merely worth a note.

    Raises:
        ConfigError: Not even the smallest step fits.
    """
    rule = rule_of_thumb(config, amp != "off")
    largest = largest_budget(rule, lines, limit_bytes, choices[-1])
    note = None if largest else _step_too_large(rule, lines, limit_bytes, must_fit)
    fitting = [pixels for pixels in choices if pixels <= largest] or [largest or _LEAST_PIXELS]
    settings = StepSettings(fitting[len(fitting) // 2], amp)
    why = ByRule(rule, limit_bytes)
    return StepChoice(settings, 0.0, why, FormatUntimed(amp), Sentence.FITS_UNTIMED, note)


def choose_workers(
    hardware: Hardware,
    device: DeviceName,
    *,
    rendered: float,
    lines_per_second: float,
    timings: Sequence[LoaderTiming],
) -> tuple[int, Reason]:
    """Return the number of data workers, and why so many.

    Args:
        hardware: The machine.
        device: Where steps run.
        rendered: Fraction of the lines that are rendered, not decoded.
        lines_per_second: That steps take; 0: not known.
        timings: Runs that were timed.
    """
    cores = cores_of_rank(hardware, device)
    why: Reason = CoresForWorkers(cores, device == "cuda", rendered > 0, max(1, len(hardware.gpus)))
    if timings:
        top = max(timing.lines_per_second for timing in timings)
        near = [timing for timing in timings if timing.lines_per_second >= _NEAR_FASTEST * top]
        workers, why = min(timing.workers for timing in near), TimedRuns(timings)
    elif lines_per_second and device == "cpu":
        rate = 1 / (rendered / _RENDERED_LINES_PER_S + (1 - rendered) / _DECODED_LINES_PER_S)
        workers = min(max(math.ceil(lines_per_second / rate), 1), max(cores // 2, 1))
        why = WorkerRate(lines_per_second, rate)
    elif device == "cuda":
        workers = min(max(cores - 1, 1), 16)
    elif rendered:
        workers = max(cores // 2, 1)
    else:
        workers = min(max(cores // 4, 1), 4)
    return workers, why


def _model(models: dict[Kind, MemoryModel], probe: ProbeResult) -> MemoryModel:
    return models[probe.settings.amp, probe.settings.recompute]


def _smaller_than_probed(
    good: Sequence[ProbeResult],
    models: dict[Kind, MemoryModel],
    lines: LineShapes,
    limit_bytes: int,
    must_fit: bool,
) -> StepChoice:
    """Nothing that was timed fits: choose the kind of step with the largest budget by the memory model."""
    most = max(probe.settings.pixels for probe in good)
    budgets = {kind: largest_budget(model, lines, limit_bytes, most) for kind, model in models.items()}
    amp, recompute = max(budgets, key=lambda kind: (budgets[kind], -kind[1]))
    budget, note = budgets[amp, recompute], None
    if not budget:
        least = min(models.values(), key=lambda model: peak_under(model, lines, _LEAST_PIXELS))
        note = _step_too_large(least, lines, limit_bytes, must_fit)
    settings = StepSettings(budget or _LEAST_PIXELS, amp, recompute)
    alike = [probe for probe in good if (probe.settings.amp, probe.settings.recompute) == (amp, recompute)]
    speed = max(probe.pixels_per_second for probe in alike)
    return StepChoice(
        settings,
        1_000 * settings.pixels / speed,
        LargestWithin(limit_bytes, models[amp, recompute]),
        _amp_reason(max(alike, key=lambda probe: probe.settings.pixels), good, ()),
        _recompute_reason(recompute, good),
        note,
    )


def _step_too_large(model: MemoryModel, lines: LineShapes, limit_bytes: int, must_fit: bool) -> Note:
    needed = peak_under(model, lines, _LEAST_PIXELS)
    note = StepTooLarge(int(lines.widths_px.max()), needed, limit_bytes)
    if must_fit:
        raise ConfigError(
            note.problem,
            f"Allow more: --memory-limit {needed / 1e9 + 0.01:.2f}GB; or plan for a smaller --model.",
        )
    return note


def _amp_reason(best: ProbeResult, good: Sequence[ProbeResult], fitting: Sequence[ProbeResult]) -> Reason:
    """The reason of a number format: its speed at the size that was chosen, else at another one."""
    amp = best.settings.amp
    for chosen in (best, *good):
        for rival in good:
            if _differ_only(chosen, rival, replace(rival.settings, amp=amp)):
                name = "fp32" if rival.settings.amp == "off" else rival.settings.amp
                elsewhere = chosen.settings.pixels if chosen.settings != best.settings else 0
                return FormatSpeed(_speed_ratio(chosen, rival), name, rival in fitting, elsewhere)
    return Sentence.NO_FAST_HALF if amp == "off" else Sentence.FP32_UNTIMED


def _recompute_reason(recompute: Recompute, good: Sequence[ProbeResult]) -> Reason:
    ratio = 0.0
    for chosen in good:
        for rival in good:
            if _differ_only(chosen, rival, replace(rival.settings, recompute=recompute)):
                ratio = _speed_ratio(chosen, rival)
    return Recomputation(recompute > Recompute.OFF, ratio)


def _differ_only(chosen: ProbeResult, rival: ProbeResult, changed: StepSettings) -> bool:
    """Whether both took alike steps, and the settings are another's once it is `changed`."""
    return changed == chosen.settings != rival.settings and chosen.typical == rival.typical


def _speed_ratio(chosen: ProbeResult, rival: ProbeResult) -> float:
    return chosen.pixels_per_second / rival.pixels_per_second
