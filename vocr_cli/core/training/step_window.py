"""What a run did lately: sums over the steps since the last StepDone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.record.events import StepDone
from vocr_cli.core.training.record.usage import Usage
from vocr_cli.core.training.step.step import StepResult


@dataclass
class StepWindow:
    """Sums since the window was opened."""

    began: float = field(default_factory=time.monotonic)
    """`time.monotonic()` at the start, put off by what was no training."""
    loss: float = 0.0
    lines: int = 0
    norm: float = 0.0
    clipped: int = 0
    finite: int = 0
    waited_s: float = 0.0

    def next_batches(self, batches: Iterator[Batch], count: int) -> Sequence[Batch]:
        """Takes the batches of a step, and counts how long they were waited for."""
        asked = time.monotonic()
        taken = [next(batches) for _ in range(count)]
        self.waited_s += time.monotonic() - asked
        return taken

    def add(self, result: StepResult, lines: int) -> None:
        """Takes a step in; loss and norm only where they are finite."""
        self.lines += lines
        if result.finite:
            self.finite += 1
            self.loss += result.loss
            self.norm += result.norm
            self.clipped += result.clipped

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the time that the block takes out of the window."""
        began = time.monotonic()
        yield
        self.began += time.monotonic() - began

    def summary(
        self, state: LoopState, *, usage: Usage, lr: float, done: float, strength: float | None
    ) -> StepDone:
        """Returns the event that closes this window.

        Args:
            state: Where the run stands.
            usage: Of the machine, over the window.
            lr: The learning rate of the last step.
            done: Fraction of the run that is done.
            strength: Of the augmentation, where it changes as the run goes.
        """
        seconds, finite = max(time.monotonic() - self.began, 1e-9), max(self.finite, 1)
        return StepDone(
            step=state.step,
            lines=state.lines,
            loss=self.loss / finite if self.finite else math.inf,
            learning_rate=lr,
            gradient_norm=self.norm / finite if self.finite else math.inf,
            lines_per_s=self.lines / seconds,
            data_wait_share=self.waited_s / seconds,
            skipped_steps=state.skipped_steps,
            left_s=max(60 * state.minutes * (1 - done) / done, 0.0) if done > 0 else None,
            clipped_share=self.clipped / finite,
            cpu_share=usage.cpu_share,
            gpu_share=usage.gpu_share,
            memory_mb=usage.memory_mb,
            strength=strength,
            seconds=seconds,
            done_share=min(done, 1.0),
        )
