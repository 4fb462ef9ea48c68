"""Where a run stands, and what it did lately."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Progress:
    """Where the run stands; all of it is part of the checkpoint."""

    init: str = ""
    """Name of the model that the weights came from."""
    step: int = 0
    lines: int = 0
    minutes: float = 0.0
    best_cer: float = float("inf")
    without_better: int = 0
    skipped: int = 0
    positions: list[dict[int, tuple[int, ...]]] = field(default_factory=list)


@dataclass
class Window:
    """Sums since the last StepDone."""

    began: float
    loss: float = 0.0
    steps: int = 0
    lines: int = 0
    norm: float = 0.0
    waited: float = 0.0
