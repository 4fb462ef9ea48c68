"""How fast each number format was with a model on this machine, kept in the user's cache folder.

`--precision auto` takes the fastest of the floating-point formats that the hardware runs well: by such a
timing where there is one, else by the flags of the processor. A cache that cannot be read or written is an
empty one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError

from vocr_cli.core.config.tree import Settings
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.cache_folder import cache_folder
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.core.machine.precision import DeviceName, PrecisionName, good_precisions, resolve_precision

WORTH_IT = 1.03
"""A coarser format must be faster by this factor: less may be chance, and fp32 is the more exact."""

_MOST_KEPT = 200
_FILE = "precision.json"


@dataclass(frozen=True)
class PrecisionChoice:
    """A precision, and in a few words why it was taken."""

    precision: str
    reason: str


class Setting(Settings):
    """What a timing holds for: change any of it, and it is taken anew."""

    model: str
    model_bytes: int
    model_modified_ns: int
    device: str = Field(description="cpu, or the name of the GPU.")
    cpu: str
    cpu_flags: tuple[str, ...]
    torch: str
    threads: int


class _Timing(Settings):
    setting: Setting
    line_s: dict[PrecisionName, float]


class _SpeedFile(Settings):
    format: Literal[1] = 1
    timings: tuple[_Timing, ...] = ()


def setting_of(file: Path, device: DeviceName, threads: int) -> Setting:
    """Describes a model file on this machine, read with so many processors."""
    stat, hardware = file.stat(), read_hardware(torch_facts=False)
    return Setting(
        model=str(file.resolve()),
        model_bytes=stat.st_size,
        model_modified_ns=stat.st_mtime_ns,
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        cpu=hardware.cpu_model,
        cpu_flags=tuple(sorted(hardware.cpu_flags)),
        torch=torch.__version__,
        threads=threads,
    )


def precision_without_timing(file: Path, device: DeviceName, threads: int) -> PrecisionChoice:
    """Chooses for `auto` where nothing is timed now: by an earlier timing, else by the hardware's flags."""
    if len(good_precisions(device)) > 1:
        kept = kept_speeds(setting_of(file, device, threads))
        if set(good_precisions(device)) <= set(kept):
            return by_speed(kept, device, "timed on this machine before")
    return by_flags(device)


def by_flags(device: DeviceName) -> PrecisionChoice:
    """Chooses for `auto` where nothing was ever timed."""
    few = len(good_precisions(device)) == 1
    reason = f"the one that this {device} runs well" if few else f"by what this {device} can do; not timed"
    return PrecisionChoice(resolve_precision("auto", device), reason)


def by_speed(line_s: Mapping[PrecisionName, float], device: DeviceName, how: str) -> PrecisionChoice:
    """Chooses the fastest of the formats that `auto` may take, fp32 where another gains too little.

    Args:
        line_s: Seconds a line, at least of `good_precisions`.
        device: Where the model runs.
        how: How the seconds are known, in a few words.
    """
    candidates = good_precisions(device)
    best = min(candidates, key=lambda name: line_s[name] * (1 if name == "fp32" else WORTH_IT))
    shown = ", ".join(f"{name} {1000 * line_s[name]:.3g}" for name in candidates)
    return PrecisionChoice(best, f"{how}, ms a line: {shown}")


def kept_speeds(setting: Setting) -> dict[PrecisionName, float]:
    """Looks up the seconds a line by format; empty: this setting was never timed."""
    timings = reversed(_read().timings)
    return next((timing.line_s for timing in timings if timing.setting == setting), {})


def keep_speeds(setting: Setting, line_s: Mapping[PrecisionName, float]) -> bool:
    """Replaces what was kept for the setting, in one step; False: the folder cannot be written."""
    others = [timing for timing in _read().timings if timing.setting != setting][-_MOST_KEPT + 1 :]
    kept = _SpeedFile(timings=(*others, _Timing(setting=setting, line_s=dict(line_s))))
    try:
        file = cache_folder() / _FILE
        with atomic_write(file) as temporary:
            temporary.write_text(kept.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except (OSError, RuntimeError):
        return False
    return True


def _read() -> _SpeedFile:
    try:
        return _SpeedFile.model_validate_json((cache_folder() / _FILE).read_bytes())
    except (OSError, RuntimeError, ValidationError):
        return _SpeedFile()
