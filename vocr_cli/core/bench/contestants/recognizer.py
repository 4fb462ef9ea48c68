"""A recogniser in a process to itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing import active_children
from typing import cast

from vocr_cli.core.bench.contestants.process import MeasuredProcess
from vocr_cli.core.inference.backends.backend import RuntimeName
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.machine.precision import PrecisionName

LATENCY_LINES = 100


@dataclass(frozen=True, kw_only=True)
class RecognizerTask:
    """What a recogniser reads, and how."""

    model: str
    device: str
    precision: PrecisionName
    runtime: RuntimeName
    threads: int
    lines: tuple[LineInput, ...]


@dataclass(frozen=True, kw_only=True)
class RecognizerFacts:
    """What is known of a recogniser once it has loaded its model."""

    runtime: str
    device: str
    precision: PrecisionName
    backend_runtime: RuntimeName
    batch_pixels: int
    mean_width_px: float
    batches: int


@dataclass(frozen=True)
class ReadingPass:
    """One pass over all lines.

    Attributes:
        seconds: From files to text.
        model_seconds: From fitted lines to text.
        texts: One a line.
    """

    seconds: float
    model_seconds: float
    texts: tuple[str, ...]


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of the process, of tensors on a GPU, and what it grew by; None: not known, or no GPU."""

    resident_mb: float | None
    cuda_mb: float | None
    growth_mb: float | None = None


class RecognizerProcess(MeasuredProcess):
    """The process of one recogniser.

    Raises:
        VocrError: The model cannot be loaded, or a line cannot be read.
    """

    facts: RecognizerFacts

    def __init__(self, task: RecognizerTask) -> None:
        super().__init__(_Reader, task, f"{task.precision} {task.runtime}")

    def read(self) -> ReadingPass:
        """Read all lines once."""
        return cast(ReadingPass, self.ask("read"))

    def latencies(self) -> list[float]:
        """Return milliseconds from file to text of single lines, at most `LATENCY_LINES` of them."""
        return cast(list[float], self.ask("latencies"))

    def peak(self) -> PeakMemory:
        """Return peak memory so far."""
        return cast(PeakMemory, self.ask("peak"))


class _Reader:
    """The recogniser and its lines, within the process."""

    def __init__(self, task: RecognizerTask) -> None:
        from vocr_cli.core.data.images.fit import fit_line
        from vocr_cli.core.inference.recognizer import Recognizer
        from vocr_cli.core.inference.single_lines import WORTH_PROCESSES_LINES, reading_processes
        from vocr_cli.core.machine.memory import freeze_loaded_objects

        recognizer = Recognizer.load(
            task.model, task.device, task.precision, task.threads, runtime=task.runtime
        )
        self._recognizer = recognizer
        self._task = task
        lines = [fit_line(line.load()[1], recognizer.image) for line in task.lines]
        widths = [line.shape[1] for line in lines]
        self._batches = [[lines[index] for index in batch] for batch in recognizer.batches(widths)]
        freeze_loaded_objects()
        many = len(task.lines) >= WORTH_PROCESSES_LINES
        self._processes = reading_processes(recognizer, "Measure fewer threads.") if many else None
        self.facts = RecognizerFacts(
            runtime=recognizer.engine.runtime,
            device=recognizer.engine.device,
            precision=recognizer.engine.precision,
            backend_runtime=task.runtime,
            batch_pixels=recognizer.batch_pixels,
            mean_width_px=sum(widths) / len(widths),
            batches=len(self._batches),
        )

    def read(self) -> ReadingPass:
        from vocr_cli.core.inference.pipeline import read_all

        began = time.perf_counter()
        workers = None if self._task.threads > 1 else 0
        results = list(
            read_all(self._recognizer, self._task.lines, workers=workers, processes=self._processes)
        )
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        for future in [self._recognizer.start(batch) for batch in self._batches]:
            future.result()
        model_seconds = time.perf_counter() - began
        texts = tuple(result.reading.text if result.reading else "" for result in results)
        return ReadingPass(seconds, model_seconds, texts)

    def latencies(self) -> list[float]:
        times = []
        for line in self._task.lines[:LATENCY_LINES]:
            began = time.perf_counter()
            self._recognizer.read([line.load()[1]])
            times.append((time.perf_counter() - began) * 1000)
        return times

    def peak(self) -> PeakMemory:
        from vocr_cli.core.bench.measure import peak_memory_mb, private_memory_mb

        if self._recognizer.engine.device != "cuda":
            own = peak_memory_mb()
            return PeakMemory(own and own + sum(map(private_memory_mb, active_children())), None)
        import torch

        return PeakMemory(peak_memory_mb(), torch.cuda.max_memory_allocated() / (1 << 20))
