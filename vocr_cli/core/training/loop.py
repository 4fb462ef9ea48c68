"""The training loop: one generator of events, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.readers.labelled import BadLine
from vocr_cli.core.training.best_model import save_best_model
from vocr_cli.core.training.optim.schedule import learning_rate
from vocr_cli.core.training.record.bad_lines import append_bad_lines, write_bad_lines
from vocr_cli.core.training.record.events import INTERRUPTED, Event, LeftOut, Started, StepDone, Stopped
from vocr_cli.core.training.record.usage import UsageMeter
from vocr_cli.core.training.run import Run
from vocr_cli.core.training.step.micro_batches import step_with_oom_retry
from vocr_cli.core.training.step.non_finite import handle_non_finite
from vocr_cli.core.training.step.step import StepResult
from vocr_cli.core.training.step_window import StepWindow
from vocr_cli.core.training.validation.subsets import check_readable

_CLEAR_GAIN = 0.02
"""Share of lines more that are right, above which a model of higher CER is worth a word."""


def train(run: Run, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Trains until the limit, the patience, or `stop()` says so; always leaves a checkpoint."""
    config, state, checkpoints, validation = run.config, run.state, run.checkpoints, run.validation
    # Before the first step: see whether it can work, and have something to go back to.
    if run.is_primary:
        write_bad_lines(run.left_out, run.folder)
    if validation is not None:
        check_readable(validation.full)
    yield _started(run)
    if state.step == 0:
        if validation is not None and state.init and state.last_full_validation_step < 0:
            yield from _validate(run, full=True)  # the weights that training has to better
        yield checkpoints.save(run)
    meter, window, saved_minutes = UsageMeter(run.device), StepWindow(), state.minutes
    began = time.monotonic() - 60 * state.minutes
    batches, resumable = run.batches(), False
    while (reason := state.limit_reached(config.train)) is None:
        if run.process_group.any(stop()):
            reason, resumable = INTERRUPTED, True
            break

        # Take a step, as often in smaller pieces as it takes; where it is not finite, see what to do.
        taken = window.next_batches(batches, config.optim.accumulate)
        rate = learning_rate(config, state)
        result = yield from step_with_oom_retry(run.train_step, taken, rate, state, run.process_group)
        run.augmentation.add_training_loss(taken, result.loss)
        yield from _count_step(run, taken, result, window, minutes=(time.monotonic() - began) / 60)
        reason = yield from handle_non_finite(result, state, run.train_state, config.optim, checkpoints)
        if reason is not None:
            resumable = True
            break

        # Once in a while: sum up.
        if state.step % config.train.log_every_steps == 0:
            yield _summary(run, window, meter)
            window = StepWindow()

        # Once in a while: validate; more steps may be of no use.
        if validation is not None and validation.cadence.due(state):
            with window.paused():
                yield from _validate(run, full=validation.cadence.full(state), trained_on=taken[-1])
            if (reason := validation.cadence.finished(state)) is not None:
                break

        # Once in a while: save; but to go back to what led into trouble is no use.
        if _save_due(run, saved_minutes) and not state.consecutive_skips:
            yield checkpoints.save(run)
            saved_minutes = state.minutes

    # Behind the last step: sum up the steps since the last time, score them, leave a model and a checkpoint.
    if window.lines:
        yield _summary(run, window, meter)
    if validation is not None and not resumable and state.last_full_validation_step != state.step:
        yield from _validate(run, full=True)
    if validation is None or (reason != INTERRUPTED and state.best_is_missing):
        yield save_best_model(run, None)
    yield checkpoints.save(run)
    yield _stopped(run, reason, resumable)


def _started(run: Run) -> Started:
    parameters = sum(parameter.numel() for parameter in run.module.parameters())
    dtype = str(run.dtype).removeprefix("torch.")
    return Started(run.state.step, parameters, str(run.device), dtype, tuple(run.notes))


def _stopped(run: Run, reason: str, resumable: bool) -> Stopped:
    state, path = run.state, run.checkpoints.best_path
    scored = math.isfinite(state.best_cer) and not state.best_of_other_kind
    by_lines = run.config.validate_.metric == "line_accuracy"
    well_above = 0 <= state.best_line_accuracy < state.most_lines_right - _CLEAR_GAIN
    return Stopped(
        state.step,
        reason,
        resumable,
        best_cer=state.best_cer if scored else None,
        best_line_accuracy=state.best_line_accuracy if scored and by_lines else None,
        more_lines_right=state.most_lines_right if well_above and not by_lines else None,
        best_step=state.best_step if scored and state.best_step >= 0 else None,
        init_cer=state.init_cer if math.isfinite(state.init_cer) else None,
        model=path if path.exists() else None,
        best_of_other_kind=state.best_of_other_kind,
    )


def _count_step(
    run: Run, batches: Sequence[Batch], result: StepResult, window: StepWindow, *, minutes: float
) -> Iterator[Event]:
    """Counts a step on this rank's batches with the lines of all ranks. Rank 0 has the clock."""
    left_out = [line for batch in batches for line in batch.left_out]
    rows = run.process_group.all_gather(
        minutes, sum(len(batch.texts) for batch in batches), float(len(left_out))
    )
    lines = int(sum(row[1] for row in rows))
    positions = {batch.source: batch.position for batch in batches}
    run.state.add_step(lines=lines, minutes=rows[0][0], positions=positions)
    window.add(result, lines)
    if any(row[2] for row in rows):
        yield from _name_left_out(run, left_out)


def _name_left_out(run: Run, left_out: list[BadLine]) -> Iterator[Event]:
    """Names the lines that the ranks could not read for this step, where the run has not named them yet."""
    of_ranks = run.process_group.all_gather_objects(left_out)
    new = run.state.add_left_out(line for lines in of_ranks for line in lines)
    if not new:
        return
    if run.is_primary:
        append_bad_lines(new, run.folder)
    yield LeftOut(run.state.step, tuple(f"{line.location}: {line.reason}" for line in new))


def _summary(run: Run, window: StepWindow, meter: UsageMeter) -> StepDone:
    """Closes a window of steps."""
    strength = run.augmentation.strength
    return window.summary(
        run.state,
        usage=meter.read(),
        lr=run.train_state.optimizer.param_groups[0]["lr"],
        done=run.state.fraction_done(run.config.train),
        strength=strength.value if strength.moves else None,
    )


def _validate(run: Run, *, full: bool, trained_on: Batch | None = None) -> Iterator[Event]:
    """Scores the averaged weights on all validation lines or on some, and keeps the best model."""
    state, validation = run.state, run.validation
    assert validation is not None
    event = validation.evaluator.evaluate(
        run.train_state.ema_model(),
        validation.full if full else validation.quick,
        step=state.step,
        is_best=partial(state.is_best, config=run.config.validate_),
        full=full,
        trained_on=trained_on,
    )
    state.add_validation(event, run.config.validate_)
    run.augmentation.strength.validated(event.loss)
    if full:
        state.update_plateau(run.config.schedule, event.best)
    yield event
    if event.best:
        yield save_best_model(run, event)


def _save_due(run: Run, saved_minutes: float) -> bool:
    """Whether the last checkpoint is so many minutes or steps ago as the settings say."""
    config, state = run.config.train, run.state
    every = config.checkpoint_every_steps
    late = state.minutes - saved_minutes >= config.checkpoint_every_minutes
    return late or (every > 0 and state.step % every == 0)
