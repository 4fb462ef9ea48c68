"""`vocr bench data`: what lies between a database and the trainer, part by part. N lines."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from vocr_cli import __version__
from vocr_cli.core.bench.contestants.process import Remote
from vocr_cli.core.bench.inputs import choose_candidate, stored_bytes
from vocr_cli.core.bench.measure import (
    Machine,
    Spread,
    describe_machine,
    peak_memory_mb,
    pinned,
    spread,
)
from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig
from vocr_cli.core.data.loader.dataset import Batch, StoredSource
from vocr_cli.core.data.loader.lines import holds_annotations
from vocr_cli.core.data.loader.order import START_POSITION, Request
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.errors import DataError
from vocr_cli.core.training.sources import open_run_lines

Say = Callable[[str], None]

_AHEAD = 16
"""Batches taken before the clock starts: those that workers made while another had its turn."""


@dataclass(frozen=True)
class DataSettings:
    """What `bench_data` measures.

    Attributes:
        model: Its image settings and batches are those of the run.
        data: A database.
        scaled: The same lines pre-scaled by `vocr build-lmdb --fit`, measured in turns with it; or None.
        workers: Processes of the loader.
        threads: Processors for all of it.
        lines: Lines of a pass, at most.
        rounds: Passes that count.
        cache_mb: Of the loader with a cache, filled by a pass before those that count.
    """

    model: str
    data: Path
    scaled: Path | None = None
    workers: int = 1
    threads: int = 1
    lines: int = 2000
    rounds: int = 3
    cache_mb: int = 1000


@dataclass(frozen=True)
class DataRow:
    """One database.

    Attributes:
        name: Its path.
        lines: N.
        indexed: Whether it carries the record that opening rests on.
        open_lines_per_s: N over the seconds in which a run opens it, its charset and sizes checked.
        plan_lines_per_s: N over the seconds in which an epoch is planned.
        decode_lines_per_s: From records to padded batches, in one process.
        loader_lines_per_s: From the real loader with its workers.
        cached_lines_per_s: The same, its lines in the cache of decoded lines.
        epoch_mb: Images, labels and paths of an epoch.
        epoch_disk_mb: Read from the disk for an epoch of a file not in memory; None: not known.
        peak_mb: Largest resident size of the measuring process, its workers left out.
    """

    name: str
    lines: int
    indexed: bool
    open_lines_per_s: Spread
    plan_lines_per_s: Spread
    decode_lines_per_s: Spread
    loader_lines_per_s: Spread
    cached_lines_per_s: Spread
    epoch_mb: float
    epoch_disk_mb: float | None
    peak_mb: float | None


@dataclass(frozen=True)
class DataReport:
    """All of `vocr bench data`."""

    vocr: str
    machine: Machine
    model: str
    workers: int
    threads: int
    pinned: bool
    rounds: int
    pass_lines: int
    mean_width_px: float
    rows: tuple[DataRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for `json.dump`."""
        return asdict(self)


@dataclass(frozen=True)
class DataTask:
    """A database, and the settings of the run that reads it."""

    config: Config
    path: Path
    lines: int
    cache_mb: int


@dataclass(frozen=True)
class DataFacts:
    """A database as its run sees it: N, whether it is indexed, mean W of its lines at model height."""

    lines: int
    indexed: bool
    mean_width_px: float


@dataclass(frozen=True)
class DataRound:
    """Lines/s of each part in one round; see `DataRow`."""

    open: float
    plan: float
    decode: float
    loader: float
    cached: float


class DataContestant(Remote):
    """The process that reads one database.

    Raises:
        VocrError: It cannot be read.
    """

    def __init__(self, task: DataTask) -> None:
        self.name = str(task.path)
        super().__init__(_Reading, task)

    def round(self) -> DataRound:
        """Each part once."""
        return cast(DataRound, self.ask("round"))

    def peak(self) -> float | None:
        """Peak memory so far in MB."""
        return cast("float | None", self.ask("peak"))


def bench_data(settings: DataSettings, on_step: Say = lambda step: None) -> DataReport:
    """Opens, plans, decodes and loads, in rounds, databases in alternation, each in a process of its own.

    Each has a round of warm-up. Augmentation is not part of it: it is done where the model trains.

    Args:
        settings: What to measure.
        on_step: Told what is being done.

    Raises:
        DataError: A database is missing, damaged, or is none.
        VocrError: There is no such model.
    """
    config = choose_candidate(settings.model).config
    paths = [path for path in (settings.data, settings.scaled) if path is not None]
    for path in paths:
        if holds_annotations(path):
            raise DataError(
                f"{path} is no database.", f"Build one: `vocr build-lmdb {path} OUT`, then --data OUT."
            )
    with ExitStack() as stack:
        held = stack.enter_context(pinned(settings.threads))
        contestants = []
        for path in paths:
            on_step(f"opening {path}")
            task = DataTask(_run_of(config, path, settings.workers), path, settings.lines, settings.cache_mb)
            contestants.append(stack.enter_context(DataContestant(task)))
        rounds: list[list[DataRound]] = [[] for _ in contestants]
        for number in range(settings.rounds + 1):
            on_step(f"round {number} of {settings.rounds}" if number else "warming up")
            for contestant, found in zip(contestants, rounds, strict=True):
                measured = contestant.round()
                if number:
                    found.append(measured)
        peaks = [contestant.peak() for contestant in contestants]
    on_step("counting bytes")
    rows = [
        _row(contestant, path, found, peak)
        for contestant, path, found, peak in zip(contestants, paths, rounds, peaks, strict=True)
    ]
    facts: DataFacts = contestants[0].facts
    return DataReport(
        __version__, describe_machine(), settings.model, settings.workers, settings.threads, held,
        settings.rounds, min(settings.lines, facts.lines), facts.mean_width_px, tuple(rows),
    )  # fmt: skip


def _run_of(config: Config, path: Path, workers: int) -> Config:
    """A run on one database; lines with unknown characters are left out."""
    parts = {
        "data": DataConfig(train=(SourceConfig(lmdb=path),), workers=workers),
        "charset": config.charset.model_copy(update={"unknown": "skip-line"}),
    }
    return config.model_copy(update=parts)


def _row(contestant: DataContestant, path: Path, rounds: list[DataRound], peak: float | None) -> DataRow:
    stored = stored_bytes(path)
    facts: DataFacts = contestant.facts

    def over_rounds(part: str) -> Spread:
        return spread([getattr(one, part) for one in rounds])

    return DataRow(
        contestant.name, facts.lines, facts.indexed, over_rounds("open"), over_rounds("plan"),
        over_rounds("decode"), over_rounds("loader"), over_rounds("cached"), stored.records / 1e6,
        None if stored.from_disk is None else stored.from_disk / 1e6, peak,
    )  # fmt: skip


class _Reading:
    """One database, within the process. The loaders live on, so that their workers start once."""

    def __init__(self, task: DataTask) -> None:
        torch.set_num_threads(1)
        self._task = task
        source = _opened(task.config)
        self._plain = source
        self._batches = _feed(source)
        data = task.config.data.model_copy(update={"cache_mb": task.cache_mb})
        cached = _opened(task.config.model_copy(update={"data": data}))
        self._cached = _feed(cached)
        self._warm = False
        indexed = bool(getattr(source.store, "indexed", False))
        self.facts = DataFacts(len(source.store), indexed, float(source.widths.mean()))

    def round(self) -> DataRound:
        began = time.perf_counter()
        source = _opened(self._task.config)
        opened = time.perf_counter()
        plan = source.plan(0)
        planned = time.perf_counter()
        lines = 0
        for numbers in plan:
            lines += len(source.fetch(Request(numbers, START_POSITION)).texts)
            if lines >= self._task.lines:
                break
        decoded = time.perf_counter()
        if not self._warm:  # each line once, so that the cache holds it
            _rate(self._cached, len(self._plain))
            self._warm = True
        count = len(source)
        return DataRound(
            count / (opened - began),
            count / (planned - opened),
            lines / (decoded - planned),
            _rate(self._batches, self._task.lines),
            _rate(self._cached, self._task.lines),
        )

    def peak(self) -> float | None:
        return peak_memory_mb()


def _opened(config: Config) -> StoredSource:
    (source,) = open_run_lines(config).train
    assert isinstance(source, StoredSource)
    return source


def _feed(source: StoredSource) -> Iterator[Batch]:
    return BatchStream([source], [1.0], [START_POSITION]).batches(source.config.data.workers, False)


def _rate(batches: Iterator[Batch], lines: int) -> float:
    """Lines/s, behind the batches made ahead while no one took them."""
    for _ in itertools.islice(batches, _AHEAD):
        pass
    began, seen = time.perf_counter(), 0
    while seen < lines:
        seen += len(next(batches).texts)
    return seen / (time.perf_counter() - began)
