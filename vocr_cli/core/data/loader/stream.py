"""The batches of all sources in the order of steps, made ahead by workers."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from vocr_cli.core.data.loader.buckets import Buckets
from vocr_cli.core.data.loader.dataset import Batch, RenderedSource, Sample, StoredSource
from vocr_cli.core.data.loader.order import Place, Request, schedule

Source = StoredSource | RenderedSource

_AHEAD_PER_WORKER = 4


class BatchStream:
    """Batches of all sources, mixed so that each gives its share of the lines.

    Which source a step takes, and which lines, depends on the arguments alone: workers only make batches
    ahead. Where several sources are mixed, shares are held by the mean number of lines in their batches, so
    the lines of rendered sources, judged by a few of them, may miss their share by some percent.

    Args:
        sources: The opened sources.
        weights: Their shares of the lines.
        places: Where each stands; see `Batch.place`.
        rank: Which of the processes that train together this is.
        world: Number of these. All take the same source at a step, and another batch of it each.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        weights: Sequence[float],
        places: Sequence[Place],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.sources, self.places, self.rank, self.world = sources, list(places), rank, world
        self._sizes = [source.lines_per_batch() for source in sources] if len(sources) > 1 else [1.0]
        self._shares = [weight / size for weight, size in zip(weights, self._sizes, strict=True)]
        self._owed = [0.0] * len(sources)
        """Batches asked for, beyond those of the steps so far looked at."""

    def batches(self, workers: int, pin_memory: bool) -> Iterator[Batch]:
        """Batches from the places on, without end.

        Args:
            workers: Processes that make them; 0: this one does.
            pin_memory: For copies to a GPU.
        """
        made = iter(
            DataLoader(
                _Made(self.sources),
                sampler=_Requests(self._requests()),
                batch_size=None,
                num_workers=workers,
                collate_fn=_same,
                worker_init_fn=_quiet_worker,
                prefetch_factor=_AHEAD_PER_WORKER if workers else None,
                pin_memory=pin_memory,
                generator=torch.Generator(),  # else it would draw from the trainer's
            )
        )
        buckets = [Buckets(source.config) for source in self.sources]
        ready: list[deque[Batch]] = [deque() for _ in self.sources]
        taken = [place.taken for place in self.places]
        for source in schedule(self._shares, taken):
            while not ready[source]:
                number, request, found = next(made)
                if not isinstance(found, Batch):
                    filled = buckets[number].filled(request, found)
                    self._owed[number] += len(filled) - self._expected(number, request)
                    ready[number].extend(batch.pin_memory() if pin_memory else batch for batch in filled)
                else:
                    ready[number].append(found)
            batch = ready[source].popleft()
            taken[source] += 1
            yield replace(batch, source=source, place=batch.place._replace(taken=taken[source]))

    def _requests(self) -> Iterator[tuple[int, Request]]:
        """What is to be made, somewhat before the steps need it."""
        coming = [
            source.requests(place, self.rank, self.world)
            for source, place in zip(self.sources, self.places, strict=True)
        ]
        for source in schedule(self._shares, [place.taken for place in self.places]):
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


class _Requests:
    """A sampler: what the loader asks its workers for."""

    def __init__(self, requests: Iterator[tuple[int, Request]]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[tuple[int, Request]]:
        return self._requests


class _Made(Dataset[tuple[int, Request, "Batch | list[Sample]"]]):
    """Requests to what they ask for, in the workers."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def __getitem__(self, asked: tuple[int, Request]) -> tuple[int, Request, Batch | list[Sample]]:
        source, request = asked
        return source, request, self._sources[source].made(request)


def _quiet_worker(_: int) -> None:
    """Signals are the trainer's to handle; a worker needs no threads of its own and yields to the trainer.

    In a group of its own, it misses those that a terminal, torchrun or a job scheduler sends to all of a
    group, and lives until the trainer has saved. On a CPU, a worker that takes a core from one of the
    trainer's threads makes all of them wait.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    torch.set_num_threads(1)


def _same(made: Any) -> Any:
    return made
