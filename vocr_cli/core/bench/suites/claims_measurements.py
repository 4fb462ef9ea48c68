"""What the promises rest on: training, memory and reading in VietOCR's way, and optimized."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vocr_cli.core.bench.contestants.reader import ReadingProcess, ReadingTask, ReadOptimizations
from vocr_cli.core.bench.contestants.trainer import TrainingProcess, TrainingResult, TrainingTask
from vocr_cli.core.bench.contestants.vietocr_baseline import Optimizations
from vocr_cli.core.bench.gpu import GpuUtilization
from vocr_cli.core.bench.inputs import ModelChoice, bench_config, one_width
from vocr_cli.core.bench.measure import BenchBudget, OnMessage, Spread, alternate, spread
from vocr_cli.core.bench.suites.train import TrainRow, alternate_training, mean_width, train_rows
from vocr_cli.core.config.tree import BatchConfig, Config
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions
from vocr_cli.core.machine.precision import choose_device, good_precisions

BASELINE, ALL_ON, LEAN = "VietOCR's way", "all on", "all on, recomputed"
_MEMORY_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class ClaimSettings:
    """What `bench_claims` measures.

    Attributes:
        model: As `choose_model` takes it.
        data: Labelled lines to train on and read; None: lines are rendered.
        valid: Lines for the accuracy; None: it is not measured.
        labels: How both are read, where they are no databases.
        device: auto, cpu or cuda.
        threads: Processors, for each side alike.
        budget: How much is measured.
    """

    model: str
    data: Path | None
    valid: Path | None
    labels: SourceOptions = AS_FOUND
    device: str
    threads: int
    budget: BenchBudget


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """Peak memory of training at equal batches, without workers: of the process, and of tensors on a GPU.

    Attributes:
        growth_mb: The process's less what it held before the model was built: all that is stored for the
            model, its gradients, optimizer, average and steps. Code and kernels are in memory before, as
            another training took a step there and was given up.
        dtype: Number format of the forward pass.
    """

    name: str
    peak_mb: float | None
    growth_mb: float | None
    peak_cuda_mb: float | None
    dtype: str

    @property
    def shown_mb(self) -> float | None:
        """The GPU's where there is one, else the growth: what training takes, not what Python does."""
        return self.growth_mb if self.peak_cuda_mb is None else self.peak_cuda_mb


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """One way to read: lines/s from stored bytes to text, over the first row, CPU seconds for 1,000 lines.

    Attributes:
        dtype: Number format of the forward pass.
        lines: Lines of a round.
    """

    name: str
    lines_per_s: Spread
    ratio: float
    cpu_s_per_1000: float
    dtype: str
    lines: int


@dataclass(frozen=True, kw_only=True)
class ClaimMeasurements:
    """The measurements of one run, on databases of the same lines.

    Attributes:
        settings: What to measure.
        choice: The model.
        raw: The lines as they are.
        prescaled: The lines at the model's size.
        folder: Where databases are made.
        on_message: Called with what is being done.
    """

    settings: ClaimSettings
    choice: ModelChoice
    raw: Path
    prescaled: Path
    folder: Path
    on_message: OnMessage

    @property
    def workers(self) -> int:
        """Workers of the loader where there are any."""
        return max(1, self.settings.threads - 1)

    def training(self) -> tuple[tuple[TrainRow, ...], float, tuple[float, float] | None]:
        """Return speeds, the lines' mean width in px, and the GPU's utilization without and with all."""
        raw, prescaled = self._config(self.raw, None), self._config(self.prescaled, None)
        ways = [(name, self._task(raw, added)) for name, added in self._each_alone()]
        ways += [("pre-scaled data", self._task(prescaled, Optimizations())), (ALL_ON, self._task(prescaled))]
        with ExitStack() as stack:
            processes = []
            for name, task in ways:
                self.on_message(f"loading {name}")
                processes.append(stack.enter_context(TrainingProcess(name, task)))
            rounds = alternate_training(processes, self.settings.budget.rounds, self.on_message)
            width_px = mean_width(rounds)
            utilization = None
            if choose_device(self.settings.device) == "cuda":
                utilization = _gpu_utilization(processes[0]), _gpu_utilization(processes[-1])
            return train_rows(processes, rounds, width_px), width_px, utilization

    def memory(self) -> tuple[tuple[MemoryRow, ...], int]:
        """Return peaks at equal batches of lines of one width, process by process; and that width in px."""
        count = self.settings.budget.batch_lines
        data, width_px = one_width(self.prescaled, self.choice.config, 2 * count, self.folder)
        ways = [
            (name, self._task(self._config(data, count), added))
            for name, added in self._each_alone()
            if not added.buckets and not added.workers and not added.flushed
        ]
        ways.append((ALL_ON, self._task(self._config(data, count))))
        ways.append((LEAN, self._task(self._config(data, count, recompute=("all",)))))
        rows = []
        for name, task in ways:
            self.on_message(f"memory: {name}")
            data_config = task.config.data.model_copy(update={"workers": 0})
            task = replace(task, config=task.config.model_copy(update={"data": data_config}))
            task = replace(task, steps=_MEMORY_STEPS, seconds=0.0, rehearse=True)
            with TrainingProcess(name, task) as process:
                process.run_round()
                peak = process.peak()
                rows.append(
                    MemoryRow(
                        name=name,
                        peak_mb=peak.resident_mb,
                        growth_mb=peak.growth_mb,
                        peak_cuda_mb=peak.cuda_mb,
                        dtype=process.facts.dtype,
                    )
                )
        return tuple(rows), width_px

    def reading(self) -> tuple[ReadRow, ...]:
        """Return speeds of reading."""
        settings, budget = self.settings, self.settings.budget
        with ExitStack() as stack:
            processes: list[ReadingProcess] = []
            for name, added in self._ways_to_read():
                self.on_message(f"loading {name}, reading")
                task = ReadingTask(
                    model=settings.model,
                    data=self.raw,
                    lines=budget.read_lines,
                    optimizations=added,
                    device=settings.device,
                    threads=settings.threads,
                )
                processes.append(stack.enter_context(ReadingProcess(name, task)))
                processes[-1].read()  # chooses kernels
            passes = alternate(
                [process.read for process in processes], budget.rounds, self.on_message, "reading, "
            )
        rows: list[ReadRow] = []
        for process, its_passes in zip(processes, passes, strict=True):
            rates = spread([len(one.texts) / one.seconds for one in its_passes])
            rows.append(
                ReadRow(
                    name=process.name,
                    lines_per_s=rates,
                    ratio=rates.median / (rows[0].lines_per_s.median if rows else rates.median),
                    cpu_s_per_1000=spread([1000 * one.cpu_s / len(one.texts) for one in its_passes]).median,
                    dtype=process.facts.dtype,
                    lines=len(its_passes[0].texts),
                )
            )
        return tuple(rows)

    def accuracy(self) -> tuple[TrainingResult, TrainingResult] | None:
        """Train twice on the same lines, in as many steps of as many lines, from the same seed."""
        settings, steps = self.settings, self.settings.budget.accuracy_steps
        if settings.valid is None:
            return None
        results = []
        for name, data, added in ((BASELINE, self.raw, Optimizations()), (ALL_ON, self.prescaled, None)):
            self.on_message(f"accuracy: {name}, {steps} steps")
            config = self._config(data, settings.budget.batch_lines)
            changes = {
                "train": config.train.model_copy(update={"max_steps": steps}),
                "schedule": config.schedule.model_copy(
                    update={"name": "onecycle", "onecycle_peak_share": 0.1}
                ),
            }
            task = self._task(config.model_copy(update=changes), added)
            with TrainingProcess(name, replace(task, valid=settings.valid)) as process:
                results.append(process.train())
        return results[0], results[1]

    def _task(self, config: Config, optimizations: Optimizations | None = None) -> TrainingTask:
        """Return a training in VietOCR's way with what is added to it; None: the real Trainer's."""
        settings, budget = self.settings, self.settings.budget
        return TrainingTask(
            config=config,
            optimizations=optimizations,
            lines=budget.batch_lines,
            init=self.choice.init,
            device=settings.device,
            threads=settings.threads,
            steps=budget.steps,
            seconds=budget.seconds,
        )

    def _config(self, data: Path, batch_lines: int | None, **precision: Any) -> Config:
        """Return a run in batches of a pixel budget, or of a number of lines whatever their width."""
        config = bench_config(self.choice.config, data, self.workers)
        batch = BatchConfig(bucket_px=config.batch.bucket_px)
        if batch_lines:
            pixels = max(1_000, batch_lines * config.image.height_px * config.image.max_width_px)
            batch = batch.model_copy(update={"max_lines": batch_lines, "pixels": pixels})
        changes = {"batch": batch, "precision": config.precision.model_copy(update=precision)}
        return config.model_copy(update=changes)

    def _each_alone(self) -> Iterator[tuple[str, Optimizations]]:
        """Yield VietOCR's way, and each optimization by itself, those that this hardware has."""
        yield BASELINE, Optimizations()
        device = choose_device(self.settings.device)
        if device == "cpu":
            yield "freed memory kept", Optimizations(kept_memory=True)
            yield "denormals flushed", Optimizations(flushed=True)
        if (best := good_precisions(device)[-1]) == "bf16":
            yield best, Optimizations(amp=True)
        yield "channels-last", Optimizations(channels_last=True)
        yield "batches by pixels", Optimizations(buckets=True)
        yield "SDPA", Optimizations(sdpa=True)
        yield "recomputation", Optimizations(recompute=True)
        yield f"{self.workers} worker(s)", Optimizations(workers=self.workers)

    def _ways_to_read(self) -> Iterator[tuple[str, ReadOptimizations | None]]:
        """Yield VietOCR's way, each optimization by itself, and (None) the real pipeline."""
        yield BASELINE, ReadOptimizations()
        if self.choice.config.model.HEAD == "autoregressive":
            yield "cached decoding", ReadOptimizations(cached=True)
        yield "batches of one width", ReadOptimizations(batched=True)
        if (best := good_precisions(choose_device(self.settings.device))[-1]) != "fp32":
            yield best, ReadOptimizations(amp=True)
        yield ALL_ON, None


def _gpu_utilization(process: TrainingProcess) -> float:
    with GpuUtilization() as utilization:
        process.run_round()
    return utilization.fraction
