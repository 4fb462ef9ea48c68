"""`vocr bench data`: what lies between a database and the trainer, part by part. N lines."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.bench.contestants.loader import DataProcess, DataRound, DataTask
from vocr_cli.core.bench.inputs import (
    BenchLines,
    as_database,
    choose_model,
    prescaled_copy,
    stored_bytes,
    training_lines,
)
from vocr_cli.core.bench.measure import BenchReport, OnMessage, Spread, alternate, bench_setup, spread
from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig
from vocr_cli.core.data.loader.lines import is_listed
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions
from vocr_cli.core.errors import DataError

_MOST_RENDERED = 640
"""Lines to render where no data are given, at most."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What `bench_data` measures.

    Attributes:
        model: As `choose_model` takes it; its image settings and batches are those of the run.
        data: Labelled lines; None: rendered ones, raw and pre-scaled.
        labels: How they are read, where they are no database.
        scaled: The same lines pre-scaled by `vocr build-lmdb --fit`, measured in turns with it; or None.
        workers: Processes of the loader.
        threads: Processors for all of it.
        lines: Lines of a pass, at most.
        rounds: Passes that count.
        cache_mb: Of the loader with a cache, filled by a pass before those that count.
    """

    model: str
    data: Path | None
    labels: SourceOptions = AS_FOUND
    scaled: Path | None = None
    workers: int = 1
    threads: int
    lines: int = 2000
    rounds: int = 3
    cache_mb: int = 1000


@dataclass(frozen=True, kw_only=True)
class DataRow:
    """One database.

    Attributes:
        name: Its path, or what rendered lines are called.
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


@dataclass(frozen=True, kw_only=True)
class DataReport(BenchReport):
    """All of `vocr bench data`.

    Attributes:
        workers: Processes of the loader.
        rounds: Rounds that count, after one of warm-up.
        pass_lines: Lines of a pass.
        mean_width_px: Mean width of the lines at model height.
        batch_pixels: Pixels of a batch, at most.
        batch_lines: Lines of a batch, mean.
        dtype: Number format of the batches.
        rows: One for each database.
    """

    workers: int
    rounds: int
    pass_lines: int
    mean_width_px: float
    batch_pixels: int
    batch_lines: float
    dtype: str
    rows: tuple[DataRow, ...]


def bench_data(settings: DataSettings, on_message: OnMessage = lambda message: None) -> DataReport:
    """Open, plan, decode and load, in rounds, databases in alternation, each in a process to itself.

    Each has a round of warm-up. Augmentation is not part of it: it is done where the model trains.

    Args:
        settings: What to measure.
        on_message: Called with what is being done.

    Raises:
        DataError: A database is missing, damaged, or is none.
        VocrError: There is no such model.
    """
    config = choose_model(settings.model).config
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        setup = stack.enter_context(bench_setup(settings.model, "cpu", settings.threads))
        databases = _databases(settings, config, folder, on_message)
        processes = []
        for database in databases:
            on_message(f"opening {database.name}")
            run = _run_config(config, database.path, settings.workers)
            task = DataTask(config=run, lines=settings.lines, cache_mb=settings.cache_mb)
            processes.append(stack.enter_context(DataProcess(database.name, task)))
        on_message("warming up")
        for process in processes:
            process.run_round()
        rounds = alternate([process.run_round for process in processes], settings.rounds, on_message)
        peaks = [process.peak() for process in processes]
        on_message("counting bytes")
        rows = [
            _row(process, database.path, its_rounds, peak)
            for process, database, its_rounds, peak in zip(processes, databases, rounds, peaks, strict=True)
        ]
    facts = processes[0].facts
    return DataReport(
        setup=setup,
        workers=settings.workers,
        rounds=settings.rounds,
        pass_lines=min(settings.lines, facts.lines),
        mean_width_px=facts.mean_width_px,
        batch_pixels=config.batch.pixels,
        batch_lines=facts.batch_lines,
        dtype=facts.dtype,
        rows=tuple(rows),
    )


def _databases(
    settings: DataSettings, config: Config, folder: Path, on_message: OnMessage
) -> list[BenchLines]:
    """Return what is measured: the databases that were named, or rendered lines, raw and pre-scaled."""
    if settings.scaled is not None and is_listed(settings.scaled):
        raise DataError(
            f"{settings.scaled} is no database.",
            f"Build one: `vocr build-lmdb {settings.scaled} OUT --fit MODEL`, then --scaled OUT.",
        )
    if settings.data is not None:
        on_message("gathering lines")
        raw_data = as_database(settings.data, folder / "raw", settings.labels)
        found = [(raw_data, settings.data), (settings.scaled, settings.scaled)]
        return [BenchLines(path, str(name)) for path, name in found if path is not None]
    on_message("gathering lines")
    raw = training_lines(None, config, min(settings.lines, _MOST_RENDERED), folder)
    scaled = settings.scaled or prescaled_copy(raw.path, config, folder)
    return [raw, BenchLines(scaled, str(settings.scaled or f"{raw.name}, pre-scaled"))]


def _run_config(config: Config, path: Path, workers: int) -> Config:
    """Return a run on one database; lines with unknown characters are left out."""
    changes = {
        "data": DataConfig(train=(SourceConfig(lmdb=path),), workers=workers),
        "charset": config.charset.model_copy(update={"unknown": "skip-line"}),
    }
    return config.model_copy(update=changes)


def _row(process: DataProcess, path: Path, rounds: list[DataRound], peak_mb: float | None) -> DataRow:
    stored = stored_bytes(path)
    return DataRow(
        name=process.name,
        lines=process.facts.lines,
        indexed=process.facts.indexed,
        open_lines_per_s=spread([one.open for one in rounds]),
        plan_lines_per_s=spread([one.plan for one in rounds]),
        decode_lines_per_s=spread([one.decode for one in rounds]),
        loader_lines_per_s=spread([one.loader for one in rounds]),
        cached_lines_per_s=spread([one.cached for one in rounds]),
        epoch_mb=stored.records / 1e6,
        epoch_disk_mb=None if stored.from_disk is None else stored.from_disk / 1e6,
        peak_mb=peak_mb,
    )
