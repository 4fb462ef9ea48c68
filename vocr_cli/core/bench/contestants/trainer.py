"""Training measured in a process of its own: VietOCR's way, or the real Trainer. B lines."""

from __future__ import annotations

import math
import multiprocessing
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import torch

from vocr_cli.core.bench.contestants.process import Remote
from vocr_cli.core.bench.contestants.recognizer import Peak
from vocr_cli.core.bench.contestants.vietocr_baseline import BaselineTraining, Means, Taken
from vocr_cli.core.bench.measure import peak_memory_mb
from vocr_cli.core.config.tree import COLUMN_PX, Config
from vocr_cli.core.data.images.images import open_line
from vocr_cli.core.data.loader.dataset import Batch
from vocr_cli.core.data.loader.lines import Lines, open_lines
from vocr_cli.core.evaluation.metrics import Estimate, score
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.memory import reset_peak_rss, resident_bytes, trim_heap
from vocr_cli.core.models.files import ModelFile, load_model
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import StepDone
from vocr_cli.core.training.record.usage import cpu_seconds
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.step.step import StepResult

_SETTLED_S = 0.15
_SETTLING_S = 20.0
_READ_TOGETHER = 256


@dataclass(frozen=True)
class TrainTask:
    """What is trained, and how.

    Attributes:
        config: Of the run; for VietOCR's way, its `precision` and `batch` count only as far as `means` say.
        means: What is added to VietOCR's way; None: the real Trainer.
        lines: B of VietOCR's way.
        init: A model to start from.
        device: auto, cpu or cuda.
        threads: Torch's.
        steps: Steps of a round, at least.
        seconds: Of a round, at least.
        valid: Lines to read after a training to the end, or None.
        rehearse: Whether another training takes a step first, so that growth counts no code that is read in.
    """

    config: Config
    means: Means | None
    lines: int
    init: str | None
    device: str
    threads: int
    steps: int = 2
    seconds: float = 0.0
    valid: Path | None = None
    rehearse: bool = False


@dataclass(frozen=True)
class Round:
    """Some steps: lines and their mean width, seconds in all and of waiting, CPU seconds of all processes."""

    steps: int
    lines: int
    width_px: float
    seconds: float
    waited_s: float
    cpu_s: float


@dataclass(frozen=True)
class Trained:
    """A training to its end: the CER on the validation lines, and the mean loss of its last steps."""

    steps: int
    lines: int
    loss: float
    cer: Estimate


class Steps(Protocol):
    """Something that takes steps."""

    def step(self) -> Taken:
        """One more."""
        ...

    def model(self) -> ModelFile:
        """What was trained."""
        ...


class TrainContestant(Remote):
    """The process of one way to train.

    Raises:
        VocrError: Model or data cannot be used.
    """

    def __init__(self, name: str, task: TrainTask) -> None:
        self.name = name
        super().__init__(_Training, task)

    def round(self) -> Round:
        """Some steps; the first one, which warms up what a pause cooled, does not count."""
        return cast(Round, self.ask("round"))

    def peak(self) -> Peak:
        """Peak memory so far, that of workers left out."""
        return cast(Peak, self.ask("peak"))

    def workers_mb(self) -> float:
        """What the workers hold that is theirs alone."""
        return cast(float, self.ask("workers_mb"))

    def train(self) -> Trained:
        """Takes `train.max_steps` steps and reads the validation lines."""
        return cast(Trained, self.ask("train"))


class TrainerSteps:
    """The steps of a real Trainer, one at a time.

    Args:
        config: Of the run.
        folder: For its checkpoints.
        device: auto, cpu or cuda.
        init: A model to start from.
    """

    def __init__(self, config: Config, folder: Path, device: str, init: str | None) -> None:
        settings = config.train.model_copy(update={"log_every_steps": 1, "checkpoint_every_minutes": 1e6})
        self._run = build_run(config.model_copy(update={"train": settings}), folder, init=init, device=device)
        self._events = train(replace(self._run, train_step=self._counted_step))
        self._lines = self._width_px = 0

    def step(self) -> Taken:
        """One step."""
        self._lines = self._width_px = 0
        event = next(event for event in self._events if isinstance(event, StepDone))
        waited = event.data_wait_share * self._lines / max(event.lines_per_s, 1e-9)
        return Taken(self._lines, self._width_px, waited, event.loss)

    def model(self) -> ModelFile:
        """The averaged weights, as the run's end leaves them."""
        for _ in self._events:
            pass
        return load_model(self._run.checkpoints.best_path)

    def _counted_step(self, batches: Sequence[Batch], lr: float) -> StepResult:
        self._lines += sum(len(batch.texts) for batch in batches)
        self._width_px += sum(int(batch.columns.sum()) for batch in batches) * COLUMN_PX
        return self._run.train_step(batches, lr)


class _Training:
    """A way to train, within the process."""

    def __init__(self, task: TrainTask) -> None:
        torch.set_num_threads(task.threads)
        self._task = task
        self._folder = tempfile.TemporaryDirectory()
        if task.rehearse:
            self._made("rehearsal").step()
            trim_heap()
            reset_peak_rss()
        self._before_mb = resident_bytes() / 2**20
        self._steps = self._made("run")
        self.facts = None

    def _made(self, name: str) -> Steps:
        task = self._task
        if task.means is None:
            return TrainerSteps(task.config, Path(self._folder.name) / name, task.device, task.init)
        return BaselineTraining(task.config, task.lines, task.device, task.init, task.means)

    def round(self) -> Round:
        self._steps.step()
        settle()
        taken: list[Taken] = []
        cpu_s, began = cpu_seconds(), time.perf_counter()
        while len(taken) < self._task.steps or time.perf_counter() - began < self._task.seconds:
            taken.append(self._steps.step())
        seconds = time.perf_counter() - began
        settle()  # workers make a batch for every one that was taken: their work belongs to the round
        cpu_s = cpu_seconds() - cpu_s
        trim_heap()  # others have their turn now
        lines = sum(step.lines for step in taken)
        width = sum(step.width_px for step in taken) / lines
        return Round(len(taken), lines, width, seconds, sum(step.waited_s for step in taken), cpu_s)

    def peak(self) -> Peak:
        on_gpu = torch.cuda.is_available() and self._task.device != "cpu"
        resident = peak_memory_mb()
        grown = None if resident is None or not self._before_mb else resident - self._before_mb
        return Peak(resident, torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None, grown)

    def workers_mb(self) -> float:
        pids = [child.pid for child in multiprocessing.active_children() if child.pid]
        return sum(map(_private_mb, pids))

    def train(self) -> Trained:
        steps = self._task.config.train.max_steps
        assert self._task.valid is not None
        taken = [self._steps.step() for _ in range(steps)]
        last = taken[-max(1, steps // 10) :]
        store = open_lines(self._task.valid)
        cer = read_cer(self._steps.model(), store, self._task.device, self._task.threads)
        loss = sum(step.loss for step in last) / len(last)
        return Trained(steps, sum(step.lines for step in taken), loss, cer)


def read_cer(model: ModelFile, store: Lines, device: str, threads: int) -> Estimate:
    """CER of a model on labelled lines, read in fp32."""
    recognizer = Recognizer.of(model, device, "fp32", threads)
    labels, texts = [], []
    for start in range(0, len(store), _READ_TOGETHER):
        lines = [store[number] for number in range(start, min(start + _READ_TOGETHER, len(store)))]
        labels += [line.text for line in lines]
        texts += [reading.text for reading in recognizer.read([open_line(line.image) for line in lines])]
    return score(labels, texts).cer


def settle() -> None:
    """Waits until workers, if there are any, have made all the batches that they may make ahead."""
    if not multiprocessing.active_children():
        return
    ends, before = time.monotonic() + _SETTLING_S, -math.inf
    while (now := cpu_seconds()) - before > _SETTLED_S / 10 and time.monotonic() < ends:
        before = now
        time.sleep(_SETTLED_S)


def _private_mb(pid: int) -> float:
    """Memory of a process that it shares with no other; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(kb) for kb in re.findall(r"Private_\w+:\s*(\d+) kB", text)) / 1024
