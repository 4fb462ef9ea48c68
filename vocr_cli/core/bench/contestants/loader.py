"""The way from a database to batches, measured in a process to itself. N lines, B of a batch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch

from vocr_cli.core.bench.contestants.process import MeasuredProcess
from vocr_cli.core.bench.measure import peak_memory_mb
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.dataset import StoredSource
from vocr_cli.core.data.loader.order import START_POSITION, Request
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.training.sources import open_run_lines

_BATCHES_AHEAD = 16
"""Batches taken before the clock starts: those that workers made while another had its turn."""


@dataclass(frozen=True, kw_only=True)
class DataTask:
    """How a database is read.

    Attributes:
        config: Settings of the run that reads it.
        lines: Of a pass.
        cache_mb: Size of the cache of decoded lines.
    """

    config: Config
    lines: int
    cache_mb: int


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """A database as its run sees it: N, whether it is indexed, mean W at model height, B (mean), dtype."""

    lines: int
    indexed: bool
    mean_width_px: float
    batch_lines: float
    dtype: str


@dataclass(frozen=True, kw_only=True)
class DataRound:
    """Lines/s of each step from a database to batches, in one round; see `DataRow`."""

    open: float
    plan: float
    decode: float
    loader: float
    cached: float


class DataProcess(MeasuredProcess):
    """The process that reads one database.

    Raises:
        VocrError: It cannot be read.
    """

    facts: DataFacts

    def __init__(self, name: str, task: DataTask) -> None:
        super().__init__(_DataReader, task, name)

    def run_round(self) -> DataRound:
        """Open, plan, decode and load once."""
        return cast(DataRound, self.ask("run_round"))

    def peak(self) -> float | None:
        """Return peak memory so far in MB."""
        return cast("float | None", self.ask("peak"))


class _DataReader:
    """One database, within the process. The loaders live on, so that their workers start once."""

    def __init__(self, task: DataTask) -> None:
        torch.set_num_threads(1)
        self._task = task
        source = _open_source(task.config)
        self._plain = source
        self._batches = _load(source)
        data = task.config.data.model_copy(update={"cache_mb": task.cache_mb})
        self._cached_batches = _load(_open_source(task.config.model_copy(update={"data": data})))
        self._cache_is_full = False
        first = source.fetch(Request(source.plan(0)[0], START_POSITION))
        self.facts = DataFacts(
            lines=len(source.store),
            indexed=isinstance(source.store, LineStore) and source.store.has_index,
            mean_width_px=float(source.widths.mean()),
            batch_lines=source.lines_per_batch(),
            dtype=str(first.images.dtype).removeprefix("torch."),
        )

    def run_round(self) -> DataRound:
        began = time.perf_counter()
        source = _open_source(self._task.config)
        opened = time.perf_counter()
        plan = source.plan(0)
        planned = time.perf_counter()
        lines = 0
        for numbers in plan:
            lines += len(source.fetch(Request(numbers, START_POSITION)).texts)
            if lines >= self._task.lines:
                break
        decoded = time.perf_counter()
        if not self._cache_is_full:  # each line once, so that the cache holds it
            _lines_per_s(self._cached_batches, len(self._plain))
            self._cache_is_full = True
        count = len(source)
        return DataRound(
            open=count / (opened - began),
            plan=count / (planned - opened),
            decode=lines / (decoded - planned),
            loader=_lines_per_s(self._batches, self._task.lines),
            cached=_lines_per_s(self._cached_batches, self._task.lines),
        )

    def peak(self) -> float | None:
        return peak_memory_mb()


def _open_source(config: Config) -> StoredSource:
    (source,) = open_run_lines(config).train
    assert isinstance(source, StoredSource)
    return source


def _load(source: StoredSource) -> Iterator[Batch]:
    return BatchStream([source], [1.0], [START_POSITION]).batches(source.config.data.workers, False)


def _lines_per_s(batches: Iterator[Batch], lines: int) -> float:
    """Measure lines/s, behind the batches made ahead while no one took them."""
    for _ in itertools.islice(batches, _BATCHES_AHEAD):
        pass
    began, count = time.perf_counter(), 0
    while count < lines:
        count += len(next(batches).texts)
    return count / (time.perf_counter() - began)
