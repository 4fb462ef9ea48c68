"""When a run is validated, on how many lines, and when it has waited long enough for something better."""

from __future__ import annotations

from dataclasses import dataclass

from vocr_cli.core.config.tree import ValidateConfig
from vocr_cli.core.training.loop_state import LoopState

_TIME_SHARE = 0.05
_LEAST_S = 30.0


@dataclass(frozen=True)
class Cadence:
    """The rhythm of validations. Everything that it depends on but the settings is part of the checkpoint.

    Attributes:
        config: The settings.
        full_lines: Lines that a full validation reads.
        quick_lines: Lines that a quick one reads; 0: all are full.
    """

    config: ValidateConfig
    full_lines: int
    quick_lines: int = 0

    def full(self, state: LoopState) -> bool:
        """Returns whether the next validation is a full one."""
        return not self.quick_lines or (state.validations + 1) % self.config.full_every == 0

    def due(self, state: LoopState) -> bool:
        """Returns whether to validate after this step.

        With `time_share` s, a validation that is expected to take v seconds is due v (1 - s) / s seconds
        after the last one, and never sooner than half a minute. What it takes is expected from what a line
        took in the last one; before the first one, a line is taken to cost what it costs to train on.
        """
        config = self.config
        if config.every_steps is not None:
            return state.step % config.every_steps == 0
        since_s = 60 * (state.minutes - state.last_validation_minutes)
        if config.every_minutes is not None:
            return since_s >= 60 * config.every_minutes
        share = config.time_share or _TIME_SHARE
        line_s = state.validation_s_per_line or 60 * state.minutes / max(state.lines, 1)
        lines = self.full_lines if self.full(state) else self.quick_lines
        return since_s >= max(_LEAST_S, lines * line_s * (1 - share) / share)

    def finished(self, state: LoopState) -> str | None:
        """Returns why the run should stop, since it is good enough or gets no better; None: it should not."""
        if state.last_cer <= self.config.target_cer and self.config.target_cer:
            return f"CER {state.last_cer:.2%}, no higher than the target of {self.config.target_cer:.2%}"
        if not 0 < self.config.patience <= state.evals_without_improvement:
            return None
        name = {"cer": "CER"}.get(self.config.metric, self.config.metric.replace("_", " "))
        return f"no better {name} for {state.evals_without_improvement} full validations"
