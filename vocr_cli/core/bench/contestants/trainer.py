"""Training measured in a process to itself: VietOCR's way, or the real Trainer. B lines."""

from __future__ import annotations

import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import torch

from vocr_cli.core.bench.contestants.process import MeasuredProcess
from vocr_cli.core.bench.contestants.read_lines import LinesRead, read_lines
from vocr_cli.core.bench.contestants.recognizer import PeakMemory
from vocr_cli.core.bench.contestants.vietocr_baseline import (
    BaselineTraining,
    Optimizations,
    StepStats,
    TrainingFacts,
)
from vocr_cli.core.bench.contestants.vietocr_settings import VIETOCR_LINES
from vocr_cli.core.bench.gpu import GpuUtilization
from vocr_cli.core.bench.measure import peak_memory_mb
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.lines import open_lines
from vocr_cli.core.evaluation.metrics import Estimate, score
from vocr_cli.core.machine.memory import reset_peak_rss, resident_bytes, trim_heap
from vocr_cli.core.models.files import ModelFile, load_model
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import Event, Started, StepDone
from vocr_cli.core.training.record.usage import cpu_seconds, cpu_seconds_since
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.step.step import StepResult

_SETTLED_S = 0.15
_SETTLING_S = 20.0


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What is trained, and how.

    Attributes:
        config: Of the run; for VietOCR's way, its `precision` and `batch` count only as far as
            `optimizations` say.
        optimizations: What is added to VietOCR's way; None: the real Trainer.
        lines: B of VietOCR's way.
        init: A model to start from.
        device: auto, cpu or cuda.
        threads: Torch's.
        steps: Steps of a round, at least.
        seconds: Length of a round, at least.
        valid: Lines to read after a training to the end, or None.
        rehearse: Whether another training takes a step first, so that growth counts no code that is read in.
    """

    config: Config
    optimizations: Optimizations | None = None
    lines: int = VIETOCR_LINES
    init: str | None
    device: str
    threads: int
    steps: int = 2
    seconds: float = 0.0
    valid: Path | None = None
    rehearse: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingRound:
    """Some steps: lines and their mean width, seconds in all and of waiting, CPU seconds of all processes.

    `gpu_share` is the part of the seconds in which the GPU ran anything. None where it is not known.
    """

    steps: int
    lines: int
    width_px: float
    seconds: float
    waited_s: float
    cpu_s: float | None
    gpu_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A training to its end: the CER on the validation lines, and the mean loss of its last steps."""

    steps: int
    lines: int
    loss: float
    cer: Estimate


class Training(Protocol):
    """Something that takes training steps."""

    facts: TrainingFacts

    def step(self) -> StepStats:
        """Take one more step."""
        ...

    def model(self) -> ModelFile:
        """Return what was trained."""
        ...


class TrainingProcess(MeasuredProcess):
    """The process of one way to train.

    Raises:
        VocrError: Model or data cannot be used.
    """

    facts: TrainingFacts

    def __init__(self, name: str, task: TrainingTask) -> None:
        super().__init__(_Training, task, name)

    def run_round(self) -> TrainingRound:
        """Take some steps; the first one, which warms up what a pause cooled, does not count."""
        return cast(TrainingRound, self.ask("run_round"))

    def peak(self) -> PeakMemory:
        """Return peak memory so far, that of workers left out."""
        return cast(PeakMemory, self.ask("peak"))

    def workers_mb(self) -> float:
        """Return what the workers hold that is theirs alone."""
        return cast(float, self.ask("workers_mb"))

    def train(self) -> tuple[TrainingResult, LinesRead]:
        """Take `train.max_steps` steps and read the validation lines."""
        return cast("tuple[TrainingResult, LinesRead]", self.ask("train"))


def start_run(
    config: Config, folder: Path, init: str | None, device: str, on_batch: Callable[[Batch], None]
) -> tuple[Iterator[Event], Path]:
    """Start a run of `vocr train`; the one function here that knows how a run is made.

    Args:
        config: Of the run.
        folder: For its checkpoints.
        init: A model to start from.
        device: auto, cpu or cuda.
        on_batch: Called with each batch that goes into the model.

    Returns:
        The run's events, and where its best model will be.
    """
    run = build_run(config, folder, init=init, device=device)

    def observed_step(batches: Sequence[Batch], lr: float) -> StepResult:
        for batch in batches:
            on_batch(batch)
        return run.train_step(batches, lr)

    return train(replace(run, train_step=observed_step)), run.checkpoints.best_path


class TrainerSteps:
    """The steps of the real Trainer, one at a time.

    Args:
        config: Of the run.
        folder: For its checkpoints.
        device: auto, cpu or cuda.
        init: A model to start from.
    """

    def __init__(self, config: Config, folder: Path, device: str, init: str | None) -> None:
        train = config.train.model_copy(update={"log_every_steps": 1, "checkpoint_every_minutes": 1e6})
        self._lines = self._width_px = 0
        self._events, self._best_path = start_run(
            config.model_copy(update={"train": train}), folder, init, device, self._count
        )
        started = next(event for event in self._events if isinstance(event, Started))
        self.facts = TrainingFacts(torch.device(started.device).type, started.dtype)

    def step(self) -> StepStats:
        """Take one step."""
        self._lines = self._width_px = 0
        event = next(event for event in self._events if isinstance(event, StepDone))
        waited_s = event.data_wait_share * self._lines / max(event.lines_per_s, 1e-9)
        return StepStats(lines=self._lines, width_px=self._width_px, waited_s=waited_s, loss=event.loss)

    def model(self) -> ModelFile:
        """Return the averaged weights, as the run's end leaves them."""
        for _ in self._events:
            pass
        return load_model(self._best_path)

    def _count(self, batch: Batch) -> None:
        self._lines += len(batch.texts)
        self._width_px += int(batch.widths.sum())


class _Training:
    """A way to train, within the process."""

    def __init__(self, task: TrainingTask) -> None:
        torch.set_num_threads(task.threads)
        self._task = task
        self._folder = tempfile.TemporaryDirectory()
        if task.rehearse:
            self._start("rehearsal").step()
            trim_heap()
            reset_peak_rss()
        before = resident_bytes()
        self._before_mb = None if before is None else before / 2**20
        self._training = self._start("run")
        self.facts = self._training.facts

    def _start(self, name: str) -> Training:
        task = self._task
        if task.optimizations is None:
            return TrainerSteps(task.config, Path(self._folder.name) / name, task.device, task.init)
        return BaselineTraining(task.config, task.lines, task.device, task.init, task.optimizations)

    def run_round(self) -> TrainingRound:
        self._training.step()
        settle()
        steps: list[StepStats] = []
        cpu_before = cpu_seconds()
        gpu = GpuUtilization() if self.facts.device == "cuda" else nullcontext()
        with gpu as utilization:  # of the steps alone: pauses between rounds are not idleness
            began = time.perf_counter()
            while len(steps) < self._task.steps or time.perf_counter() - began < self._task.seconds:
                steps.append(self._training.step())
            seconds = time.perf_counter() - began
        settle()  # workers make a batch for every one that was taken: their work belongs to the round
        cpu_s = cpu_seconds_since(cpu_before)
        trim_heap()  # others have their turn now
        lines = sum(step.lines for step in steps)
        return TrainingRound(
            steps=len(steps),
            lines=lines,
            width_px=sum(step.width_px for step in steps) / lines,
            seconds=seconds,
            waited_s=sum(step.waited_s for step in steps),
            cpu_s=cpu_s,
            gpu_share=None if utilization is None else utilization.fraction,
        )

    def peak(self) -> PeakMemory:
        on_gpu = self.facts.device == "cuda"
        resident = peak_memory_mb()
        before = self._before_mb
        growth = None if resident is None or before is None else resident - before
        return PeakMemory(resident, torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None, growth)

    def workers_mb(self) -> float:
        pids = [child.pid for child in multiprocessing.active_children() if child.pid]
        return sum(map(_private_mb, pids))

    def train(self) -> tuple[TrainingResult, LinesRead]:
        count = self._task.config.train.max_steps
        assert self._task.valid is not None
        steps = [self._training.step() for _ in range(count)]
        last = steps[-max(1, count // 10) :]
        lines = open_lines(self._task.valid)
        read = read_lines(self._training.model(), lines, self._task.device, self._task.threads)
        result = TrainingResult(
            steps=count,
            lines=sum(step.lines for step in steps),
            loss=sum(step.loss for step in last) / len(last),
            cer=score(read.labels, read.texts).cer,
        )
        return result, read


def settle() -> None:
    """Wait until workers, if there are any, have made all the batches that they may make ahead."""
    if not multiprocessing.active_children():
        return
    ends, before = time.monotonic() + _SETTLING_S, cpu_seconds()
    time.sleep(_SETTLED_S)
    while (used := cpu_seconds_since(before)) is not None and used > _SETTLED_S / 10:
        if time.monotonic() > ends:
            return
        before = cpu_seconds()
        time.sleep(_SETTLED_S)


def _private_mb(pid: int) -> float:
    """Return the memory of a process that it shares with no other; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(kb) for kb in re.findall(r"Private_\w+:\s*(\d+) kB", text)) / 1024
