"""What the promises rest on: training, memory and reading in VietOCR's way, and optimized."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vocr_cli.core.bench.contestants.read_lines import read_lines, untrained_model
from vocr_cli.core.bench.contestants.reader import ReadingProcess, ReadingTask
from vocr_cli.core.bench.contestants.trainer import TrainingProcess, TrainingResult, TrainingTask
from vocr_cli.core.bench.contestants.vietocr_baseline import VIETOCR_WAY
from vocr_cli.core.bench.inputs import one_width
from vocr_cli.core.bench.measure import OnMessage, Spread, alternate, spread
from vocr_cli.core.bench.suites.claims_ways import ALL_ON, ALL_ON_BY_PIXELS, BASELINE, LEAN, ClaimWays
from vocr_cli.core.bench.suites.disk import DiskReport, measure_encodings
from vocr_cli.core.bench.suites.promises import AccuracyTest
from vocr_cli.core.bench.suites.train import TrainRow, mean_width, train_rows
from vocr_cli.core.data.loader.lines import open_lines
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.evaluation.paired import cer_difference
from vocr_cli.core.machine.out_of_memory import NotEnoughMemory

_MEMORY_STEPS = 2
_ENCODED_LINES = 4
"""Lines that encodings are compared on, over those that are read."""


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

    `cpu_s_per_1000` is None where the system does not tell.

    Attributes:
        dtype: Number format of the forward pass.
        lines: Lines of a round.
    """

    name: str
    lines_per_s: Spread
    ratio: float
    cpu_s_per_1000: float | None
    dtype: str
    lines: int


@dataclass(frozen=True, kw_only=True)
class ClaimMeasurements:
    """The measurements of one run, on databases of the same lines.

    Attributes:
        ways: The ways to compare.
        raw: The lines as they are.
        prescaled: The lines at the model's size.
        folder: Where databases are made.
        on_message: Called with what is being done.
    """

    ways: ClaimWays
    raw: Path
    prescaled: Path
    folder: Path
    on_message: OnMessage

    def training(self) -> tuple[tuple[TrainRow, ...], float, tuple[str, ...]]:
        """Return speeds, the lines' mean width in px, and which ways were left out for want of memory.

        "All on", with light recomputation or that of all, takes steps of as many lines as VietOCR's way:
        it is the configuration whose memory is measured. Batches by pixels, which a run has by default, are
        a row of their own.
        """
        ways, budget = self.ways, self.ways.settings.budget
        raw, prescaled = ways.config(self.raw, None), ways.config(self.prescaled, None)
        tasks = [(name, ways.task(raw, added)) for name, added in ways.each_alone()]
        tasks += [
            ("pre-scaled data", ways.task(prescaled, VIETOCR_WAY)),
            (ALL_ON_BY_PIXELS, ways.task(prescaled)),
            (LEAN, ways.task(ways.config(self.prescaled, budget.batch_lines, recompute=("all",)))),
            (ALL_ON, ways.task(ways.config(self.prescaled, budget.batch_lines, recompute=("light",)))),
        ]
        with ExitStack() as stack:
            processes, left_out = self._started(tasks, stack)
            rounds = alternate([process.run_round for process in processes], budget.rounds, self.on_message)
            width_px = mean_width(rounds)
            return train_rows(processes, rounds, width_px), width_px, left_out

    def _started(
        self, ways: Sequence[tuple[str, TrainingTask]], stack: ExitStack
    ) -> tuple[list[TrainingProcess], tuple[str, ...]]:
        """Starts and warms up a process for each way; one that memory is short for is left out.

        Raises:
            NotEnoughMemory: VietOCR's way, or everything on, does not fit.
        """
        processes, left_out = [], []
        for name, task in ways:
            self.on_message(f"warming up {name}")
            with ExitStack() as started:
                try:
                    process = started.enter_context(TrainingProcess(name, task))
                    process.run_round()  # chooses kernels
                except NotEnoughMemory as problem:
                    if name in (BASELINE, ALL_ON, LEAN):
                        raise
                    self.on_message(f"{name} is left out: {problem.problem}")
                    left_out.append(name)
                    continue
                stack.push(started.pop_all())
                processes.append(process)
        return processes, tuple(left_out)

    def memory(self) -> tuple[tuple[MemoryRow, ...], int]:
        """Return peaks at equal batches of lines of one width, process by process; and that width in px."""
        count = self.ways.settings.budget.batch_lines
        data, width_px = one_width(self.prescaled, self.ways.choice.config, 2 * count, self.folder)
        ways = [
            (name, self.ways.task(self.ways.config(data, count), added))
            for name, added in self.ways.each_alone()
            if not added.buckets and added.workers and not added.flushed
        ]
        ways.append((ALL_ON, self.ways.task(self.ways.config(data, count, recompute=("light",)))))
        ways.append((LEAN, self.ways.task(self.ways.config(data, count, recompute=("all",)))))
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
        settings, budget = self.ways.settings, self.ways.settings.budget
        with ExitStack() as stack:
            processes: list[ReadingProcess] = []
            for name, added in self.ways.ways_to_read():
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
            cpu_s = [1000 * one.cpu_s / len(one.texts) for one in its_passes if one.cpu_s is not None]
            rows.append(
                ReadRow(
                    name=process.name,
                    lines_per_s=rates,
                    ratio=rates.median / (rows[0].lines_per_s.median if rows else rates.median),
                    cpu_s_per_1000=spread(cpu_s).median if cpu_s else None,
                    dtype=process.facts.dtype,
                    lines=len(its_passes[0].texts),
                )
            )
        return tuple(rows)

    def disk(self) -> DiskReport:
        """Return what the same pixels take in different encodings, and how well they are read."""
        self.on_message("encoding lines")
        return measure_encodings(
            self.raw,
            replace(self.ways.choice.config.image, stretch=1.0),
            self.ways.choice.init or "vi-small",  # random weights read nothing
            lines=_ENCODED_LINES * self.ways.settings.budget.read_lines,
            threads=self.ways.settings.threads,
            folder=self.folder,
        )

    def accuracy(self, width_px: float) -> tuple[AccuracyTest, tuple[TrainingResult, TrainingResult]] | None:
        """Train twice in as many steps of as many lines, from the same seed; read new lines with both.

        Trained weights are started from where lines are given, which they may not know yet; rendered ones are
        what they were trained on, so that random weights learn these.

        Args:
            width_px: Mean width of the lines to train on.
        """
        settings, steps = self.ways.settings, self.ways.settings.budget.accuracy_steps
        if settings.valid is None:
            return None
        init = self.ways.choice.init if settings.data is not None else None
        self.on_message("accuracy: the start")
        start_model = untrained_model(self.ways.accuracy_config(self.raw, steps), init)
        start = read_lines(start_model, open_lines(settings.valid), settings.device, settings.threads)
        start_cer = score(start.labels, start.texts).cer
        of_init = None if init is None else start_cer.value
        tasks = {
            name: replace(
                self.ways.task(
                    self.ways.accuracy_config(data, steps, start_cer=of_init, width_px=width_px), added
                ),
                init=init,
                valid=settings.valid,
            )
            for name, data, added in (
                (BASELINE, self.raw, VIETOCR_WAY),
                (ALL_ON, self.prescaled, None),
            )
        }
        results, read = [], []
        for name, task in tasks.items():
            self.on_message(f"accuracy: {name}, {steps} steps")
            with TrainingProcess(name, task) as process:
                result, lines = process.train()
                results.append(result)
                read.append(lines)
        test = AccuracyTest(
            start=start_cer,
            cers=(results[0].cer, results[1].cer),
            difference=cer_difference(start.labels, read[0].texts, read[1].texts),
            lines=len(start.labels),
        )
        return test, (results[0], results[1])
