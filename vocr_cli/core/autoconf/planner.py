"""From facts about the machine and the data to a training config, with a reason for each chosen value.

Nothing is read and nothing is timed here: `read_data`, `time_steps` and `time_loader` do that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vocr_cli.core.autoconf.candidates import amp_choices, pixel_choices
from vocr_cli.core.autoconf.draft import Draft, Plan
from vocr_cli.core.autoconf.facts import DataFacts, LoaderTiming, ProbeResult, line_shapes, memory_limit
from vocr_cli.core.autoconf.fine_tuning import (
    CPU_PIXELS,
    WARMUP_STEPS,
    FineTuning,
    fine_tuning_choices,
)
from vocr_cli.core.autoconf.line_choice import choose_bucket, choose_data
from vocr_cli.core.autoconf.model_size import CTC_SIZES, choose_size
from vocr_cli.core.autoconf.reasons.base import Sentence
from vocr_cli.core.autoconf.reasons.lines import NewModel, StartsFrom
from vocr_cli.core.autoconf.reasons.steps import (
    EveryTenSeconds,
    LinesSeen,
    MeasuredWith,
    RateForErrors,
    ScaledRate,
    TwiceMedianLines,
    WarmupMeasured,
    WarmupShare,
)
from vocr_cli.core.autoconf.step_choice import choose_by_rules, choose_from_probes, choose_workers
from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.training.optim.fine_tuning_rate import KnownRate, fine_tuning_rate

if TYPE_CHECKING:
    from pathlib import Path

    from vocr_cli.core.machine.precision import DeviceName

_FEWEST_STEPS = 2_000
_LINES_SEEN = 2_000_000
_SYNTH_LINES_SEEN = 1_500_000
_VALID_SHARE = 0.05
_KNOWN_RATES: dict[tuple[Head, str], KnownRate] = {
    ("ctc", "muon"): KnownRate(4e-3, 300_000),
    ("ctc", "adamw"): KnownRate(1e-3, 400_000),
    ("autoregressive", "adamw"): KnownRate(3e-4, 330_000),
}
"""Learning rates that train models of each head well from random weights."""


@dataclass(frozen=True)
class Measured:
    """What was tried on the machine.

    Attributes:
        probes: Steps; without them batch and number format follow rules of thumb.
        timings: Whole runs by number of data workers.
        limit_bytes: Memory that training steps may take at most; None: `memory_limit`.
    """

    probes: Sequence[ProbeResult] = ()
    timings: Sequence[LoaderTiming] = ()
    limit_bytes: int | None = None


def plan(
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    *,
    base: Config | None = None,
    size: str = "auto",
    fine_tuning: FineTuning | None = None,
    fonts: Sequence[Path] = (),
    measured: Measured = Measured(),
) -> Plan:
    """Choose a training config.

    Args:
        hardware: The machine.
        device: Where training shall run; "cuda" needs a GPU in `hardware`.
        data: The lines; None: rendered lines from the built-in generator.
        base: Gives every value that is not chosen here, and keeps its model and image settings; None: the
            defaults, and a new model.
        size: Of the new model, one of `CTC_SIZES`; `auto`: what suits data and device.
        fine_tuning: Plans for a run that starts from the weights that `base` describes.
        fonts: Of rendered lines; none: the system's.
        measured: What was tried, and the memory limit.

    Raises:
        ConfigError: A memory limit was given that not even a step of one line keeps to.
    """
    start = base or parse_config({}, "the defaults")
    draft = Draft(start.model_dump(mode="json", by_alias=True), fine_tuning)
    if base is None:
        name, why = choose_size(device, data) if size == "auto" else (size, Sentence.AS_ASKED)
        draft.tree["model"] = CTC_SIZES[name].model_dump(mode="json")
        draft.reasons["model"] = NewModel(name, why)
    if fine_tuning is not None:
        draft.reasons |= dict.fromkeys(("model", "image"), StartsFrom(fine_tuning.model))
        for key, value, reason in fine_tuning_choices(start, fine_tuning, data):
            draft.choose(key, value, reason)
    fine_tuned_ctc = fine_tuning is not None and start.model.HEAD == "ctc"  # whose weights know no width
    choose_data(draft, data, fonts, may_widen=base is None or fine_tuned_ctc)
    choose_bucket(draft, data)
    if base is None:
        draft.choose("optim.name", "muon", Sentence.MUON_FROM_RANDOM)
    step = _choose_step(draft, hardware, device, data, measured)
    _choose_workers(draft, hardware, device, data, step, measured.timings)
    _choose_length(draft, data, step)
    return Plan(parse_config(draft.tree, "autoconf"), draft.reasons, draft.notes, step)


def _choose_step(
    draft: Draft, hardware: Hardware, device: DeviceName, data: DataFacts | None, facts: Measured
) -> ProbeResult:
    """Set what a step holds; return that step, its time 0 if nothing was timed."""
    start = parse_config(draft.tree, "autoconf")
    lines = line_shapes(data, start)
    must_fit = facts.limit_bytes is not None
    limit = facts.limit_bytes if facts.limit_bytes is not None else memory_limit(hardware, device)
    recipe_pixels = CPU_PIXELS.get(start.model.HEAD) if draft.fine_tuning and device == "cpu" else None
    timed = any(not probe.failure for probe in facts.probes)
    if timed:
        choice = choose_from_probes(facts.probes, facts.timings, lines, limit, must_fit)
    else:
        choice = choose_by_rules(
            start,
            amp=amp_choices(hardware, device)[0],
            choices=(recipe_pixels,) if recipe_pixels else pixel_choices(device, data, start),
            lines=lines,
            limit_bytes=limit,
            must_fit=must_fit,
        )
    settings, pixels_why = choice.settings, choice.pixels_why
    if not timed and settings.pixels == recipe_pixels:
        pixels_why = MeasuredWith(pixels_why)
    draft.choose("batch.pixels", settings.pixels, pixels_why)
    draft.choose("precision.amp", settings.amp, choice.amp_why)
    draft.choose("precision.recompute", list(settings.recompute.setting), choice.recompute_why)
    draft.notes += [choice.note] if choice.note else []
    most = lines.most_lines(settings.pixels)
    if most > draft.tree["batch"]["max_lines"]:
        draft.choose("batch.max_lines", most, TwiceMedianLines(most // 2))
    _choose_rate(draft, start, settings.pixels)
    return ProbeResult(settings, lines.mean_lines(settings.pixels), choice.step_ms)


def _choose_rate(draft: Draft, start: Config, pixels: int) -> None:
    head, optimizer = start.model.HEAD, draft.tree["optim"]["name"]
    start_cer = draft.fine_tuning.start_cer if draft.fine_tuning else None
    if draft.fine_tuning:
        known = fine_tuning_rate(head, optimizer, start_cer)
    else:
        known = _KNOWN_RATES.get((head, optimizer))
    if known is None:  # the given config has a rate of its own
        return
    why = ScaledRate(known.rate, known.pixels)
    reason = why if start_cer is None else RateForErrors(why, start_cer)
    draft.choose("optim.lr", float(f"{known.at(pixels):.1e}"), reason)


def _choose_workers(
    draft: Draft,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    step: ProbeResult,
    timings: Sequence[LoaderTiming],
) -> None:
    workers, why = choose_workers(
        hardware,
        device,
        rendered=1.0 if data is None else draft.replay,
        lines_per_second=1_000 * step.lines / step.step_ms if step.step_ms else 0.0,
        timings=timings,
    )
    draft.choose("data.workers", workers, why)


def _choose_length(draft: Draft, data: DataFacts | None, step: ProbeResult) -> None:
    total = data.lines / (1 - draft.replay) if data else 0  # lines until each stored one has come once
    epochs = min(max(_LINES_SEEN / total, 5), 100) if total else 0
    seen = total * epochs or _SYNTH_LINES_SEEN
    steps = max(math.ceil(seen / step.lines), _FEWEST_STEPS)
    steps = math.ceil(steps / 100) * 100
    lines = steps * step.lines
    passes = lines / total if total else 0.0
    draft.choose("train.max_steps", steps, LinesSeen(lines, passes, steps * step.step_ms / 1_000))
    if draft.tree["schedule"]["name"] != "onecycle":  # which has a rise of its own
        _choose_warmup(draft, steps)
    draft.tree["validate"] |= {"every_steps": None, "every_minutes": None}
    draft.choose("validate.time_share", _VALID_SHARE, Sentence.VALIDATION_TIME)
    if step.step_ms:
        often = min(max(round(10_000 / step.step_ms), 1), steps)
        draft.choose("train.log_every_steps", often, EveryTenSeconds(step.step_ms))


def _choose_warmup(draft: Draft, steps: int) -> None:
    if draft.fine_tuning:
        draft.choose("schedule.warmup_steps", min(WARMUP_STEPS, steps // 10), WarmupMeasured(WARMUP_STEPS))
        return
    most = 200 if draft.tree["optim"]["name"] == "muon" else 500  # measured with 100 and 200
    warm = min(max(steps // 33, 100), most)
    draft.choose("schedule.warmup_steps", warm, WarmupShare(100, most))
