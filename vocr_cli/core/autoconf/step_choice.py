"""From tried training steps to what a step shall hold, its number format, recomputation and data workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vocr_cli.core.autoconf.candidates import (
    Amp,
    DataFacts,
    LoadResult,
    ProbeResult,
    Trial,
    memory_models,
)
from vocr_cli.core.autoconf.memory_model import (
    LineShapes,
    MemoryModel,
    StepPeak,
    largest_budget,
    peak_under,
    raised,
)
from vocr_cli.core.config.tree import Config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.machine.sizes import show_size

_NEAR_FASTEST = 0.97
_LEAST_PIXELS = 1_000
_AHEAD_BATCHES = 5  # that a data worker holds
_DECODED_LINES_PER_S = 2_000  # by one worker; 5,000 of small images were measured
_RENDERED_LINES_PER_S = 300  # measured
_RULES = {
    "ctc": MemoryModel(220e6, 1_000),
    "transformer": MemoryModel(1_100e6, 7_000, 70_000),
    "seq2seq": MemoryModel(700e6, 6_000, 210_000),
    "convseq2seq": MemoryModel(1_450e6, 7_700, 210_000),
}
"""Memory of fp32 steps without recomputation, by family or sequence model behind a VGG-19; else as `ctc`.

Measured on a CPU, but for the tokens of convseq2seq, which are taken as dear as those of seq2seq.
"""


@dataclass(frozen=True)
class StepChoice:
    """What a step shall hold.

    Attributes:
        trial: Pixel budget, number format, recomputation.
        step_ms: Its time; 0: not known.
        pixels_why: The reason of the budget.
        amp_why: That of the number format.
        recompute_why: That of the recomputation.
        note: What the user should know besides; empty: nothing.
    """

    trial: Trial
    step_ms: float
    pixels_why: str
    amp_why: str
    recompute_why: str
    note: str = ""


def choose_tried(
    probes: Sequence[ProbeResult],
    loads: Sequence[LoadResult],
    lines: LineShapes,
    limit_bytes: int,
    must_fit: bool,
) -> StepChoice:
    """The smallest step of those nearly as fast as the fastest: small ones learn more a line.

    Args:
        probes: One that did not fail, at least.
        loads: Whole runs; where one held more than its steps were expected to, all are expected to.
        lines: What steps will be made of.
        limit_bytes: Neither a measured peak nor the one expected of the largest step may lie above it.
        must_fit: Whether a limit that nothing fits is an error, or merely worth a note.

    Raises:
        ConfigError: Not even the smallest step fits.
    """
    models = memory_models(probes)
    for load in loads:
        kind = load.trial.amp, load.trial.recompute
        if kind in models:
            whole = StepPeak(*lines.largest_step(load.trial.pixels), load.peak_bytes)
            models[kind] = raised(models[kind], [whole])
    good = [probe for probe in probes if not probe.failure]
    fitting = [
        probe
        for probe in good
        if probe.typical
        and probe.peak_bytes <= limit_bytes
        and peak_under(_model(models, probe), lines, probe.trial.pixels) <= limit_bytes
    ]
    if not fitting:
        return _beyond_tried(good, models, lines, limit_bytes, must_fit)
    top = max(probe.pixels_per_second for probe in fitting)
    near = [probe for probe in fitting if probe.pixels_per_second >= _NEAR_FASTEST * top]
    best = min(near, key=lambda probe: (probe.trial.pixels, probe.trial.amp != "off", probe.trial.recompute))
    expected = peak_under(_model(models, best), lines, best.trial.pixels)
    why = (
        f"measured: {best.pixels_per_second / 1e6:.2f} M px/s, the smallest near the fastest; "
        f"{show_size(expected)} of {show_size(limit_bytes)} at most, by {_model(models, best)}"
    )
    kept = _recompute_reason(best.trial.recompute, good)
    return StepChoice(best.trial, best.step_ms, why, _amp_reason(best.trial.amp, good), kept)


def choose_untried(
    config: Config, amp: Amp, choices: Sequence[int], lines: LineShapes, limit_bytes: int, must_fit: bool
) -> StepChoice:
    """The middle one of the budgets that fit by rules of thumb.

    Raises:
        ConfigError: Not even the smallest step fits.
    """
    rule = _rule(config, amp)
    room = largest_budget(rule, lines, limit_bytes, choices[-1])
    note = "" if room else _refused(rule, lines, limit_bytes, must_fit)
    fitting = [pixels for pixels in choices if pixels <= room] or [room or _LEAST_PIXELS]
    return StepChoice(
        Trial(fitting[len(fitting) // 2], amp),
        0.0,
        f"not timed; about {rule}, within {show_size(limit_bytes)}",
        f"not timed; this device has {f'{amp} of its own' if amp != 'off' else 'no fast half precision'}",
        "not timed; steps fit without it",
        note,
    )


def choose_workers(
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    lines_per_second: float,
    batch_bytes: int,
    loads: Sequence[LoadResult],
) -> tuple[int, str]:
    """Data workers, and why so many.

    Args:
        hardware: The machine.
        device: Where steps run.
        data: None: lines are rendered.
        lines_per_second: That steps take; 0: not known.
        batch_bytes: Of a batch's images.
        loads: Runs that were timed.
    """  # fmt: skip
    cores = hardware.cores
    if loads:
        top = max(load.lines_per_second for load in loads)
        near = [load for load in loads if load.lines_per_second >= _NEAR_FASTEST * top]
        best = min(near, key=lambda load: load.workers)
        compared = ", ".join(f"{load.workers}: {load.lines_per_second:,.1f}" for load in loads)
        workers, why = best.workers, f"measured, lines/s of whole runs by workers: {compared}"
        if len(loads) == 1:
            why = f"measured: steps wait {best.wait_share:.0%} of the time for lines"
    elif lines_per_second and device == "cpu":
        rate = _RENDERED_LINES_PER_S if data is None else _DECODED_LINES_PER_S
        workers = min(max(math.ceil(lines_per_second / rate), 1), max(cores // 2, 1))
        why = f"steps take {lines_per_second:,.0f} lines/s, a worker makes about {rate}"
    elif device == "cuda":
        workers, why = min(max(cores - 1, 1), 16), f"all but one of {cores} cores: the GPU computes"
    elif data is None:
        workers, why = max(cores // 2, 1), f"half of {cores} cores: rendering costs about as much as training"
    else:
        workers, why = min(max(cores // 4, 1), 4), f"a quarter of {cores} cores: decoding costs little"
    ahead, shared = _AHEAD_BATCHES * batch_bytes, hardware.shared_memory_bytes
    if shared is not None and ahead * workers > shared:
        workers = shared // ahead
        why = f"/dev/shm, {show_size(shared)}, holds no more batches; 0: made in the training process"
    return workers, why


def _model(models: dict[tuple[Amp, bool], MemoryModel], probe: ProbeResult) -> MemoryModel:
    return models[probe.trial.amp, probe.trial.recompute]


def _beyond_tried(
    good: Sequence[ProbeResult],
    models: dict[tuple[Amp, bool], MemoryModel],
    lines: LineShapes,
    limit_bytes: int,
    must_fit: bool,
) -> StepChoice:
    """Nothing that was timed fits: the kind of step with the largest budget by the memory model."""
    most = max(probe.trial.pixels for probe in good)
    rooms = {kind: largest_budget(model, lines, limit_bytes, most) for kind, model in models.items()}
    amp, recompute = max(rooms, key=lambda kind: (rooms[kind], not kind[1]))
    room, note = rooms[amp, recompute], ""
    if not room:
        least = min(models.values(), key=lambda model: peak_under(model, lines, _LEAST_PIXELS))
        note = _refused(least, lines, limit_bytes, must_fit)
    trial = Trial(room or _LEAST_PIXELS, amp, recompute)
    alike = [probe for probe in good if (probe.trial.amp, probe.trial.recompute) == (amp, recompute)]
    speed = max(probe.pixels_per_second for probe in alike)
    why = f"the largest within {show_size(limit_bytes)}, by {models[amp, recompute]}"
    kept = _recompute_reason(recompute, good)
    return StepChoice(trial, 1_000 * trial.pixels / speed, why, _amp_reason(amp, good), kept, note)


def _refused(model: MemoryModel, lines: LineShapes, limit_bytes: int, must_fit: bool) -> str:
    needed = peak_under(model, lines, _LEAST_PIXELS)
    problem = (
        f"A step of one line {int(lines.widths_px.max()):,} px wide takes about {show_size(needed)}, "
        f"more than the {show_size(limit_bytes)} allowed."
    )
    if must_fit:
        raise ConfigError(
            problem, f"Allow more: --memory-limit {needed / 1e9 + 0.01:.2f}GB; or plan for a smaller --model."
        )
    return f"{problem} Free some memory before training."


def _rule(config: Config, amp: Amp) -> MemoryModel:
    model = config.model
    rule = _RULES.get(model.variant, _RULES["ctc"])
    half = 1 if amp == "off" else 2
    pixel_bytes = rule.pixel_bytes * model.activation_scale
    return MemoryModel(rule.fixed_bytes, pixel_bytes / half, rule.token_bytes / half)


def _amp_reason(amp: Amp, good: Sequence[ProbeResult]) -> str:
    for own in good:
        for rival in good:
            if replace(rival.trial, amp=amp) == own.trial != rival.trial and own.typical == rival.typical:
                name = "fp32" if rival.trial.amp == "off" else rival.trial.amp
                return f"measured: {_speed_ratio(own, rival):.1f} × the speed of {name}"
    if amp != "off":
        return "the device computes in it; fp32 was not timed"
    return "this device has no fast half precision"


def _recompute_reason(recompute: bool, good: Sequence[ProbeResult]) -> str:
    ratio = 0.0
    for own in good:
        for rival in good:
            alike = replace(rival.trial, recompute=recompute) == own.trial != rival.trial
            if alike and own.typical == rival.typical:
                ratio = _speed_ratio(own, rival)
    if recompute:
        return "without it no step so large fits" + (f"; {ratio:.0%} of the speed" if ratio else "")
    return "steps fit without it" + (f", {ratio:.1f} × as fast" if ratio else "")


def _speed_ratio(own: ProbeResult, rival: ProbeResult) -> float:
    return own.pixels_per_second / rival.pixels_per_second
