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

from vocr_cli.core.config import COLUMN_PX, Config, dump_config, parse_config
from vocr_cli.core.hardware import Hardware
from vocr_cli.core.trials import (
    TYPICAL_WIDTH_PX,
    DataFacts,
    DeviceName,
    ProbeResult,
    amp_choices,
    median_width,
    memory_limit,
    pixel_choices,
)

_BYTES_PER_PIXEL = 1_700  # a training step of the default model in fp32, measured; half in bf16
_FIXED_BYTES = 200_000_000  # weights, optimizer and compiled kernels, measured
_WIDEST_PX = 6_400
_FEWEST_STEPS = 2_000
_NEAR_FASTEST = 0.9
_LINES_SEEN = 2_000_000
_SYNTH_LINES_SEEN = 1_500_000
_READING_SPEED = 3  # times that of training, measured


@dataclass
class Plan:
    """A config, why it is so, and what the user should know besides."""

    config: Config
    reasons: dict[str, str]
    """`section.key` to the reason of that value."""
    notes: list[str]


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
    probes: Sequence[ProbeResult] = (),
    limit_bytes: int | None = None,
) -> Plan:
    """Chooses a training config.

    Args:
        hardware: The machine.
        device: Where training shall run; "cuda" needs a GPU in `hardware`.
        data: The lines; None: rendered lines from the built-in generator.
        base: Gives every value that is not chosen here, and keeps its image settings; None: the defaults.
        probes: Timed steps; without them batch and number format follow rules of thumb.
        limit_bytes: Memory that training steps may take; None: `memory_limit`.
    """
    limit = memory_limit(hardware, device) if limit_bytes is None else limit_bytes
    start = base or parse_config({}, "the defaults")
    draft = _Draft(start.model_dump(mode="json", by_alias=True))
    _choose_data(draft, data, may_widen=base is None)
    best = _choose_batch(draft, hardware, device, data, probes, limit)
    _choose_workers(draft, hardware, device, data)
    _choose_length(draft, data, best)
    return Plan(parse_config(draft.tree, "autoconf"), draft.reasons, draft.notes)


def annotated_yaml(made: Plan, heading: Sequence[str] = ()) -> str:
    """The config as YAML that `load_config` reads back: `heading` on top, each reason beside its value."""
    lines = [f"# {line}" for line in heading]
    section = ""
    for line in dump_config(made.config).splitlines():
        if top := re.match(r"(\w+):", line):
            section = top[1]
        key = re.match(r"  (\w+):", line)
        reason = made.reasons.get(f"{section}.{key[1]}", "") if key else ""
        lines.append(f"{line}  # {' '.join(reason.split())}" if reason else line)
    return "\n".join(lines) + "\n"


def _choose_data(draft: _Draft, data: DataFacts | None, may_widen: bool) -> None:
    if data is None:
        why = "no --data given: lines rendered from the built-in generator"
        draft.choose("data.train", [{"synth": {}}], why)
        return
    total = sum(count for _, count in data.sources)
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
    if crowded := int((columns < data.label_lengths).sum()):
        why = f"less than {COLUMN_PX} px a character at model height"
        draft.notes.append(f"{crowded:,} lines cannot be learned: {why}.")


def _choose_batch(
    draft: _Draft,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    probes: Sequence[ProbeResult],
    limit: int,
) -> ProbeResult:
    """Sets what a step holds; returns that step, its time 0 if nothing was timed."""
    height, median = draft.tree["image"]["height_px"], median_width(data)
    if any(not probe.failure for probe in probes):
        best, why, why_amp = _fastest(probes, limit)
    else:
        best, why, why_amp = _untimed(hardware, device, pixel_choices(device, data, height), limit)
    draft.choose("batch.pixels", best.pixels, why)
    draft.choose("precision.amp", best.amp, why_amp)
    lines = max(1, int(best.pixels // (median * height)))  # of median width
    if 2 * lines > draft.tree["batch"]["max_lines"]:
        draft.choose("batch.max_lines", 2 * lines, f"twice the {lines:,} lines of median width in a step")
    bucket = min(max(round(median / 80) * 8, 8), 64)
    draft.choose("batch.bucket_px", bucket, f"a tenth of the median width, {median:,.0f} px: little padding")
    rate = float(f"{min(max(1e-3 * math.sqrt(best.pixels / 400_000), 3e-4), 2e-3):.1e}")
    why = "0.001 at 400,000 px a step, growing with the root of the step (Malladi et al., 2022)"
    draft.choose("optim.lr", rate, why)
    return ProbeResult(best.pixels, best.amp, _lines_a_step(draft, data), best.step_ms)


def _lines_a_step(draft: _Draft, data: DataFacts | None) -> int:
    """Lines that a step holds on average, batches being cut from lines of like width."""
    image, batch = draft.tree["image"], draft.tree["batch"]
    widths = np.array([TYPICAL_WIDTH_PX]) if data is None or not len(data.widths_px) else data.widths_px
    widths = np.clip(widths, image["min_width_px"], image["max_width_px"])
    padded = np.ceil(widths / batch["bucket_px"]) * batch["bucket_px"]
    fitting = np.clip(batch["pixels"] // (padded * image["height_px"]), 1, batch["max_lines"])
    return max(1, round(1 / float(np.mean(1 / fitting))))


def _fastest(probes: Sequence[ProbeResult], limit: int) -> tuple[ProbeResult, str, str]:
    """The smallest step of those nearly as fast as the fastest, fp32 first: small steps learn more a line."""
    timed = [probe for probe in probes if not probe.failure]
    fitting = [probe for probe in timed if probe.peak_bytes <= limit]
    if not fitting:
        small = min(timed, key=lambda probe: probe.peak_bytes)
        pixels = max(1_000, int(small.pixels * 0.9 * limit / small.peak_bytes))
        shrunk = ProbeResult(pixels, small.amp, small.lines, small.step_ms * pixels / small.pixels)
        why = f"{small.pixels:,} px took {_gb(small.peak_bytes)}, more than the {_gb(limit)} allowed"
        return shrunk, why, "took the least memory"
    top = max(probe.pixels_per_second for probe in fitting)
    near = [probe for probe in fitting if probe.pixels_per_second >= _NEAR_FASTEST * top]
    best = min(near, key=lambda probe: (probe.pixels, probe.amp != "off"))
    speed = best.pixels_per_second
    why = f"measured: {speed / 1e6:.2f} M px/s in {_gb(best.peak_bytes)}; the smallest near the fastest"
    return best, why, _compared(best, timed)


def _compared(best: ProbeResult, timed: Sequence[ProbeResult]) -> str:
    """How the number format of `best` did against another at the same pixel budget."""
    for own in timed:
        for rival in timed:
            if own.amp == best.amp != rival.amp and own.pixels == rival.pixels:
                ratio = own.pixels_per_second / rival.pixels_per_second
                return f"measured: {ratio:.1f} × the speed of {'fp32' if rival.amp == 'off' else rival.amp}"
    return "this device has no fast half precision"


def _untimed(
    hardware: Hardware, device: DeviceName, choices: Sequence[int], limit: int
) -> tuple[ProbeResult, str, str]:
    amp = amp_choices(hardware, device)[0]
    each = _BYTES_PER_PIXEL if amp == "off" else _BYTES_PER_PIXEL // 2
    room = max(1_000, (limit - _FIXED_BYTES) // each)
    fitting = [pixels for pixels in choices if pixels <= room] or [room]
    own = f"{amp} of its own" if amp != "off" else "no fast half precision"
    why_amp = f"not timed; this {'CPU' if device == 'cpu' else 'GPU'} has {own}"
    why = f"not timed; about {each:,} bytes a px, within {_gb(limit)}"
    return ProbeResult(fitting[len(fitting) // 2], amp), why, why_amp


def _choose_workers(draft: _Draft, hardware: Hardware, device: DeviceName, data: DataFacts | None) -> None:
    cores = hardware.cores
    if device == "cuda":
        workers, why = min(max(cores - 1, 1), 16), f"all but one of {cores} cores: the GPU computes"
    elif data is None:
        workers, why = max(cores // 2, 1), f"half of {cores} cores: rendering costs about as much as training"
    else:
        workers, why = min(max(cores // 4, 1), 4), f"a quarter of {cores} cores: decoding costs little"
    ahead_bytes = 5 * draft.tree["batch"]["pixels"] * draft.tree["image"]["channels"]  # of each worker
    shared = hardware.shared_memory_bytes
    if shared is not None and ahead_bytes * workers > shared:
        workers = shared // ahead_bytes
        why = f"/dev/shm, {_gb(shared)}, holds no more batches; 0: made in the training process"
    draft.choose("data.workers", workers, why)


def _choose_length(draft: _Draft, data: DataFacts | None, step: ProbeResult) -> None:
    total = sum(count for _, count in data.sources) if data else 0
    epochs = min(max(_LINES_SEEN / total, 5), 100) if total else 0
    seen = total * epochs or _SYNTH_LINES_SEEN
    steps = max(math.ceil(seen / step.lines), _FEWEST_STEPS)
    steps = math.ceil(steps / 100) * 100
    passes = f", {steps * step.lines / total:,.0f} times the data" if total else ""
    seconds = steps * step.step_ms / 1_000
    duration = f", about {_duration(seconds)} at the measured speed" if seconds else ""
    draft.choose("train.max_steps", steps, f"{steps * step.lines:,} lines{passes}{duration}")
    warm = min(max(steps // 33, 100), 500)
    draft.choose("schedule.warmup_steps", warm, "3 % of the steps, within 100..500")
    valid = sum(count for _, count in data.valid) if data else 0
    looked_at = min(valid, draft.tree["validate"]["max_lines"] or valid)
    cost = math.ceil(looked_at / _READING_SPEED / step.lines)  # in steps
    every = min(max(steps // 20, 10 * cost, 50), steps)
    draft.choose("validate.every_steps", every, "20 looks a run, each a tenth of the time between at most")
    if step.step_ms:
        often = min(max(round(10_000 / step.step_ms), 1), every)
        draft.choose("train.log_every_steps", often, f"every 10 s or so at {step.step_ms:,.0f} ms a step")


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
