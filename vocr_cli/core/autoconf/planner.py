"""Facts about the machine and the data to a training config, with a reason for each value that is chosen.

Pure: nothing is read and nothing is timed here (`core.probe` does both).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vocr_cli.core.autoconf.candidates import (
    CTC_SIZES,
    DataFacts,
    LoadResult,
    ProbeResult,
    amp_choices,
    line_shapes,
    median_width,
    memory_limit,
    model_size,
    pixel_choices,
    recompute_setting,
)
from vocr_cli.core.autoconf.step_choice import choose_tried, choose_untried, choose_workers
from vocr_cli.core.config.families import parse_model
from vocr_cli.core.config.tree import COLUMN_PX, Config, dump_config, parse_config
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.machine.precision import DeviceName

_WIDEST_PX = 6_400
_FEWEST_STEPS = 2_000
_LINES_SEEN = 2_000_000
_SYNTH_LINES_SEEN = 1_500_000
_VALID_SHARE = 0.05
_KNOWN_RATES = {
    ("ctc", "muon"): (4e-3, 300_000),
    ("ctc", "adamw"): (1e-3, 400_000),
    ("autoregressive", "adamw"): (3e-4, 330_000),
}
"""A learning rate that trains models of each head well, and the pixels of the step it was found at."""


@dataclass(frozen=True)
class Measured:
    """What was tried on the machine.

    Attributes:
        probes: Steps; without them batch and number format follow rules of thumb.
        loads: Whole runs by number of data workers.
        limit_bytes: Memory that training steps may take at most; None: `memory_limit`.
    """

    probes: Sequence[ProbeResult] = ()
    loads: Sequence[LoadResult] = ()
    limit_bytes: int | None = None


@dataclass
class Plan:
    """A config, why it is so, and what the user should know besides."""

    config: Config
    reasons: dict[str, str]
    """`section.key` to the reason of that value; `section` alone to that of a whole section."""
    notes: list[str]
    step: ProbeResult
    """The step that was chosen; its time is 0 if nothing was timed."""


@dataclass
class _Draft:
    tree: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def choose(self, key: str, value: Any, reason: str) -> None:
        section, name = key.split(".")
        self.tree[section][name] = value
        self.reasons[key] = reason


def plan(
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    *,
    base: Config | None = None,
    size: str = "auto",
    measured: Measured = Measured(),
) -> Plan:
    """Chooses a training config.

    Args:
        hardware: The machine.
        device: Where training shall run; "cuda" needs a GPU in `hardware`.
        data: The lines; None: rendered lines from the built-in generator.
        base: Gives every value that is not chosen here, and keeps its model and image settings; None: the
            defaults, and a new model.
        size: Of the new model, one of `CTC_SIZES`; `auto`: what suits data and device.
        measured: What was tried, and the memory limit.

    Raises:
        ConfigError: A memory limit was given that not even a step of one line keeps to.
    """
    start = base or parse_config({}, "the defaults")
    draft = _Draft(start.model_dump(mode="json", by_alias=True))
    if base is None:
        name, why = model_size(device, data) if size == "auto" else (size, "as asked for")
        draft.tree["model"] = CTC_SIZES[name].model_dump(mode="json")
        draft.reasons["model"] = f"{name}: {why}"
    _choose_data(draft, data, may_widen=base is None)
    _choose_bucket(draft, data)
    if base is None:
        draft.choose("optim.name", "muon", "from random weights far fewer steps than AdamW's")
    step = _choose_step(draft, hardware, device, data, measured)
    _choose_workers(draft, hardware, device, data, step, measured.loads)
    _choose_length(draft, data, step)
    return Plan(parse_config(draft.tree, "autoconf"), draft.reasons, draft.notes, step)


def annotated_yaml(made: Plan, heading: Sequence[str] = ()) -> str:
    """The config as YAML that `load_config` reads back: `heading` on top, each reason beside its value."""
    lines = [f"# {line}" for line in heading]
    section = ""
    for line in dump_config(made.config).splitlines():
        if top := re.match(r"(\w+):", line):
            section = top[1]
        key = re.match(r"  (\w+):", line)
        reason = made.reasons.get(f"{section}.{key[1]}" if key else section if top else "", "")
        lines.append(f"{line}  # {' '.join(reason.split())}" if reason else line)
    return "\n".join(lines) + "\n"


def _choose_data(draft: _Draft, data: DataFacts | None, may_widen: bool) -> None:
    if data is None:
        why = "no --data given: lines rendered from the built-in generator"
        draft.choose("data.train", [{"synth": {}}], why)
        return
    total = data.lines
    draft.choose(
        "data.train",
        [{"lmdb": str(path), "weight": count} for path, count in data.sources],
        f"{total:,} lines" + (", each of them equally often" if len(data.sources) > 1 else ""),
    )
    if data.valid:
        count = sum(count for _, count in data.valid)
        paths = [str(path) for path, _ in data.valid]
        draft.choose("data.valid", paths, f"the {count:,} lines that build-lmdb held back")
    else:
        how = "use `vocr build-lmdb --valid-share 0.05`, or `vocr train --valid LMDB`"
        draft.notes.append(f"No validation lines: {how}.")
    if data.unreadable_lines:
        draft.notes.append(f"{data.unreadable_lines:,} lines have images that cannot be read.")
    if data.scaled_lines > total / 2:
        draft.notes.append(
            f"{data.scaled_lines:,} lines are scaled anew whenever they are loaded; databases that "
            "`vocr build-lmdb DATABASE OUT --fit CONFIG` makes of them load faster."
        )
    _choose_charset(draft, data, total)
    _choose_width(draft, data, may_widen)


def _choose_charset(draft: _Draft, data: DataFacts, total: int) -> None:
    if not data.unknown:
        draft.choose("charset.unknown", "error", "every character of the labels is in the charset")
        return
    named = ", ".join(f"U+{ord(item.char):04X}" for item in data.unknown[:6])
    named += " …" if len(data.unknown) > 6 else ""
    if data.unknown_lines * 1_000 < total:
        policy, why = "skip-line", "too few to learn from"
    else:
        policy, why = "extend", "enough to learn them"
    draft.choose("charset.unknown", policy, f"{data.unknown_lines:,} of {total:,} lines hold {named}: {why}")
    draft.notes += [f"Not in the charset: {item}" for item in data.unknown[:6]]


def _choose_width(draft: _Draft, data: DataFacts, may_widen: bool) -> None:
    image = draft.tree["image"]
    longest = float(data.widths_px.max(initial=0))
    if may_widen and longest > image["max_width_px"]:
        widest = min(math.ceil(longest / 64) * 64, _WIDEST_PX)
        draft.choose("image.max_width_px", widest, f"the longest line has {longest:,.0f} px at model height")
    if squeezed := int((data.widths_px > image["max_width_px"]).sum()):
        draft.notes.append(f"{squeezed:,} lines are squeezed to {image['max_width_px']:,} px.")
    columns = np.clip(data.widths_px, image["min_width_px"], image["max_width_px"]) // COLUMN_PX
    crowded = int((columns < data.label_lengths).sum())
    if crowded and parse_model(draft.tree["model"]).HEAD == "ctc":
        why = f"less than {COLUMN_PX} px a character at model height"
        draft.notes.append(f"{crowded:,} lines are stretched to be learned: {why}.")


def _choose_step(
    draft: _Draft, hardware: Hardware, device: DeviceName, data: DataFacts | None, facts: Measured
) -> ProbeResult:
    """Sets what a step holds; returns that step, its time 0 if nothing was timed."""
    start = parse_config(draft.tree, "autoconf")
    lines = line_shapes(data, start)
    given = facts.limit_bytes is not None
    limit = facts.limit_bytes if facts.limit_bytes is not None else memory_limit(hardware, device)
    if any(not probe.failure for probe in facts.probes):
        choice = choose_tried(facts.probes, facts.loads, lines, limit, given)
    else:
        amp = amp_choices(hardware, device)[0]
        choices = pixel_choices(device, data, start.image.height_px, start.model.HEAD)
        choice = choose_untried(start, amp, choices, lines, limit, given)
    trial = choice.trial
    draft.choose("batch.pixels", trial.pixels, choice.pixels_why)
    draft.choose("precision.amp", trial.amp, choice.amp_why)
    draft.choose("precision.recompute", list(recompute_setting(trial.recompute)), choice.recompute_why)
    draft.notes += [choice.note] if choice.note else []
    most = lines.most_lines(trial.pixels)
    if most > draft.tree["batch"]["max_lines"]:
        draft.choose("batch.max_lines", most, f"twice the {most // 2:,} lines of median width in a step")
    _choose_rate(draft, start, trial.pixels)
    return ProbeResult(trial, lines.mean_lines(trial.pixels), choice.step_ms)


def _choose_bucket(draft: _Draft, data: DataFacts | None) -> None:
    median = median_width(data)
    bucket = min(max(round(median / 80) * 8, 8), 64)
    draft.choose("batch.bucket_px", bucket, f"a tenth of the median width, {median:,.0f} px: little padding")


def _choose_rate(draft: _Draft, start: Config, pixels: int) -> None:
    known = _KNOWN_RATES.get((start.model.HEAD, draft.tree["optim"]["name"]))
    if known is None:  # the given config has a rate of its own
        return
    known_rate, known_pixels = known
    rate = known_rate * min(max(math.sqrt(pixels / known_pixels), 0.3), 2.0)
    why = f"{known_rate:g} at {known_pixels:,} px a step, growing with its root (Malladi et al., 2022)"
    draft.choose("optim.lr", float(f"{rate:.1e}"), why)


def _choose_workers(
    draft: _Draft,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    step: ProbeResult,
    loads: Sequence[LoadResult],
) -> None:
    lines_per_second = 1_000 * step.lines / step.step_ms if step.step_ms else 0.0
    image_bytes = draft.tree["batch"]["pixels"] * draft.tree["image"]["channels"]
    workers, why = choose_workers(hardware, device, data, lines_per_second, image_bytes, loads)
    draft.choose("data.workers", workers, why)


def _choose_length(draft: _Draft, data: DataFacts | None, step: ProbeResult) -> None:
    total = data.lines if data else 0
    epochs = min(max(_LINES_SEEN / total, 5), 100) if total else 0
    seen = total * epochs or _SYNTH_LINES_SEEN
    steps = max(math.ceil(seen / step.lines), _FEWEST_STEPS)
    steps = math.ceil(steps / 100) * 100
    passes = f", {steps * step.lines / total:,.0f} times the data" if total else ""
    seconds = steps * step.step_ms / 1_000
    duration = f", about {_duration(seconds)} at the measured speed" if seconds else ""
    draft.choose("train.max_steps", steps, f"{steps * step.lines:,} lines{passes}{duration}")
    most = 200 if draft.tree["optim"]["name"] == "muon" else 500  # tried with 100 and 200
    warm = min(max(steps // 33, 100), most)
    if draft.tree["schedule"]["name"] != "onecycle":  # which has a rise of its own
        draft.choose("schedule.warmup_steps", warm, f"3 % of the steps, within 100..{most}")
    draft.tree["validate"] |= {"every_steps": None, "every_minutes": None}
    draft.choose("validate.time_share", _VALID_SHARE, "as often as a twentieth of the time allows")
    if step.step_ms:
        often = min(max(round(10_000 / step.step_ms), 1), steps)
        draft.choose("train.log_every_steps", often, f"every 10 s or so at {step.step_ms:,.0f} ms a step")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
