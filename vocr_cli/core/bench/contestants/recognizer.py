"""A recogniser in a process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

from vocr_cli.core.bench.contestants.process import Remote
from vocr_cli.core.inference.inputs.sources import LineInput

LATENCY_LINES = 100


@dataclass(frozen=True)
class Task:
    """What a contestant reads, and how."""

    model: str
    config: str | None
    device: str
    precision: str
    threads: int
    batch_pixels: int | None
    lines: tuple[LineInput, ...]


@dataclass(frozen=True)
class Facts:
    """What a contestant found when it had loaded its model."""

    runtime: str
    device: str
    precision: str
    batch_pixels: int
    mean_width_px: float
    batches: int


@dataclass(frozen=True)
class Pass:
    """One pass over all lines: from files to text, and from fitted lines to text."""

    seconds: float
    model_seconds: float
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Peak:
    """Peak memory of the process, of tensors on a GPU, and what it grew by; None: not known, or no GPU."""

    resident_mb: float | None
    cuda_mb: float | None
    growth_mb: float | None = None


class Contestant(Remote):
    """The process of one recogniser.

    Raises:
        VocrError: The model cannot be loaded, or a line cannot be read.
    """

    facts: Facts

    def __init__(self, task: Task) -> None:
        super().__init__(_Reader, task)

    def read(self) -> Pass:
        """Reads all lines once."""
        return cast(Pass, self.ask("read"))

    def latencies(self) -> list[float]:
        """Milliseconds from file to text of single lines, at most `LATENCY_LINES` of them."""
        return cast(list[float], self.ask("latencies"))

    def peak(self) -> Peak:
        """Peak memory so far."""
        return cast(Peak, self.ask("peak"))


class _Reader:
    """The recogniser and its lines, within the process."""

    def __init__(self, task: Task) -> None:

        from vocr_cli.core.data.images.images import fit_line
        from vocr_cli.core.inference.recognizer import Recognizer
        from vocr_cli.core.machine.memory import freeze_loaded_objects

        recognizer = Recognizer.load(
            task.model,
            task.device,
            task.precision,
            task.threads,
            config=task.config,
            batch_pixels=task.batch_pixels,
        )
        self._recognizer = recognizer
        self._task = task
        lines = [fit_line(line.load()[1], recognizer.image) for line in task.lines]
        widths = [line.shape[1] for line in lines]
        self._batches = [[lines[place] for place in batch] for batch in recognizer.batches(widths)]
        mean_width = sum(widths) / len(widths)
        freeze_loaded_objects()
        engine = recognizer.engine
        self.facts = Facts(
            engine.runtime,
            engine.device,
            engine.precision,
            recognizer.batch_pixels,
            mean_width,
            len(self._batches),
        )

    def read(self) -> Pass:
        from vocr_cli.core.inference.pipeline import read_all

        began = time.perf_counter()
        ahead = None if self._task.threads > 1 else 0
        results = list(read_all(self._recognizer, self._task.lines, workers=ahead))
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        for future in [self._recognizer.start(batch) for batch in self._batches]:
            future.result()
        model_seconds = time.perf_counter() - began
        texts = tuple(result.reading.text if result.reading else "" for result in results)
        return Pass(seconds, model_seconds, texts)

    def latencies(self) -> list[float]:
        times = []
        for line in self._task.lines[:LATENCY_LINES]:
            began = time.perf_counter()
            self._recognizer.read([line.load()[1]])
            times.append((time.perf_counter() - began) * 1000)
        return times

    def peak(self) -> Peak:
        import torch

        from vocr_cli.core.bench.measure import peak_memory_mb

        on_gpu = self._recognizer.engine.device == "cuda"
        return Peak(peak_memory_mb(), torch.cuda.max_memory_allocated() / (1 << 20) if on_gpu else None)
