"""How a run is shown while it goes: on a terminal as one table, elsewhere as plain lines."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, assert_never

from rich.live import Live
from rich.markup import escape

from vocr_cli.core.training.record.events import (
    Event,
    LeftOut,
    MemoryRecovered,
    OutOfMemory,
    RolledBack,
    Saved,
    Skipped,
    Started,
    StepDone,
    Stopped,
    Validated,
)
from vocr_cli.terminal import console
from vocr_cli.terminal.differences import mark_differences
from vocr_cli.terminal.training_table import TrainingTable, rate_of, span

if TYPE_CHECKING:
    from vocr_cli.core.training.record.wait_advice import WaitAdvice


_TIME = "%Y-%m-%d %H:%M:%S"


class TrainingView:
    """A run as it goes: plain lines, one an event, with the time; on a terminal one table, notes above it.

    Args:
        max_steps: Steps of the whole run.
        advice: Says what helps a run that waits for its data.
        max_minutes: Minutes of the whole run, at most; 0: no limit.
        resume: The command that goes on with the run.
        evaluate: The command that scores a model on what the run is validated on, but for `--model`.
    """

    def __init__(
        self,
        max_steps: int,
        advice: WaitAdvice,
        *,
        max_minutes: float = 0.0,
        resume: str = "",
        evaluate: str = "",
    ) -> None:
        self._advice, self._resume, self._evaluate = advice, resume, evaluate
        self._table = TrainingTable(max_steps, max_minutes)
        self._live: Live | None = None
        if console.err().is_terminal and not console.err().quiet:
            self._live = Live(
                self._table, console=console.err(), refresh_per_second=4, vertical_overflow="crop"
            )

    def __enter__(self) -> TrainingView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, event: Event) -> None:
        """Shows one event."""
        match event:
            case Started():
                self._show_start(event)
            case StepDone():
                self._show_step(event)
            case Validated():
                self._show_validation(event)
            case OutOfMemory():
                self._warn(
                    f"Step {event.step + 1} did not fit in memory: from here on batches are taken in "
                    f"{event.pieces} pieces. Lower batch.pixels, or set precision.recompute."
                )
            case MemoryRecovered():
                pieces = "whole" if event.pieces == 1 else f"in {event.pieces} pieces"
                self._line(f"step {event.step} | memory suffices again: batches are tried {pieces}")
            case Skipped():
                self._warn(
                    f"Step {event.step} skipped, {event.reason}. Its lines: {_first_names(event.lines)}"
                )
            case LeftOut():
                self._warn(f"Not readable, left out: {_first_names(event.lines)}")
            case RolledBack():
                self._warn(
                    f"Step {event.step}: weights of step {event.to_step} again, "
                    f"learning rate {event.rate:.2e}"
                )
            case Saved():
                if self._live is None:
                    self._line(f"step {event.step} | saved {escape(str(event.path))}")
            case Stopped():
                self._show_end(event)
            case _:
                assert_never(event)

    def _line(self, text: str) -> None:
        """Prints rich's markup; off a terminal with the time before it."""
        console.err().print(text if self._live is not None else f"{time.strftime(_TIME)} {text}")

    def _warn(self, text: str) -> None:
        self._line(f"[yellow]Warning:[/] {escape(text)}")

    def _show_end(self, event: Stopped) -> None:
        """Says how a run ended, what is left of it, and what to do with that, below the table."""
        if self._live is not None:
            self._table.take_stop(event)
            self._live.stop()
        self._line(escape(f"Stopped at step {event.step:,}: {event.reason}"))
        for text in (_best(event), _by_lines(event), self._next(event)):
            if text:
                console.note(text)

    def _next(self, event: Stopped) -> str:
        if event.interrupted:
            return f"Saved. Go on with: {self._resume}"
        if event.resumable:
            return f"Once that is mended, go on with: {self._resume}"
        if event.model is None:
            return ""
        model = shlex.quote(str(event.model))
        return f"Next: {self._evaluate or 'vocr infer IMAGES'} --model {model}"

    def _show_start(self, event: Started) -> None:
        size = f"{event.parameters / 1e6:.2f} M parameters"
        self._line(f"Training from step {event.step}: {size}, {event.device}, {event.dtype}")
        self._table.take_start(event)
        for text in event.notes:
            console.note(text)

    def _show_step(self, event: StepDone) -> None:
        self._table.take_step(event)
        if self._live is None:
            self._line(step_line(event))
        if (text := self._advice.take(event)) is not None:
            console.note(text)

    def _show_validation(self, event: Validated) -> None:
        for name in event.unreadable_names:
            self._warn(f"Validation line not readable, counted as read empty: {name}")
        if more := event.unreadable - len(event.unreadable_names):
            self._warn(f"{more:,} more validation lines not readable, counted as read empty.")
        best = " [green]best[/]" if event.best else "" if event.full else " (quick look)"
        if event.lines:
            self._line(
                f"step {event.step} | [bold]CER {event.cer:.2%}[/] | lines right {event.line_accuracy:.1%} | "
                f"loss {event.loss:.4f} | {event.lines} validation lines{best}"
            )
        else:
            self._warn(
                f"At step {event.step} no validation line could be read: nothing is known of the model."
            )
        if self._live is not None:
            self._table.take_validation(event, [mark_differences(*sample) for sample in event.samples])
            return
        for label, reading in event.samples:
            console.err().print(f"    {escape(label)}\n  → {escape(reading)}")


def _first_names(names: tuple[str, ...], shown: int = 3) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _best(event: Stopped) -> str:
    """Names the model that a run leaves, and says how good it is."""
    if event.model is None:
        return ""
    if event.best_of_other_kind:
        return f"None was better since validation changed; the best model before that: {event.model}"
    if event.best_cer is None:
        return f"Model, not validated: {event.model}"
    right = event.best_line_accuracy
    scores = f"CER {event.best_cer:.2%}"
    if right is not None:
        scores = f"model, {right:.1%} of lines right, {scores}"
    if event.best_step == 0:
        so_far = "Training has not helped yet" if event.resumable else "Training did not help"
        start = "the best model is the one that it started from"
        return f"{so_far}: {start}, {scores}: {event.model}"
    at = "" if event.best_step is None else f" at step {event.best_step:,}"
    before = "" if event.init_cer is None else f", {event.init_cer:.2%} before training"
    return f"Best {scores}{at}{before}: {event.model}"


def _by_lines(event: Stopped) -> str:
    """Says that another model had more lines right, as where a few that never end outweigh the others."""
    if event.more_lines_right is None:
        return ""
    return (
        f"Another had {event.more_lines_right:.1%} of lines right, well above this one, and a higher CER: "
        "to keep such a model, train with --set validate.metric=line_accuracy"
    )


def step_line(event: StepDone) -> str:
    """Describes the steps since the last such line, where there is no table."""
    used = {"GPU": event.gpu_share, "CPU": event.cpu_share if event.gpu_share is None else None}
    more = "".join(f" | {name} {share:.0%}" for name, share in used.items() if share is not None)
    more += f" | {event.memory_mb / 1024:.2f} GB" if event.memory_mb is not None else ""
    more += f" | strength {event.strength:.2f}" if event.strength is not None else ""
    more += f" | clipped {event.clipped_share:.0%}" if event.clipped_share else ""
    more += f" | skipped {event.skipped_steps}" if event.skipped_steps else ""
    more += f" | {span(event.left_s)} left" if event.left_s else ""
    rate = rate_of(event)
    return (
        f"step {event.step} | loss {event.loss:.4f} | rate {event.learning_rate:.2e} "
        f"| norm {event.gradient_norm:.2f}{f' | {rate} lines/s' if rate else ''} "
        f"| data wait {event.data_wait_share:.0%}{more}"
    )
