"""What a run does about steps that are not finite: skip, go back with a lower rate, stop."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from vocr_cli.core.config.tree import OptimConfig
from vocr_cli.core.training.checkpoint import load_latest
from vocr_cli.core.training.progress import Progress
from vocr_cli.core.training.record.events import RolledBack, Skipped
from vocr_cli.core.training.step.step import Stepper, StepResult

_MOST_RETURNS = 5


def watch(
    result: StepResult, progress: Progress, stepper: Stepper, config: OptimConfig, checkpoint: Path
) -> Generator[Skipped | RolledBack, None, str | None]:
    """Heeds one step's result.

    After `non_finite_limit` skipped steps in a row, weights, optimizer and average are those of the last
    checkpoint again and the learning rate is halved for good; step count and data go on, so that lines that
    are to blame are not met again at once. After too many such returns the run is to end.

    Args:
        result: Of the step that `progress.step` counts already.
        progress: Takes the counts.
        stepper: Whose state goes back.
        config: The limit.
        checkpoint: The last one of this run; where it is damaged, an older one beside it is taken.

    Returns:
        Why the run is to end, its state the checkpoint's again; None: it goes on.

    Raises:
        ModelError: There is no checkpoint to go back to.
    """
    if result.finite:
        progress.bad_in_a_row = 0
        return None
    progress.skipped += 1
    progress.bad_in_a_row += 1
    yield Skipped(progress.step, result.reason, result.lines)
    if progress.bad_in_a_row < config.non_finite_limit:
        return None
    row, progress.bad_in_a_row = progress.bad_in_a_row, 0
    state, _ = load_latest(checkpoint)
    stepper.load_state_dict(state)
    progress.rate_scale /= 2
    back_to = int(state["progress"]["step"])
    yield RolledBack(progress.step, back_to, config.lr * progress.rate_scale)
    progress.returns += 1
    if progress.returns < _MOST_RETURNS:
        return None
    return (
        f"{result.reason} for {row} steps in a row, {progress.returns} times over, though the rate was "
        f"halved each time; the weights are those of step {back_to}. Lower optim.lr, or look at the lines of "
        "the Skipped events in events.jsonl"
    )
