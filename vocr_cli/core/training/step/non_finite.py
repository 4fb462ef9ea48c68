"""What a run does about steps that are not finite: skip, go back with a lower rate, stop."""

from __future__ import annotations

from collections.abc import Generator

from vocr_cli.core.config.tree import OptimConfig
from vocr_cli.core.training.checkpoint import CheckpointStore
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.record.events import RolledBack, Skipped
from vocr_cli.core.training.step.step import StepResult
from vocr_cli.core.training.step.train_state import TrainState

_MOST_ROLLBACKS = 5


def handle_non_finite(
    result: StepResult,
    state: LoopState,
    train_state: TrainState,
    config: OptimConfig,
    checkpoints: CheckpointStore,
) -> Generator[Skipped | RolledBack, None, str | None]:
    """Goes by one step's result.

    After `non_finite_limit` skipped steps in a row, weights, optimizer and average are those of the last
    checkpoint again and the learning rate is halved for good; step count and data go on, so that lines that
    are to blame are not met again at once. After too many such rollbacks the run is to end.

    Args:
        result: Of the step that `state.step` counts already.
        state: Counts skips and rollbacks.
        train_state: What goes back.
        config: The limit.
        checkpoints: The last one of this run is taken; where it is damaged, an older one beside it.

    Returns:
        Why the run is to end, its weights those of the checkpoint again; None: it goes on.

    Raises:
        ModelError: There is no checkpoint to go back to.
    """
    if result.finite:
        state.end_skips()
        return None
    state.add_skip()
    yield Skipped(state.step, result.reason, result.lines)
    skips = state.consecutive_skips
    if skips < config.non_finite_limit:
        return None
    state.end_skips()
    saved, _ = checkpoints.load_latest()
    train_state.load_state_dict(saved)
    state.add_rollback()
    back_to = int(saved["loop_state"]["step"])
    yield RolledBack(state.step, back_to, config.lr * state.lr_backoff)
    if state.rollbacks < _MOST_ROLLBACKS:
        return None
    return (
        f"{result.reason} for {skips} steps in a row, {state.rollbacks} times over, though the rate was "
        f"halved each time; the weights are those of step {back_to}. Lower optim.lr, or look at the lines of "
        "the Skipped events in events.jsonl"
    )
