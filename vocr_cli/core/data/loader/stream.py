"""The batches of all sources in the order of steps, made ahead by workers."""

from __future__ import annotations

import os
import signal
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.buckets import Buckets
from vocr_cli.core.data.loader.dataset import RenderedSource, StoredSource
from vocr_cli.core.data.loader.order import Request, SourcePosition, schedule
from vocr_cli.core.data.loader.sample import Sample
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.machine.processes import end_with_parent

Source = StoredSource | RenderedSource

_AHEAD_PER_WORKER = 4

# The loader warns of more workers than processors; who asks for them is told in our own words.
warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.utils\.data")


class BatchStream:
    """Batches of all sources, mixed so that each gives its fraction of the lines.

    Which source a step takes, and which lines, depends on the arguments alone: workers only make batches
    ahead. Where several sources are mixed, the fractions are held by the mean number of lines in their
    batches, so those of rendered sources, judged by a few of their lines, may be off by some percent.

    Args:
        sources: The opened sources.
        weights: The weight of each in the lines.
        positions: How far each has been read; see `Batch.position`.
        rank: Which of the processes that train together this is.
        world: Number of these. All take the same source at a step, and another batch of it each.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        weights: Sequence[float],
        positions: Sequence[SourcePosition],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.sources, self.positions, self.rank, self.world = sources, list(positions), rank, world
        self._sizes = [source.lines_per_batch() for source in sources] if len(sources) > 1 else [1.0]
        self._step_weights = [weight / size for weight, size in zip(weights, self._sizes, strict=True)]
        self._owed = [0.0] * len(sources)
        """Batches asked for, beyond those of the steps so far looked at."""

    def batches(self, workers: int, pin_memory: bool) -> Iterator[Batch]:
        """Batches from the positions on, without end.

        Args:
            workers: How many processes make them; 0: this one does.
            pin_memory: Whether they lie in page-locked memory, for copies to a GPU.

        Raises:
            DataError: No line of a source can be read, or memory is short for making batches.
        """
        loaded = iter(
            DataLoader(
                _RequestDataset(self.sources),
                sampler=_RequestSampler(self._requests()),
                batch_size=None,
                num_workers=workers,
                collate_fn=_without_collation,
                worker_init_fn=_begin_worker,
                prefetch_factor=_AHEAD_PER_WORKER if workers else None,
                pin_memory=pin_memory,
                generator=torch.Generator(),  # else it would draw from the trainer's
            )
        )
        buckets = [Buckets(source.config) for source in self.sources]
        ready: list[deque[Batch]] = [deque() for _ in self.sources]
        taken = [position.taken for position in self.positions]
        for source in schedule(self._step_weights, taken):
            while not ready[source]:
                number, request, result = next(loaded)
                if isinstance(result, VocrError):
                    raise result
                if not isinstance(result, Batch):
                    filled = buckets[number].add(request, result)
                    self._owed[number] += len(filled) - self._expected(number, request)
                    ready[number].extend(batch.pin_memory() if pin_memory else batch for batch in filled)
                else:
                    ready[number].append(result)
            batch = ready[source].popleft()
            taken[source] += 1
            yield replace(batch, source=source, position=batch.position._replace(taken=taken[source]))

    def _requests(self) -> Iterator[tuple[int, Request]]:
        """What the workers shall make, somewhat before the steps need it."""
        coming = [
            source.requests(position, self.rank, self.world)
            for source, position in zip(self.sources, self.positions, strict=True)
        ]
        for source in schedule(self._step_weights, [position.taken for position in self.positions]):
            self._owed[source] -= 1
            while self._owed[source] < 0:
                request = next(coming[source])
                self._owed[source] += self._expected(source, request)
                yield source, request

    def _expected(self, source: int, request: Request) -> float:
        """Batches that a request is thought to give."""
        if isinstance(self.sources[source], StoredSource):
            return 1.0
        return 0.0 if request.again else len(request.numbers) / self._sizes[source]


class _RequestSampler:
    """What the loader asks its workers for, in the form of a sampler."""

    def __init__(self, requests: Iterator[tuple[int, Request]]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[tuple[int, Request]]:
        return self._requests


class _RequestDataset(Dataset[tuple[int, Request, "Batch | list[Sample] | VocrError"]]):
    """Turns requests into what they ask for, in the workers.

    An error is passed on as it is: torch would raise it anew with the worker's traceback for its text.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def __getitem__(self, item: tuple[int, Request]) -> tuple[int, Request, Batch | list[Sample] | VocrError]:
        source, request = item
        try:
            return source, request, self._sources[source].fetch(request)
        except VocrError as error:
            return source, request, error
        except MemoryError:
            problem = f"Memory is short for making a batch of {len(request.numbers):,} lines."
            return source, request, DataError(problem, "Lower data.workers or batch.pixels.")


def _begin_worker(_: int) -> None:
    """Signals are the trainer's to handle; a worker needs no threads of its own and yields to the trainer.

    In a group of its own, it misses those that a terminal, torchrun or a job scheduler sends to all of a
    group, and lives until the trainer has saved; it ends with the trainer, even one that is killed. On a
    CPU, a worker that takes a core from one of the trainer's threads makes all of them wait.
    """
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    torch.set_num_threads(1)


def _without_collation(result: Any) -> Any:
    return result
