"""How a run is shown while it goes: on a terminal as one table, elsewhere as plain lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vocr_cli.core.training.record.events import (
    Event,
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

if TYPE_CHECKING:
    from vocr_cli.core.training.record.wait_advice import WaitAdvice

_BAR_COLUMNS = 30


class TrainingView:
    """A run as it goes: plain lines, one an event; on a terminal one table, and notes above it.

    Args:
        max_steps: Steps of the whole run.
        advice: Says what helps a run that waits for its data.
    """

    def __init__(self, max_steps: int, advice: WaitAdvice) -> None:
        self._advice = advice
        self._table = TrainingTable(max_steps)
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
                console.warning(
                    f"Step {event.step + 1} did not fit in memory: from here on batches are taken in "
                    f"{event.pieces} pieces. Lower batch.pixels, or set precision.recompute."
                )
            case Skipped():
                console.warning(
                    f"Step {event.step} skipped, {event.reason}. Its lines: {_first_names(event.lines)}"
                )
            case RolledBack():
                console.warning(
                    f"Step {event.step}: weights of step {event.to_step} again, "
                    f"learning rate {event.rate:.2e}"
                )
            case Saved():
                if self._live is None:
                    console.err().print(f"step {event.step} | saved {event.path}")
            case Stopped():
                console.err().print(f"Stopped at step {event.step}: {event.reason}")
            case _:
                assert_never(event)

    def _show_start(self, event: Started) -> None:
        size = f"{event.parameters / 1e6:.2f} M parameters"
        console.err().print(f"Training from step {event.step}: {size}, {event.device}, {event.dtype}")
        self._table.take_start(event)
        for text in event.notes:
            console.note(text)

    def _show_step(self, event: StepDone) -> None:
        self._table.take_step(event)
        if self._live is None:
            console.err().print(step_line(event))
        if (text := self._advice.take(event)) is not None:
            console.note(text)

    def _show_validation(self, event: Validated) -> None:
        for name in event.unreadable_names:
            console.warning(f"Validation line left out: {name}")
        if more := event.unreadable - len(event.unreadable_names):
            console.warning(f"{more:,} more validation lines left out.")
        best = " [green]best[/]" if event.best else "" if event.full else " (quick look)"
        if event.lines:
            console.err().print(
                f"step {event.step} | [bold]CER {event.cer:.2%}[/] | lines right {event.line_accuracy:.1%} | "
                f"loss {event.loss:.4f} | {event.lines} validation lines{best}"
            )
        else:
            console.warning(
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


class TrainingTable:
    """The table on the terminal: where a run stands.

    Args:
        max_steps: Steps of the whole run.
    """

    def __init__(self, max_steps: int) -> None:
        self._max_steps, self._began = max_steps, 0
        self._step: StepDone | None = None
        self._validated: Validated | None = None
        self._best: Validated | None = None
        self._samples: list[tuple[str, str]] = []

    def take_start(self, event: Started) -> None:
        """Shows where the run goes on."""
        self._began = event.step

    def take_step(self, event: StepDone) -> None:
        """Shows these values from now on."""
        self._step = event

    def take_validation(self, event: Validated, samples: list[tuple[str, str]]) -> None:
        """Shows this validation; `samples`: labels and readings in rich's markup."""
        self._validated, self._samples = event, samples
        if event.best:
            self._best = event

    def __rich__(self) -> RenderableType:
        """Returns what is printed."""
        parts: list[RenderableType] = [self._progress(), self._values()]
        if self._validated is not None:
            validation = Text(_validation_line(self._validated), "dim", no_wrap=True, overflow="ellipsis")
            parts += [Text(), validation, self._readings()]
        return Group(*parts)

    def _progress(self) -> RenderableType:
        done = self._step.step if self._step else self._began
        left = self._step.left_s if self._step else None
        row = Table.grid(padding=(0, 2))
        bar = ProgressBar(self._max_steps, done, width=_BAR_COLUMNS)
        time_left = "" if left is None else f"{_span(left)} left"
        row.add_row(f"step {done:,} of {self._max_steps:,}", bar, time_left)
        return row

    def _values(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(style="dim", no_wrap=True)
            grid.add_column(justify="right", no_wrap=True, min_width=8)
        step, validated, best = self._step, self._validated, self._best
        if step is None:
            grid.add_row("first steps …")
            return grid
        columns = (
            [
                ("loss", f"{step.loss:.4f}"),
                ("CER", f"[bold]{validated.cer:.2%}[/]" if validated and validated.lines else "–"),
                ("best CER", f"[green]{best.cer:.2%}[/]" if best else "–"),
            ],
            [
                ("lines/s", f"{step.lines_per_s:,.0f}"),
                ("data wait", _percent(step.data_wait_share)),
                ("strength", "–" if step.strength is None else f"{step.strength:.2f}"),
            ],
            [
                ("GPU" if step.gpu_share is not None else "CPU", _use(step)),
                ("memory", "–" if step.memory_mb is None else f"{step.memory_mb / 1024:.2f} GB"),
                ("skipped", f"{step.skipped_steps:,}"),
            ],
            [
                ("rate", f"{step.learning_rate:.2e}"),
                ("gradient", f"{step.gradient_norm:.2f}"),
                ("clipped", _percent(step.clipped_share)),
            ],
        )
        for row in zip(*columns, strict=True):
            grid.add_row(*(cell for pair in row for cell in pair))
        return grid

    def _readings(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=len("reading"))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for label, reading in self._samples:
            grid.add_row("label", Text.from_markup(label, overflow="ellipsis"))
            grid.add_row("reading", Text.from_markup(reading, overflow="ellipsis"))
        return grid


def _validation_line(event: Validated) -> str:
    kind = "validation" if event.full else "quick look"
    trained = "" if event.train_cer is None else f", {event.train_cer:.2%} on lines trained on"
    return (
        f"{kind} at step {event.step:,}: {event.lines:,} lines in {event.seconds:.1f} s, "
        f"{event.line_accuracy:.1%} of them right{trained}"
    )


def step_line(event: StepDone) -> str:
    """Describes the steps since the last such line, where there is no table."""
    used = {"GPU": event.gpu_share, "CPU": event.cpu_share if event.gpu_share is None else None}
    more = "".join(f" | {name} {share:.0%}" for name, share in used.items() if share is not None)
    more += f" | {event.memory_mb / 1024:.2f} GB" if event.memory_mb is not None else ""
    more += f" | strength {event.strength:.2f}" if event.strength is not None else ""
    more += f" | clipped {event.clipped_share:.0%}" if event.clipped_share else ""
    more += f" | skipped {event.skipped_steps}" if event.skipped_steps else ""
    more += f" | {_span(event.left_s)} left" if event.left_s is not None else ""
    return (
        f"step {event.step} | loss {event.loss:.4f} | rate {event.learning_rate:.2e} "
        f"| norm {event.gradient_norm:.2f} | {event.lines_per_s:.0f} lines/s "
        f"| data wait {event.data_wait_share:.0%}{more}"
    )


def _span(seconds: float) -> str:
    """Writes a length of time as people say it."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _use(step: StepDone) -> str:
    share = step.gpu_share if step.gpu_share is not None else step.cpu_share
    return "–" if share is None else _percent(share)
