"""Where a run stands: counters that the loop goes by, all of them part of the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vocr_cli.core.config.tree import ScheduleConfig, TrainConfig, ValidateConfig
from vocr_cli.core.data.loader.order import SourcePosition
from vocr_cli.core.data.readers.labelled import BadLine
from vocr_cli.core.training.record.events import Validated


@dataclass
class LoopState:
    """Where the run stands; only its own methods change it."""

    init: str = ""
    """Name of the model that the weights came from."""
    language_model: str = ""
    """Name of the language model that the trained model is to be read with by default; empty: none."""
    step: int = 0
    lines: int = 0
    minutes: float = 0.0
    best_cer: float = float("inf")
    """CER of the best model."""
    best_line_accuracy: float = -1.0
    """Line accuracy of the best model; -1: not known."""
    best_step: int = -1
    """The step of the best model."""
    most_lines_right: float = -1.0
    """The highest line accuracy of a full validation; -1: there was none."""
    last_cer: float = float("inf")
    """CER of the last full validation."""
    init_cer: float = float("inf")
    """CER of the weights that the run started from, before the first step."""
    evals_without_improvement: int = 0
    """Full validations since `best_monitored` was set."""
    best_monitored: float = float("inf")
    """The best value so far of the metric that patience goes by."""
    marks_of: tuple[str, str] | tuple[()] = ()
    """What lines and what metric the marks above are of; empty: not known."""
    best_of_other_kind: bool = False
    """Whether the best model was found by other lines or another metric than the marks are of."""
    validations: int = 0
    last_full_validation_step: int = -1
    last_validation_minutes: float = 0.0
    """`minutes` when the last validation was over."""
    validation_s_per_line: float = 0.0
    """What a line of the last validation took; 0: there was none."""
    skipped_steps: int = 0
    consecutive_skips: int = 0
    """Steps skipped since the last one that changed the weights."""
    rollbacks: int = 0
    """Times that weights went back to a checkpoint."""
    lr_backoff: float = 1.0
    """What those rollbacks have left of the learning rate."""
    plateau_multiplier: float = 1.0
    """What schedule `plateau` has left of the learning rate."""
    plateau_bad_evals: int = 0
    """Full validations without a better CER since the last better one, or since the rate was lowered."""
    micro_batches: int = 1
    """Into how many pieces each batch is cut, for want of memory."""
    fitting_steps: int = 0
    """Steps that fitted since `micro_batches` was changed."""
    merge_after_steps: int = 100
    """So many of them, and half as many pieces are tried."""
    left_out: list[tuple[Any, ...]] = field(default_factory=list)
    """The fields of `BadLine` of each line that was to be trained on and could not be read."""
    source_positions: list[SourcePosition] = field(default_factory=list)
    """Where each source stands."""

    @property
    def best_is_missing(self) -> bool:
        """Whether no model has been found to be the best yet."""
        return math.isinf(self.best_cer) and not self.best_of_other_kind

    def counters(self) -> dict[str, Any]:
        """Returns everything but the sources' positions, which are each rank's own."""
        counters = {**vars(self), "left_out": list(self.left_out)}
        del counters["source_positions"]
        return counters

    def load(self, counters: Mapping[str, Any], source_positions: list[SourcePosition]) -> None:
        """Goes on from what `counters` gave, at these positions; those of older checkpoints say less."""
        for key, value in counters.items():
            setattr(self, key, value)
        self.source_positions = source_positions

    def fraction_done(self, config: TrainConfig) -> float:
        """Returns how much of the run is done, by its steps or its minutes, whichever is more; 1: all."""
        by_time = self.minutes / config.max_minutes if config.max_minutes else 0.0
        return max(self.step / config.max_steps, by_time)

    def limit_reached(self, config: TrainConfig) -> str | None:
        """Returns which limit of the run is reached, or None."""
        if self.step > config.max_steps:
            return f"{self.step:,} steps were done before, more than train.max_steps, {config.max_steps:,}"
        if self.step >= config.max_steps:
            return f"{config.max_steps} steps done"
        if config.max_minutes and self.minutes >= config.max_minutes:
            return f"{config.max_minutes:g} minutes done"
        return None

    def add_step(self, *, lines: int, minutes: float, positions: Mapping[int, SourcePosition]) -> None:
        """Counts a step.

        Args:
            lines: Lines that all ranks took in it.
            minutes: Those of the whole run so far.
            positions: Where the sources of its batches stand now, by the number of the source.
        """
        self.step += 1
        self.lines += lines
        self.minutes = minutes
        for source, position in positions.items():
            self.source_positions[source] = position

    def add_left_out(self, lines: Iterable[BadLine]) -> list[BadLine]:
        """Notes lines that could not be read; returns those that are met for the first time."""
        known = set(self.left_out_lines())
        new = [line for line in dict.fromkeys(lines) if line not in known]
        self.left_out.extend(tuple(line) for line in new)
        return new

    def left_out_lines(self) -> list[BadLine]:
        """Returns the lines to train on that could not be read."""
        return [BadLine(*fields) for fields in self.left_out]

    def add_validation(self, event: Validated, config: ValidateConfig) -> None:
        """Counts a validation and the time that it took; only full ones set marks and use up patience."""
        self.minutes += event.seconds / 60
        self.validations += 1
        self.last_validation_minutes = self.minutes
        if event.lines:
            self.validation_s_per_line = event.seconds / event.lines
        if not event.full:
            return
        self.last_full_validation_step = event.step
        if not event.lines:
            return
        self.last_cer = event.cer
        self.most_lines_right = max(self.most_lines_right, event.line_accuracy)
        if event.step == 0:
            self.init_cer = event.cer
        if event.best or (self.best_of_other_kind and math.isinf(self.best_cer)):
            self.best_cer, self.best_step = event.cer, event.step
            self.best_line_accuracy = event.line_accuracy
            self.best_of_other_kind = not event.best
        by_metric = {"cer": event.cer, "line_accuracy": 1 - event.line_accuracy, "loss": event.loss}
        monitored = by_metric[config.metric]
        if monitored < self.best_monitored - config.min_delta:
            self.best_monitored, self.evals_without_improvement = monitored, 0
        else:
            self.evals_without_improvement += 1

    def is_best(self, cer: float, line_accuracy: float, config: ValidateConfig) -> bool:
        """Returns whether a full validation's scores are better than those of the best model so far.

        Where that model was scored by other lines, the first scores are only what others have to better.
        """
        if self.best_of_other_kind and math.isinf(self.best_cer):
            return False
        if config.metric == "line_accuracy":
            return (line_accuracy, -cer) > (self.best_line_accuracy, -self.best_cer)
        return cer < self.best_cer

    def use_marks_of(self, kind: tuple[str, str], so_far: tuple[str, str]) -> bool:
        """Says what validations are by from here on; marks by something else are forgotten.

        Args:
            kind: The lines and the metric.
            so_far: Those of the marks, where these do not know.

        Returns:
            Whether there were such marks.
        """
        before, self.marks_of = self.marks_of or so_far, kind
        if before == kind or self.last_full_validation_step < 0:
            return False
        self.best_of_other_kind = self.best_of_other_kind or math.isfinite(self.best_cer)
        self.best_cer = self.best_monitored = self.last_cer = math.inf
        self.best_line_accuracy = self.most_lines_right = -1.0
        self.best_step = self.last_full_validation_step = -1
        self.evals_without_improvement = 0
        self.plateau_bad_evals = -1  # the first one is no better than any
        if before[0] != kind[0]:
            self.init_cer = math.inf
        return True

    def update_plateau(self, config: ScheduleConfig, better: bool) -> None:
        """Lowers the rate of schedule `plateau` after too many full validations without a better one."""
        self.plateau_bad_evals = 0 if better else self.plateau_bad_evals + 1
        if config.name == "plateau" and self.plateau_bad_evals >= config.plateau_patience:
            self.plateau_multiplier *= config.plateau_factor
            self.plateau_bad_evals = 0

    def add_skip(self) -> None:
        """Counts a step that left the weights alone."""
        self.skipped_steps += 1
        self.consecutive_skips += 1

    def end_skips(self) -> None:
        """Forgets the row of skipped steps: one was made, or the weights went back."""
        self.consecutive_skips = 0

    def add_rollback(self) -> None:
        """Counts a return to a checkpoint, and halves the learning rate for good."""
        self.rollbacks += 1
        self.lr_backoff /= 2

    def split_further(self) -> None:
        """Cuts each batch into twice as many micro-batches from here on; the next trial of fewer is later."""
        self.micro_batches *= 2
        self.fitting_steps = 0
        self.merge_after_steps *= 2

    def count_fitting_step(self) -> bool:
        """Counts a step that fitted; returns whether half as many pieces are tried from now on."""
        if self.micro_batches == 1:
            return False
        self.fitting_steps += 1
        if self.fitting_steps < self.merge_after_steps:
            return False
        self.micro_batches //= 2
        self.fitting_steps = 0
        return True
