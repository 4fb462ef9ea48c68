"""`vocr bench train`: the real Trainer's steps, the settings as they are and one changed at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vocr_cli import __version__
from vocr_cli.core.bench.contestants.trainer import Round, TrainContestant, TrainTask
from vocr_cli.core.bench.inputs import bench_config, choose_candidate, gather
from vocr_cli.core.bench.measure import Machine, Spread, describe_machine, pinned, spread
from vocr_cli.core.config.tree import Config

Say = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: That count.
        steps: Of a round, at least.
        seconds: Of a round, at least.
        rendered_lines: Where no data are given.
        read_lines: Lines of a reading pass.
        batch_lines: Of VietOCR's fixed batch.
    """

    rounds: int = 3
    steps: int = 2
    seconds: float = 6.0
    rendered_lines: int = 640
    read_lines: int = 64
    batch_lines: int = 32


USUAL = Effort()


def quick(rounds: int) -> Effort:
    """Just enough to see that everything works; its numbers mean nothing."""
    return Effort(rounds, 1, 0.0, 48, 6, 4)


@dataclass(frozen=True)
class TrainSettings:
    """What `bench_train` measures; see `ClaimSettings`."""

    model: str
    data: Path | None
    device: str
    threads: int
    effort: Effort = USUAL


@dataclass(frozen=True)
class TrainRow:
    """One way to train.

    Attributes:
        name: What is changed.
        lines_per_s: Of lines of the data's mean width: rounds whose lines were wider count for more.
        ratio: Over the first row.
        cpu_s_per_1000: CPU seconds for 1,000 such lines, of the trainer and its workers.
        data_wait_share: Part of the steps' time that was spent waiting for data.
        batch_lines: Lines of a step, mean.
        peak_mb: Largest resident size of the training process.
        peak_cuda_mb: Most that tensors took on the GPU.
        workers_mb: What the workers hold for themselves.
    """

    name: str
    lines_per_s: Spread
    ratio: float
    cpu_s_per_1000: float
    data_wait_share: float
    batch_lines: float
    peak_mb: float | None
    peak_cuda_mb: float | None
    workers_mb: float


@dataclass(frozen=True)
class TrainReport:
    """All of `vocr bench train`."""

    vocr: str
    machine: Machine
    model: str
    data: str
    mean_width_px: float
    threads: int
    pinned: bool
    effort: Effort
    rows: tuple[TrainRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for `json.dump`."""
        return asdict(self)


def bench_train(settings: TrainSettings, on_step: Say = lambda step: None) -> TrainReport:
    """Trains in rounds, all ways in alternation, each in a process of its own.

    A round begins with a step that does not count; workers have then made all that they may make ahead, and
    make one batch for each that is taken.

    Args:
        settings: What to measure.
        on_step: Told what is being done.

    Raises:
        VocrError: Model or data cannot be used.
    """
    chosen, effort = choose_candidate(settings.model), settings.effort
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        held = stack.enter_context(pinned(settings.threads))
        on_step("gathering lines")
        data = gather(settings.data, chosen.config, effort.rendered_lines, folder)
        contestants = []
        for name, config in variants(bench_config(chosen.config, data, max(1, settings.threads - 1))):
            on_step(f"loading {name}")
            task = TrainTask(
                config, None, effort.batch_lines, chosen.init, settings.device, settings.threads,
                effort.steps, effort.seconds,
            )  # fmt: skip
            contestants.append(stack.enter_context(TrainContestant(name, task)))
        rounds = alternate(contestants, effort.rounds, on_step)
        width = mean_width(rounds)
        rows = train_rows(contestants, rounds, width)
    named = "rendered lines" if settings.data is None else str(settings.data)
    return TrainReport(
        __version__, describe_machine(), settings.model, named, width, settings.threads, held, effort, rows
    )


def variants(config: Config) -> Iterator[tuple[str, Config]]:
    """The settings as they are, and with one of them changed."""
    precision = config.precision
    yield "as configured", config
    changes: dict[str, dict[str, object]] = {
        "amp off": {"amp": "off"},
        "channels_last off": {"channels_last": False},
        "flush_denormals off": {"flush_denormals": False},
        "attention plain": {"attention": "plain"},
        "attention sdpa": {"attention": "sdpa"},
        "recompute all": {"recompute": ("all",)},
    }
    for name, change in changes.items():
        yield name, config.model_copy(update={"precision": precision.model_copy(update=change)})
    yield "no workers", config.model_copy(update={"data": config.data.model_copy(update={"workers": 0})})
    batch = config.batch.model_copy(update={"pixels": max(1_000, config.batch.pixels // 4)})
    yield "a quarter of the batch", config.model_copy(update={"batch": batch})


def alternate(contestants: Sequence[TrainContestant], rounds: int, on_step: Say) -> list[list[Round]]:
    """Rounds of each, one of each in turn; a first one, in which kernels are chosen, does not count."""
    for contestant in contestants:
        on_step(f"warming up {contestant.name}")
        contestant.round()
    made: list[list[Round]] = [[] for _ in contestants]
    for number in range(1, rounds + 1):
        on_step(f"round {number} of {rounds}")
        for contestant, own in zip(contestants, made, strict=True):
            own.append(contestant.round())
    return made


def mean_width(rounds: Sequence[Sequence[Round]]) -> float:
    """Mean width in px of all lines that were trained on."""
    every = [made for own in rounds for made in own]
    return sum(made.lines * made.width_px for made in every) / sum(made.lines for made in every)


def train_rows(
    contestants: Sequence[TrainContestant], rounds: Sequence[Sequence[Round]], width_px: float
) -> tuple[TrainRow, ...]:
    """Rows in the order of the contestants, for lines of one width."""
    rows: list[TrainRow] = []
    for contestant, own in zip(contestants, rounds, strict=True):
        lines = [made.lines * made.width_px / width_px for made in own]
        rates = spread([count / made.seconds for count, made in zip(lines, own, strict=True)])
        cpu = spread([1000 * made.cpu_s / count for count, made in zip(lines, own, strict=True)])
        waits = spread([made.waited_s / made.seconds for made in own])
        steps = sum(made.steps for made in own)
        peak = contestant.peak()
        first = rows[0].lines_per_s.median if rows else rates.median
        rows.append(
            TrainRow(
                contestant.name,
                rates,
                rates.median / first,
                cpu.median,
                waits.median,
                sum(made.lines for made in own) / steps,
                peak.resident_mb,
                peak.cuda_mb,
                contestant.workers_mb(),
            )
        )
    return tuple(rows)
