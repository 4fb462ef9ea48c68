"""How a run is shown while it goes, as a table or a line: built here, printed by the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from vocr_cli.core.training.record.events import Started, StepDone, Validated

_BAR_COLUMNS = 30
_MUCH_WAITING = 0.3
_WAITS = 2  # summaries in a row


class TrainingTable:
    """Where a run stands.

    Args:
        max_steps: Of the whole run.
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
        """What is printed."""
        parts: list[RenderableType] = [self._place(), self._values()]
        if self._validated is not None:
            looked = Text(self._looked(self._validated), "dim", no_wrap=True, overflow="ellipsis")
            parts += [Text(), looked, self._readings()]
        return Group(*parts)

    def _place(self) -> RenderableType:
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
        step, seen, best = self._step, self._validated, self._best
        if step is None:
            grid.add_row("first steps …")
            return grid
        columns = (
            [
                ("loss", f"{step.loss:.4f}"),
                ("CER", f"[bold]{seen.cer:.2%}[/]" if seen and seen.lines else "–"),
                ("best CER", f"[green]{best.cer:.2%}[/]" if best else "–"),
            ],
            [
                ("lines/s", f"{step.lines_per_s:,.0f}"),
                ("data wait", _share(step.data_wait_share)),
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
                ("clipped", _share(step.clipped_share)),
            ],
        )
        for row in zip(*columns, strict=True):
            grid.add_row(*(cell for pair in row for cell in pair))
        return grid

    def _looked(self, event: Validated) -> str:
        kind = "validation" if event.full else "quick look"
        trained = "" if event.train_cer is None else f", {event.train_cer:.2%} on lines trained on"
        return (
            f"{kind} at step {event.step:,}: {event.lines:,} lines in {event.seconds:.1f} s, "
            f"{event.line_accuracy:.1%} of them right{trained}"
        )

    def _readings(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=len("reading"))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for label, reading in self._samples:
            grid.add_row("label", Text.from_markup(label, overflow="ellipsis"))
            grid.add_row("reading", Text.from_markup(reading, overflow="ellipsis"))
        return grid


class WaitAdvice:
    """Says once, when it has been so for some time, that training waits for its data, and what helps.

    Args:
        workers: Processes that prepare the data.
        cores: Of this machine.
    """

    def __init__(self, workers: int, cores: int) -> None:
        self._workers, self._cores = workers, cores
        self._seen, self._told = 0, False

    def take(self, event: StepDone) -> str | None:
        """The advice, if these steps bring it about."""
        self._seen = self._seen + 1 if event.data_wait_share > _MUCH_WAITING else 0
        if self._told or self._seen < _WAITS:
            return None
        self._told = True
        return (
            f"Training waits for its data {event.data_wait_share:.0%} of the time. What helps: more "
            f"data.workers (now {self._workers}; this machine has {self._cores} cores), lines stored as the "
            "model has them (vocr build-lmdb --fit CONFIG), or decoded ones kept in memory (data.cache_mb)."
        )


def step_line(event: StepDone) -> str:
    """The steps since the last such line, where there is no table."""
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
    """A length of time as people say it."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"


def _share(value: float) -> str:
    return f"{value:.0%}"


def _use(step: StepDone) -> str:
    share = step.gpu_share if step.gpu_share is not None else step.cpu_share
    return "–" if share is None else _share(share)
