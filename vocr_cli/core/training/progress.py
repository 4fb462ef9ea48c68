"""Where a run stands, and what it did lately."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vocr_cli.core.data.loader.order import SourcePosition
from vocr_cli.core.training.record.events import StepDone
from vocr_cli.core.training.record.usage import Usage
from vocr_cli.core.training.step.step import StepResult


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
    lowest: float = float("inf")
    """The best so far of what patience goes by."""
    validations: int = 0
    full_step: int = -1
    """Step of the last full validation."""
    validated_minutes: float = 0.0
    """`minutes` when the last validation was over."""
    validation_line_s: float = 0.0
    """What a line of the last validation took; 0: there was none."""
    skipped: int = 0
    bad_in_a_row: int = 0
    """Steps skipped since the last one that was made."""
    returns: int = 0
    """Times that weights went back to a checkpoint."""
    rate_scale: float = 1.0
    """What those returns have left of the learning rate."""
    plateau: float = 1.0
    """What schedule `plateau` has left of the learning rate."""
    plateau_waited: int = 0
    split: int = 1
    """Pieces that batches are taken in, for want of memory."""
    places: list[SourcePosition] = field(default_factory=list)
    """Where each source stands."""


@dataclass
class Window:
    """Sums since the last StepDone. `began` is put off by what was no training."""

    began: float
    loss: float = 0.0
    steps: int = 0
    lines: int = 0
    norm: float = 0.0
    clipped: int = 0
    finite: int = 0
    waited: float = 0.0

    def add(self, result: StepResult, lines: int) -> None:
        """Takes a step in; loss and norm only where they are finite."""
        self.steps += 1
        self.lines += lines
        if result.finite:
            self.finite += 1
            self.loss += result.loss
            self.norm += result.norm
            self.clipped += result.clipped

    def summary(
        self,
        now: float,
        progress: Progress,
        usage: Usage,
        rate: float,
        share_done: float,
        strength: float | None,
    ) -> StepDone:
        """The event that closes this window; `now` by the clock of `began`, `share_done` of the run."""
        seconds, finite = max(now - self.began, 1e-9), max(self.finite, 1)
        return StepDone(
            step=progress.step,
            lines=progress.lines,
            loss=self.loss / finite if self.finite else math.inf,
            learning_rate=rate,
            gradient_norm=self.norm / finite if self.finite else math.inf,
            lines_per_s=self.lines / seconds,
            data_wait_share=self.waited / seconds,
            skipped_steps=progress.skipped,
            left_s=60 * progress.minutes * (1 - share_done) / share_done if share_done > 0 else None,
            clipped_share=self.clipped / finite,
            cpu_share=usage.cpu_share,
            gpu_share=usage.gpu_share,
            memory_mb=usage.memory_mb,
            strength=strength,
        )
