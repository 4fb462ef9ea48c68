"""The table on the terminal: where a training run stands."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vocr_cli.core.training.record.events import Started, StepDone, Stopped, Validated

_BAR_COLUMNS = 30
_LEAST_RATE_S = 1.0  # a rate over less time says nothing


class TrainingTable:
    """The table on the terminal: where a run stands.

    Args:
        max_steps: Steps of the whole run.
        max_minutes: Its minutes, at most; 0: no limit.
    """

    def __init__(self, max_steps: int, max_minutes: float = 0.0) -> None:
        self._max_steps, self._max_minutes, self._done = max_steps, max_minutes, 0
        self._step: StepDone | None = None
        self._validated: Validated | None = None
        self._best: Validated | None = None
        self._samples: list[tuple[str, str]] = []

    def take_start(self, event: Started) -> None:
        """Shows where the run goes on."""
        self._done = event.step

    def take_step(self, event: StepDone) -> None:
        """Shows these values from now on."""
        self._step, self._done = event, event.step

    def take_stop(self, event: Stopped) -> None:
        """Shows how far the run came."""
        self._done = event.step

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
        share = self._step.done_share if self._step else None
        left = self._step.left_s if self._step else None
        row = Table.grid(padding=(0, 2))
        by_steps = self._done / self._max_steps
        bar = ProgressBar(1.0, by_steps if share is None else max(share, by_steps), width=_BAR_COLUMNS)
        minutes = f", {self._max_minutes:g} min at most" if self._max_minutes else ""
        time_left = f"{span(left)} left" if left else ""
        row.add_row(f"step {self._done:,} of {self._max_steps:,}{minutes}", bar, time_left)
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
                ("lines/s", rate_of(step) or "–"),
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
                ("norm", f"{step.gradient_norm:.2f}"),
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


def rate_of(event: StepDone) -> str | None:
    """Returns lines a second as people read them; None: over too short a time to mean anything."""
    known = event.lines_per_s > 0 and event.seconds >= _LEAST_RATE_S
    return f"{event.lines_per_s:,.0f}" if known else None


def span(seconds: float) -> str:
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
