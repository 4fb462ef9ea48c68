"""What a training run tells: data only, for the console and for events.jsonl."""

from __future__ import annotations

import math
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

    Attributes:
        loss: Over steps whose loss and gradient were finite, as `gradient_norm` and `clipped_share` are.
        data_wait_share: Part of the training time that was spent waiting for batches.
        skipped_steps: Steps of the whole run that left the weights alone.
        left_s: None: unknown.
        clipped_share: Part of the steps whose gradient was clipped.
        cpu_share: CPU time of trainer and workers, over that of all processors; None: not known.
        gpu_share: How much of the time the GPU was at work; None: no GPU, or it does not tell.
        memory_mb: Most memory that tensors took on the GPU, or else the process's resident size.
        strength: Of the augmentation, where it changes as the run goes.
        seconds: What these steps took; 0: not known.
        done_share: How much of the run is done, 0..1, by its steps or its minutes; None: not known.
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
    clipped_share: float = 0.0
    cpu_share: float | None = None
    gpu_share: float | None = None
    memory_mb: float | None = None
    strength: float | None = None
    seconds: float = 0.0
    done_share: float | None = None


@dataclass(frozen=True)
class Validated:
    """The validation set was read.

    Attributes:
        lines: Those that could be read; 0: none, and the scores are the worst ones.
        loss: Of the lines whose labels the model can write; never NaN, infinite where it is finite for none.
        cer: That of `vocr eval`: lines that cannot be read count as read empty.
        best: The lowest CER of the full validations so far.
        samples: Labels and readings, from the same places of the set each time.
        full: False for a quick look at fewer lines.
        unreadable: Lines that could not be read.
        unreadable_names: The first of them, with the reason.
        seconds: What it took.
        train_cer: CER on the lines trained on last; None: not known.
    """

    step: int
    lines: int
    loss: float
    cer: float
    line_accuracy: float
    best: bool
    samples: tuple[tuple[str, str], ...]
    full: bool = True
    unreadable: int = 0
    unreadable_names: tuple[str, ...] = ()
    seconds: float = 0.0
    train_cer: float | None = None


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class Skipped:
    """A step that was not finite left the weights alone; `lines` says where its lines are from."""

    step: int
    reason: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """Lines that could not be read, each named once in a run; the batches go without them."""

    step: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class RolledBack:
    """Weights, optimizer and average are those of step `to_step` again.

    The peak learning rate is `rate` from here on.
    """

    step: int
    to_step: int
    rate: float


@dataclass(frozen=True)
class OutOfMemory:
    """The step after `step` did not fit: from here on batches are taken in so many `pieces`."""

    step: int
    pieces: int


@dataclass(frozen=True)
class MemoryRecovered:
    """Steps have fitted for a while: behind `step` batches are taken in so many `pieces` only, as a trial."""

    step: int
    pieces: int


INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Stopped:
    """The run is over.

    Attributes:
        resumable: Whether it was cut short, by a signal or by trouble.
        best_cer: Of the model that is kept; None: nothing was validated.
        best_line_accuracy: Of that model, where it was chosen by it.
        more_lines_right: Line accuracy of another one, well above that of the model that is kept, whose CER
            is lower; None: there was none.
        best_step: The step that it is from; 0: it is what the run started from.
        init_cer: Of the weights that the run started from; None: random ones, or not validated.
        model: The file of the model that is kept; None: there is none yet.
        best_of_other_kind: Whether it was found by other lines or another metric than validation goes by now.
    """

    step: int
    reason: str
    resumable: bool
    best_cer: float | None = None
    best_line_accuracy: float | None = None
    more_lines_right: float | None = None
    best_step: int | None = None
    init_cer: float | None = None
    model: Path | None = None
    best_of_other_kind: bool = False

    @property
    def interrupted(self) -> bool:
        """Whether a signal cut it short."""
        return self.reason == INTERRUPTED


Event = (
    Started
    | StepDone
    | Validated
    | Saved
    | Skipped
    | LeftOut
    | RolledBack
    | OutOfMemory
    | MemoryRecovered
    | Stopped
)


def to_json(event: Event) -> dict[str, Any]:
    """The event with its name, ready for a line of events.jsonl; null stands for what is not finite."""
    return {"event": type(event).__name__, **{key: _plain(value) for key, value in asdict(event).items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
