"""What a training run tells: data only, for the console and for events.jsonl."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on from a step."""

    step: int
    parameters: int
    device: str
    dtype: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StepDone:
    """Some steps are done; values are means since the last such event.

    `data_wait_share` is the part of the time spent waiting for batches; `left_s` None when unknown.
    """

    step: int
    lines: int
    loss: float
    learning_rate: float
    gradient_norm: float
    lines_per_s: float
    data_wait_share: float
    skipped_steps: int
    left_s: float | None


@dataclass(frozen=True)
class Validated:
    """The validation set was read."""

    step: int
    lines: int
    loss: float
    cer: float
    line_accuracy: float
    best: bool
    samples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class Stopped:
    """The run is over; `resumable` when it was cut short."""

    step: int
    reason: str
    resumable: bool


Event = Started | StepDone | Validated | Saved | Stopped


def to_json(event: Event) -> dict[str, Any]:
    """The event with its name, ready for a line of events.jsonl."""
    values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(event).items()}
    return {"event": type(event).__name__, **values}
