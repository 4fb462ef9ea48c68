"""How a training run goes, as the page draws it: out of its folder, without loading torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.training.record.curves import read_curves, smoothed
from vocr_cli.core.training.record.run_folder import is_run_folder, run_facts

_MOST_POINTS = 400
_SAMPLES = 12


def run_folders(parents: list[Path]) -> list[Path]:
    """The folders of runs in these folders, the one that was written to last first."""
    found: dict[Path, Path] = {}
    for parent in parents:
        if parent.is_dir():
            for folder in parent.iterdir():
                if folder.is_dir() and is_run_folder(folder):
                    found.setdefault(folder.resolve(), folder)
    return sorted(found.values(), key=lambda folder: -(folder / "events.jsonl").stat().st_mtime)


def run_record(folder: Path) -> dict[str, Any]:
    """State, curves and sample readings of a run.

    Raises:
        DataError: Its record cannot be read.
    """
    events = folder / "events.jsonl"
    try:
        curves = read_curves(events)
        samples = _last_samples(events)
        facts = run_facts(folder)
    except OSError as error:
        raise DataError(f"{events} cannot be read: {reason_of(error)}.", "Is the run still there?") from None
    log = {"StepDone.loss", "Validated.train_cer"}
    drawn = {
        name: _thinned(smoothed(points, log=name in log) if name.startswith("StepDone") else points)
        for name, points in curves.items()
    }
    return {"folder": str(folder), "facts": facts, "curves": drawn, "samples": samples}


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = -(-len(points) // _MOST_POINTS) or 1
    return points[::-1][::step][::-1]  # the last stays


def _last_samples(events: Path) -> list[dict[str, str]]:
    """Labels and readings of the last validation."""
    last: list[Any] = []
    for event in _validations(events):
        last = event.get("samples") or last
    return [{"label": str(label), "reading": str(read)} for label, read in last[:_SAMPLES]]


def _validations(events: Path) -> Iterator[dict[str, Any]]:
    with events.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"Validated"' in line:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event
