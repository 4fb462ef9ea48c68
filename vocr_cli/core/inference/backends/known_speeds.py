"""How fast each way of reading was with a model on this machine, kept in the user's cache folder.

A cache that cannot be read or written is an empty one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.cache_folder import cache_folder
from vocr_cli.core.machine.hardware import processor
from vocr_cli.core.machine.precision import DeviceName

FORMAT = 3
"""2: GPUs had been timed with four lines at a time."""

_MOST_KEPT = 200
_FILE = "precision.json"


@dataclass(frozen=True)
class Setting:
    """What a timing holds for: change any of it, and it is taken anew.

    Attributes:
        model: The file.
        model_bytes: Its size.
        model_modified_ns: When it was written.
        device: cpu, mps, or the name of the GPU.
        cpu: Its model.
        cpu_flags: Those that decide which number formats are fast.
        versions: Of the runtimes, "" where one is not installed.
        threads: Processors.
    """

    model: str
    model_bytes: int
    model_modified_ns: int
    device: str
    cpu: str
    cpu_flags: tuple[str, ...]
    versions: tuple[str, ...]
    threads: int


def setting_of(file: Path, device: DeviceName, threads: int) -> Setting:
    """Describes a model file on this machine, read with so many processors."""
    stat = file.stat()
    cpu, flags = processor()
    return Setting(
        model=str(file.resolve()),
        model_bytes=stat.st_size,
        model_modified_ns=stat.st_mtime_ns,
        device=_gpu_name() if device == "cuda" else device,
        cpu=cpu,
        cpu_flags=tuple(sorted(flags)),
        versions=tuple(map(_version, ("torch", "onnxruntime", "openvino"))),
        threads=threads,
    )


def kept_speeds(file: Path, device: DeviceName, threads: int) -> dict[Backend, float]:
    """Looks up the seconds a line of each way of reading; empty: this setting was never timed.

    Args:
        file: The model's.
        device: Where it runs.
        threads: Processors to use.
    """
    timings = _read()
    if not timings:
        return {}  # nothing is worth describing the machine for
    setting = _as_json(setting_of(file, device, threads))
    found = next((timing for timing in reversed(timings) if timing["setting"] == setting), None)
    return {} if found is None else {Backend.parse(name): line_s for name, line_s in found["line_s"].items()}


def keep_speeds(setting: Setting, line_s: Mapping[Backend, float]) -> bool:
    """Replaces what was kept for the setting, in one step; False: the folder cannot be written."""
    described = _as_json(setting)
    others = [timing for timing in _read() if timing["setting"] != described][-_MOST_KEPT + 1 :]
    added = {"setting": described, "line_s": {str(backend): seconds for backend, seconds in line_s.items()}}
    document = json.dumps({"format": FORMAT, "timings": [*others, added]}, indent=1)
    try:
        with atomic_write(cache_folder() / _FILE) as temporary:
            temporary.write_text(document + "\n", encoding="utf-8")
    except (OSError, RuntimeError):
        return False
    return True


def _read() -> list[dict[str, Any]]:
    try:
        document = json.loads((cache_folder() / _FILE).read_bytes())
        if document["format"] != FORMAT:
            return []
        timings: list[dict[str, Any]] = document["timings"]
        for timing in timings:
            assert isinstance(timing["setting"], dict)
            for name, seconds in timing["line_s"].items():
                Backend.parse(name)
                assert seconds > 0
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, AssertionError):
        return []
    return timings


def _as_json(setting: Setting) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(json.dumps(asdict(setting)))
    return described


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # loads the package for e-mails

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _gpu_name() -> str:
    import torch

    return torch.cuda.get_device_name()
