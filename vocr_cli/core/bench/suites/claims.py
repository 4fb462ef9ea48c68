"""`vocr bench claims`: what the project promises, measured against VietOCR's way in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vocr_cli import __version__
from vocr_cli.core.bench.contestants.reader import ReadContestant, ReadMeans, ReadTask
from vocr_cli.core.bench.contestants.trainer import TrainContestant, Trained, TrainTask
from vocr_cli.core.bench.contestants.vietocr_baseline import Means
from vocr_cli.core.bench.gpu import GpuWatch
from vocr_cli.core.bench.inputs import (
    Candidate,
    Stored,
    bench_config,
    choose_candidate,
    gather,
    one_width,
    scaled,
    stored_bytes,
)
from vocr_cli.core.bench.measure import Machine, Spread, describe_machine, pinned, spread
from vocr_cli.core.bench.suites.promises import Promise, judge
from vocr_cli.core.bench.suites.train import USUAL, Effort, Say, TrainRow, alternate, mean_width, train_rows
from vocr_cli.core.config.tree import BatchConfig, Config
from vocr_cli.core.data.loader.lines import open_lines
from vocr_cli.core.machine.precision import choose_device, good_precisions

BASELINE, ALL_ON, LEAN = "VietOCR's way", "all on", "all on, recomputed"
_MEMORY_STEPS = 2


@dataclass(frozen=True)
class ClaimSettings:
    """What `bench_claims` measures.

    Attributes:
        model: As `choose_candidate` takes it.
        data: A database or annotation file to train on and read; None: lines are rendered.
        valid: Lines for the accuracy; None: it is not measured.
        device: auto, cpu or cuda.
        threads: Processors, for each side alike.
        steps: Of the trainings whose accuracy is compared.
        effort: How much is measured.
    """

    model: str
    data: Path | None
    valid: Path | None
    device: str
    threads: int
    steps: int = 200
    effort: Effort = USUAL


@dataclass(frozen=True)
class MemoryRow:
    """Peak memory of training at equal batches, without workers: of the process, and of tensors on a GPU.

    Attributes:
        growth_mb: The process's without what it held before the model was made: all that is stored for the
            model, its gradients, optimizer, average and steps. Code and kernels are in memory before, as
            another training took a step there and was given up.
    """

    name: str
    peak_mb: float | None
    growth_mb: float | None
    peak_cuda_mb: float | None

    @property
    def shown_mb(self) -> float | None:
        """The GPU's where there is one, else the growth: what training takes, not what Python does."""
        return self.growth_mb if self.peak_cuda_mb is None else self.peak_cuda_mb


@dataclass(frozen=True)
class ReadRow:
    """One way to read: lines/s from stored bytes to text, over the first row, CPU seconds for 1,000 lines."""

    name: str
    lines_per_s: Spread
    ratio: float
    cpu_s_per_1000: float


@dataclass(frozen=True)
class ClaimsReport:
    """All of `vocr bench claims`.

    Attributes:
        memory_lines: Lines of the equal batches, each `memory_width_px` wide.
        stored: Bytes of an epoch, raw and pre-scaled.
        accuracy: Trainings to the end, VietOCR's way and all on; None: not measured.
        gpu_shares: Part of the time in which the GPU ran anything, the same two; None: no GPU.
    """

    vocr: str
    machine: Machine
    device: str
    model: str
    data: str
    mean_width_px: float
    threads: int
    pinned: bool
    effort: Effort
    promises: tuple[Promise, ...]
    training: tuple[TrainRow, ...]
    memory: tuple[MemoryRow, ...]
    memory_lines: int
    memory_width_px: int
    reading: tuple[ReadRow, ...]
    stored: tuple[Stored, Stored]
    accuracy: tuple[Trained, Trained] | None
    gpu_shares: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for `json.dump`."""
        return asdict(self)


def bench_claims(settings: ClaimSettings, on_step: Say = lambda step: None) -> ClaimsReport:
    """Measures each promise; see `bench_train` for rounds.

    Args:
        settings: What to measure.
        on_step: Told what is being done.

    Raises:
        VocrError: Model or data cannot be used, or no width has lines enough for VietOCR's batches.
    """
    if settings.valid is not None:
        open_lines(settings.valid)  # used last: what is wrong with it shows before minutes of measuring
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        held = stack.enter_context(pinned(settings.threads))
        on_step("gathering lines")
        chosen = choose_candidate(settings.model)
        raw = gather(settings.data, chosen.config, settings.effort.rendered_lines, folder)
        claims = _Claims(settings, chosen, raw, scaled(raw, chosen.config, folder), folder, on_step)
        training, width, gpu_shares = claims.training()
        memory, memory_width = claims.memory()
        reading = claims.reading()
        on_step("counting bytes")
        stored = (stored_bytes(claims.raw), stored_bytes(claims.small))
        accuracy = claims.accuracy()
    lean = next(row for row in memory if row.name == LEAN)
    rates = reading[0].lines_per_s.median, reading[-1].lines_per_s.median
    promises = judge(
        training[0], training[-1], (memory[0].shown_mb, lean.shown_mb), rates,
        stored, accuracy and (accuracy[0].cer, accuracy[1].cer), gpu_shares,
    )  # fmt: skip
    named = "rendered lines" if settings.data is None else str(settings.data)
    return ClaimsReport(
        __version__, describe_machine(), choose_device(settings.device), settings.model, named, width,
        settings.threads, held, settings.effort, promises, training, memory,
        settings.effort.batch_lines, memory_width, reading, stored, accuracy, gpu_shares,
    )  # fmt: skip


@dataclass(frozen=True)
class _Claims:
    """The parts of the run, on databases of the same lines, raw and pre-scaled."""

    settings: ClaimSettings
    chosen: Candidate
    raw: Path
    small: Path
    folder: Path
    say: Say

    @property
    def workers(self) -> int:
        return max(1, self.settings.threads - 1)

    def _task(self, config: Config, means: Means | None, **changed: Any) -> TrainTask:
        settings, effort = self.settings, self.settings.effort
        task = TrainTask(
            config, means, effort.batch_lines, self.chosen.init, settings.device, settings.threads,
            effort.steps, effort.seconds,
        )  # fmt: skip
        return replace(task, **changed)

    def _config(self, data: Path, batch_lines: int | None, **precision: Any) -> Config:
        """A run on a database, in batches of a pixel budget, or of a number of lines whatever their width."""
        config = bench_config(self.chosen.config, data, self.workers)
        batch = BatchConfig(bucket_px=config.batch.bucket_px)
        if batch_lines:
            pixels = max(1_000, batch_lines * config.image.height_px * config.image.max_width_px)
            batch = batch.model_copy(update={"max_lines": batch_lines, "pixels": pixels})
        changed = config.precision.model_copy(update=precision)
        return config.model_copy(update={"batch": batch, "precision": changed})

    def _alone(self) -> Iterator[tuple[str, Means]]:
        """Each means by itself, those that this hardware has."""
        yield BASELINE, Means()
        place = choose_device(self.settings.device)
        if place == "cpu":
            yield "freed memory kept", Means(kept_memory=True)
            yield "denormals flushed", Means(flushed=True)
        if (best := good_precisions(place)[-1]) == "bf16":
            yield best, Means(amp=True)
        yield "channels-last", Means(channels_last=True)
        yield "batches by pixels", Means(buckets=True)
        yield "SDPA", Means(sdpa=True)
        yield "recomputation", Means(recompute=True)
        yield f"{self.workers} worker(s)", Means(workers=self.workers)

    def training(self) -> tuple[tuple[TrainRow, ...], float, tuple[float, float] | None]:
        """Speeds, the lines' mean width in px, and the GPU's shares."""
        raw, small = self._config(self.raw, None), self._config(self.small, None)
        ways = [(name, self._task(raw, means)) for name, means in self._alone()]
        ways += [("pre-scaled data", self._task(small, Means())), (ALL_ON, self._task(small, None))]
        with ExitStack() as stack:
            contestants = []
            for name, task in ways:
                self.say(f"loading {name}")
                contestants.append(stack.enter_context(TrainContestant(name, task)))
            rounds = alternate(contestants, self.settings.effort.rounds, self.say)
            width = mean_width(rounds)
            shares = None
            if choose_device(self.settings.device) == "cuda":
                shares = _gpu_share(contestants[0]), _gpu_share(contestants[-1])
            return train_rows(contestants, rounds, width), width, shares

    def memory(self) -> tuple[tuple[MemoryRow, ...], int]:
        """Peaks at equal batches of lines of one width, one process after the other; and that width in px."""
        count = self.settings.effort.batch_lines
        data, width = one_width(self.small, self.chosen.config, 2 * count, self.folder)
        ways = [
            (name, self._task(self._config(data, count), means))
            for name, means in self._alone()
            if not means.buckets and not means.workers and not means.flushed
        ]
        ways.append((ALL_ON, self._task(self._config(data, count), None)))
        ways.append((LEAN, self._task(self._config(data, count, recompute=("all",)), None)))
        rows = []
        for name, task in ways:
            self.say(f"memory: {name}")
            data_config = task.config.data.model_copy(update={"workers": 0})
            task = replace(task, config=task.config.model_copy(update={"data": data_config}))
            task = replace(task, steps=_MEMORY_STEPS, seconds=0.0, rehearse=True)
            with TrainContestant(name, task) as contestant:
                contestant.round()
                peak = contestant.peak()
                rows.append(MemoryRow(name, peak.resident_mb, peak.growth_mb, peak.cuda_mb))
        return tuple(rows), width

    def reading(self) -> tuple[ReadRow, ...]:
        """Speeds of reading."""
        settings, effort = self.settings, self.settings.effort
        ways: list[tuple[str, ReadMeans | None]] = [(BASELINE, ReadMeans())]
        if self.chosen.config.model.HEAD == "autoregressive":
            ways.append(("cached decoding", ReadMeans(cached=True)))
        ways.append(("batches of one width", ReadMeans(batched=True)))
        if (best := good_precisions(choose_device(settings.device))[-1]) != "fp32":
            ways.append((best, ReadMeans(amp=True)))
        ways.append((ALL_ON, None))
        with ExitStack() as stack:
            contestants = []
            for name, means in ways:
                self.say(f"loading {name}, reading")
                task = ReadTask(
                    settings.model, self.raw, effort.read_lines, means, settings.device, settings.threads
                )
                contestants.append(stack.enter_context(ReadContestant(name, task)))
                contestants[-1].read()  # chooses kernels
            passes: list[list[tuple[float, float]]] = [[] for _ in contestants]
            for number in range(1, effort.rounds + 1):
                self.say(f"reading, round {number} of {effort.rounds}")
                for contestant, own in zip(contestants, passes, strict=True):
                    read = contestant.read()
                    count = len(read.texts)
                    own.append((count / read.seconds, 1000 * read.cpu_s / count))
        rates = [spread([rate for rate, _ in own]) for own in passes]
        return tuple(
            ReadRow(way[0], rate, rate.median / rates[0].median, spread([cpu for _, cpu in own]).median)
            for way, rate, own in zip(ways, rates, passes, strict=True)
        )

    def accuracy(self) -> tuple[Trained, Trained] | None:
        """Two trainings on the same lines, in as many steps of as many lines, from the same seed."""
        settings = self.settings
        if settings.valid is None:
            return None
        trained = []
        for name, data, means in ((BASELINE, self.raw, Means()), (ALL_ON, self.small, None)):
            self.say(f"accuracy: {name}, {settings.steps} steps")
            config = self._config(data, settings.effort.batch_lines)
            parts = {
                "train": config.train.model_copy(update={"max_steps": settings.steps}),
                "schedule": config.schedule.model_copy(
                    update={"name": "onecycle", "onecycle_peak_share": 0.1}
                ),
            }
            task = self._task(config.model_copy(update=parts), means, valid=settings.valid)
            with TrainContestant(name, task) as contestant:
                trained.append(contestant.train())
        return trained[0], trained[1]


def _gpu_share(contestant: TrainContestant) -> float:
    with GpuWatch() as watch:
        contestant.round()
    return watch.share
