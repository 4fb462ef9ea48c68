"""The trainer: one generator of events."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from vocr_cli.core.data.loader.dataset import Batch
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.training.augment.preview import FedBatch
from vocr_cli.core.training.optim.schedule import heed_validation, rate_share
from vocr_cli.core.training.progress import Window
from vocr_cli.core.training.record.events import INTERRUPTED, Event, Started, StepDone, Stopped
from vocr_cli.core.training.run import RunState
from vocr_cli.core.training.sources import write_bad_lines
from vocr_cli.core.training.step.micro_batches import in_pieces
from vocr_cli.core.training.step.non_finite import watch
from vocr_cli.core.training.step.step import StepResult
from vocr_cli.core.training.validation.validate import check_readable, validate


class Trainer(RunState):
    """Takes the steps of a run; made as a `RunState` is."""

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Trains until the limit, the patience, or `stop()` says so; always leaves a checkpoint."""
        progress = self.progress
        if self.team.leads:
            write_bad_lines(self.lines, self.out)
        if self.valid_lines:
            check_readable(self.valid_lines)
        count = sum(parameter.numel() for parameter in self.module.parameters())
        yield Started(
            progress.step, count, str(self.device), str(self.dtype).removeprefix("torch."), tuple(self.notes)
        )
        if progress.step == 0:
            yield self.save()
        reason, resumable = yield from self._train(stop)
        if self.valid_lines and not resumable and progress.full_step != progress.step:
            yield from self._validated(True, Window(time.monotonic()))
        if not self.valid_lines or (reason != INTERRUPTED and math.isinf(progress.best_cer)):
            yield self.save_best(None)
        yield self.save()
        yield Stopped(progress.step, reason, resumable)

    def _train(self, stop: Callable[[], bool]) -> Generator[Event, None, tuple[str, bool]]:
        """All steps; returns why there are no more, and whether the run was cut short."""
        config, progress = self.config, self.progress
        self.meter.read()  # what it took to set up is not the run's
        began, minutes_before = time.monotonic(), progress.minutes
        saved_minutes = minutes_before
        window = Window(began)
        batches = self._loader()
        while (limit := self._limit_reached()) is None:
            if self.team.any(stop()):
                return INTERRUPTED, True
            asked = time.monotonic()
            group = [next(batches) for _ in range(config.optim.accumulate)]
            window.waited += time.monotonic() - asked
            result = yield from in_pieces(self._step, group, progress)
            progress.step += 1
            for batch in group:
                progress.places[batch.source] = batch.position
            own_minutes = minutes_before + (time.monotonic() - began) / 60
            rows = self.team.numbers(own_minutes, sum(len(batch.texts) for batch in group))
            progress.minutes, lines = rows[0][0], int(sum(row[1] for row in rows))  # rank 0 has the clock
            progress.lines += lines
            window.add(result, lines)
            trouble = yield from watch(result, progress, self.stepper, config.optim, self.last_path)
            if trouble is not None:
                return trouble, True
            if progress.step % config.train.log_every_steps == 0:
                yield self._summary(window)
                window = Window(time.monotonic())
            if self.valid_lines and self.cadence.due(progress):
                yield from self._validated(self.cadence.full(progress), window, batch)
                if (enough := self.cadence.finished(progress)) is not None:
                    return enough, False
            overdue = progress.minutes - saved_minutes >= config.train.checkpoint_every_minutes
            every = config.train.checkpoint_every_steps
            overdue = overdue or (every > 0 and progress.step % every == 0)
            if overdue and not progress.bad_in_a_row:  # to go back to what led into trouble is no use
                yield self.save()
                saved_minutes = progress.minutes
        return limit, False

    def _loader(self) -> Iterator[Batch]:
        weights = [source.weight for source in self.config.data.train]
        stream = BatchStream(self.sources, weights, self.progress.places, self.team.rank, self.team.world)
        return stream.batches(self.config.data.workers, self.device.type == "cuda")

    def _limit_reached(self) -> str | None:
        settings = self.config.train
        if self.progress.step >= settings.max_steps:
            return f"{settings.max_steps} steps done"
        if settings.max_minutes and self.progress.minutes >= settings.max_minutes:
            return f"{settings.max_minutes:g} minutes done"
        return None

    def _share_done(self) -> float:
        settings = self.config.train
        by_time = self.progress.minutes / settings.max_minutes if settings.max_minutes else 0.0
        return max(self.progress.step / settings.max_steps, by_time)

    def _step(self, batches: Sequence[Batch]) -> StepResult:
        config, progress = self.config, self.progress
        share = rate_share(config.schedule, progress.step, self._share_done(), progress.plateau)
        result = self.stepper.step(batches, config.optim.lr * progress.rate_scale * share)
        if all(self.augmenter.strength_of(batch, self.strength.value) for batch in batches):
            self.strength.trained(result.loss)
        return result

    def fed(self, count: int) -> Iterator[FedBatch]:
        """What the model is given in the steps to come."""
        for batch in itertools.islice(self._loader(), count):
            strength = self.augmenter.strength_of(batch, self.strength.value)
            yield FedBatch(self._input(batch), batch, strength)

    def _validated(self, full: bool, window: Window, trained_on: Batch | None = None) -> Iterator[Event]:
        config, progress, began = self.config, self.progress, time.monotonic()
        event = validate(
            self.averaged(), self.valid_lines if full else self.quick_lines, self.charset, self.objective,
            self.device, config.batch.pixels, config.precision.channels_last, progress.step,
            progress.best_cer, full, trained_on, self.team,
        )  # fmt: skip
        progress.minutes += event.seconds / 60
        self.cadence.note(progress, event)
        self.strength.validated(event.loss)
        if full:
            heed_validation(config.schedule, progress, event.best)
        self.unreadable = max(self.unreadable, event.unreadable)
        yield event
        if event.best:
            yield self.save_best(event)
        window.began += time.monotonic() - began

    def _summary(self, window: Window) -> StepDone:
        rate = self.optimizer.param_groups[0]["lr"]
        strength = self.strength.value if self.strength.moves else None
        now, usage = time.monotonic(), self.meter.read()
        return window.summary(now, self.progress, usage, rate, self._share_done(), strength)
