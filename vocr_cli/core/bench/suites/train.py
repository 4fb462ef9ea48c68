"""`vocr bench train`: the real Trainer's steps, the settings as they are and one changed at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.bench.contestants.trainer import TrainingProcess, TrainingRound, TrainingTask
from vocr_cli.core.bench.inputs import bench_config, choose_model, training_lines
from vocr_cli.core.bench.measure import (
    BenchBudget,
    OnMessage,
    Spread,
    TrainingBenchReport,
    alternate,
    bench_setup,
    spread,
)
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What `bench_train` measures.

    Attributes:
        model: As `choose_model` takes it.
        data: As `training_lines` takes it.
        labels: How it is read.
        device: auto, cpu or cuda.
        threads: Processors for all of it.
        budget: How much is measured.
    """

    model: str
    data: Path | None
    labels: SourceOptions = AS_FOUND
    device: str
    threads: int
    budget: BenchBudget


@dataclass(frozen=True, kw_only=True)
class TrainRow:
    """One way to train.

    Attributes:
        name: What is changed.
        lines_per_s: Of lines of the data's mean width: rounds whose lines were wider count for more.
        ratio: Over the first row.
        cpu_s_per_1000: CPU seconds for 1,000 such lines, of the trainer and its workers; None: not known.
        data_wait_share: Fraction of the steps' time that was spent waiting for data.
        batch_lines: Lines of a step, mean.
        peak_mb: Largest resident size of the training process.
        peak_cuda_mb: Most that tensors took on the GPU.
        workers_mb: What the workers hold for themselves.
        dtype: Number format of the forward pass.
        steps: Steps that counted.
        lines: Lines of those steps.
        gpu_share: Fraction of the steps' time in which the GPU ran anything; None: no GPU, or it does not
            tell.
    """

    name: str
    lines_per_s: Spread
    ratio: float
    cpu_s_per_1000: float | None
    data_wait_share: float
    batch_lines: float
    peak_mb: float | None
    peak_cuda_mb: float | None
    workers_mb: float
    dtype: str
    steps: int
    lines: int
    gpu_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainReport(TrainingBenchReport):
    """All of `vocr bench train`.

    Attributes:
        rows: The settings as they are, then each change.
    """

    rows: tuple[TrainRow, ...]


def bench_train(settings: TrainSettings, on_message: OnMessage = lambda message: None) -> TrainReport:
    """Train in rounds, all ways in alternation, each in a process to itself.

    A round begins with a step that does not count; workers have then made all that they may make ahead, and
    make one batch for each that is taken.

    Args:
        settings: What to measure.
        on_message: Called with what is being done.

    Raises:
        VocrError: Model or data cannot be used.
    """
    choice, budget = choose_model(settings.model), settings.budget
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        setup = stack.enter_context(bench_setup(settings.model, settings.device, settings.threads))
        on_message("gathering lines")
        lines = training_lines(
            settings.data, choice.config, budget.rendered_lines, folder, labels=settings.labels
        )
        processes = []
        for name, config in variants(bench_config(choice.config, lines.path, max(1, settings.threads - 1))):
            on_message(f"loading {name}")
            task = TrainingTask(
                config=config,
                init=choice.init,
                device=settings.device,
                threads=settings.threads,
                steps=budget.steps,
                seconds=budget.seconds,
            )
            processes.append(stack.enter_context(TrainingProcess(name, task)))
        rounds = alternate_training(processes, budget.rounds, on_message)
        width_px = mean_width(rounds)
        rows = train_rows(processes, rounds, width_px)
    return TrainReport(
        setup=setup,
        data=lines.name,
        mean_width_px=width_px,
        budget=budget,
        rows=rows,
    )


def variants(config: Config) -> Iterator[tuple[str, Config]]:
    """Yield the settings as they are, and with one of them changed."""
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


def alternate_training(
    processes: Sequence[TrainingProcess], rounds: int, on_message: OnMessage
) -> list[list[TrainingRound]]:
    """Take rounds in turns; a first one of each, in which kernels are chosen, does not count."""
    for process in processes:
        on_message(f"warming up {process.name}")
        process.run_round()
    return alternate([process.run_round for process in processes], rounds, on_message)


def mean_width(rounds: Sequence[Sequence[TrainingRound]]) -> float:
    """Return the mean width in px of all lines that were trained on."""
    every = [one for of_process in rounds for one in of_process]
    return sum(one.lines * one.width_px for one in every) / sum(one.lines for one in every)


def train_rows(
    processes: Sequence[TrainingProcess], rounds: Sequence[Sequence[TrainingRound]], width_px: float
) -> tuple[TrainRow, ...]:
    """Return rows in the order of the processes, for lines of one width."""
    rows: list[TrainRow] = []
    for process, its_rounds in zip(processes, rounds, strict=True):
        lines = [one.lines * one.width_px / width_px for one in its_rounds]
        rates = spread([count / one.seconds for count, one in zip(lines, its_rounds, strict=True)])
        pairs = list(zip(lines, its_rounds, strict=True))
        cpu_s = [1000 * one.cpu_s / count for count, one in pairs if one.cpu_s is not None]
        shares = [one.gpu_share for one in its_rounds if one.gpu_share is not None]
        steps, total = sum(one.steps for one in its_rounds), sum(one.lines for one in its_rounds)
        peak = process.peak()
        first = rows[0].lines_per_s.median if rows else rates.median
        rows.append(
            TrainRow(
                name=process.name,
                lines_per_s=rates,
                ratio=rates.median / first,
                cpu_s_per_1000=spread(cpu_s).median if cpu_s else None,
                data_wait_share=spread([one.waited_s / one.seconds for one in its_rounds]).median,
                batch_lines=total / steps,
                peak_mb=peak.resident_mb,
                peak_cuda_mb=peak.cuda_mb,
                workers_mb=process.workers_mb(),
                dtype=process.facts.dtype,
                steps=steps,
                lines=total,
                gpu_share=spread(shares).median if shares else None,
            )
        )
    return tuple(rows)
