"""A recogniser in a process of its own, so that its peak memory is its own, and rounds can alternate."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from vocr_cli.core.inference.sources import LineInput

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
    """Peak memory of the process; None: not known, or no GPU."""

    resident_mb: float | None
    cuda_mb: float | None


class Contestant:
    """Starts the process and talks to it; each call waits for its answer.

    Raises:
        VocrError: The model cannot be loaded, or a line cannot be read.
    """

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, task), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.facts: Facts = self._answer()
        except BaseException:
            self.close()
            raise

    def read(self) -> Pass:
        """Reads all lines once."""
        return self._ask("read")

    def latencies(self) -> list[float]:
        """Milliseconds from file to text of single lines, at most `LATENCY_LINES` of them."""
        return self._ask("latencies")

    def peak(self) -> Peak:
        """Peak memory so far."""
        return self._ask("peak")

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, question: str) -> Any:
        self._pipe.send(question)
        return self._answer()

    def _answer(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _serve(pipe: Connection, task: Task) -> None:
    """The process: answers until the other end hangs up."""
    try:
        reader = _Reader(task)
        pipe.send(reader.facts)
        while True:
            pipe.send(getattr(reader, pipe.recv())())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:
        pipe.send(error)


class _Reader:
    """The recogniser and its lines, within the process."""

    def __init__(self, task: Task) -> None:

        from vocr_cli.core.data.images import fit_line
        from vocr_cli.core.inference.recognizer import Recognizer

        recognizer = Recognizer.load(
            task.model, task.device, task.precision, task.threads, config=task.config
        )
        if task.batch_pixels:
            recognizer.batch_pixels = task.batch_pixels
        self._recognizer = recognizer
        self._task = task
        lines = [fit_line(line.load()[1], recognizer.image) for line in task.lines]
        widths = [line.shape[1] for line in lines]
        self._batches = [[lines[place] for place in batch] for batch in recognizer.batches(widths)]
        mean_width = sum(widths) / len(widths)
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
        results = list(read_all(self._recognizer, self._task.lines, workers=self._task.threads - 1))
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
