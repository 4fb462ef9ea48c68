"""What the folder of a run tells of it, without loading torch: its record, its checkpoint, its best model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocr_cli.core.training.resume import resume_command


def is_run_folder(folder: Path) -> bool:
    """Whether `vocr train` wrote into this folder."""
    return (folder / "config.yaml").is_file() and (folder / "events.jsonl").is_file()


def run_facts(folder: Path) -> dict[str, Any]:
    """How far a run has come, how well it reads, and what to do next.

    Args:
        folder: One that `is_run_folder` knows.

    Returns:
        JSON values by name.
    """
    events = list(_events(folder / "events.jsonl"))
    validated = [event for event in events if event["event"] == "Validated" and event.get("cer") is not None]
    full = [event for event in validated if event.get("full", True) and event.get("lines")]
    best_model = folder / "checkpoints" / "best.safetensors"
    facts: dict[str, Any] = {
        "state": _state(events),
        "steps": max((event.get("step", 0) for event in events), default=0),
        "best CER": "not validated yet" if not full else _score(_best(full)),
    }
    if full:
        facts["last CER"] = _score(full[-1])
    facts["model"] = str(best_model) if best_model.is_file() else "none yet"
    has_checkpoint = (folder / "checkpoints" / "last.pt").is_file()
    facts["go on with"] = resume_command(folder) if has_checkpoint else "nothing: it has no checkpoint yet"
    if best_model.is_file():
        facts["read with"] = f"vocr infer PATHS... --model {best_model}"
    return facts


def _events(record: Path) -> Iterator[dict[str, Any]]:
    """The events of a record; a line that a kill cut off is passed by."""
    with record.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                yield event


def _state(events: list[dict[str, Any]]) -> str:
    if not events:
        return "begun, nothing recorded yet"
    last = events[-1]
    if last["event"] != "Stopped":
        return "running, or killed"
    return f"stopped: {last['reason']}" if last.get("resumable") else f"finished: {last['reason']}"


def _best(full: list[dict[str, Any]]) -> dict[str, Any]:
    """The validation of the model that is kept: what a run found to be best last, by whatever lines."""
    found = [event for event in full if event.get("best")]
    return found[-1] if found else min(full, key=lambda event: event["cer"])


def _score(event: dict[str, Any]) -> str:
    return f"{event['cer']:.2%} of {event['lines']:,} lines, at step {event['step']:,}"
