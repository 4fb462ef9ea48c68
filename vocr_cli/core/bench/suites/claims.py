"""`vocr bench claims`: what the project promises, measured against VietOCR's way in one run."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vocr_cli.core.bench.contestants.trainer import TrainingResult
from vocr_cli.core.bench.inputs import (
    BenchLines,
    StoredBytes,
    as_database,
    choose_model,
    prescaled_copy,
    stored_bytes,
    training_lines,
)
from vocr_cli.core.bench.measure import OnMessage, TrainingBenchReport, bench_setup
from vocr_cli.core.bench.suites.claims_measurements import (
    LEAN,
    ClaimMeasurements,
    ClaimSettings,
    MemoryRow,
    ReadRow,
)
from vocr_cli.core.bench.suites.promises import Promise, judge
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.lines import open_lines


@dataclass(frozen=True, kw_only=True)
class ClaimsReport(TrainingBenchReport):
    """All of `vocr bench claims`.

    Attributes:
        promises: Each with its verdict.
        training: Speeds of training.
        memory: Peaks of training at equal batches.
        memory_lines: Lines of the equal batches, each `memory_width_px` wide.
        memory_width_px: Their width.
        reading: Speeds of reading.
        stored: Bytes of an epoch, raw and pre-scaled.
        accuracy: Trainings to the end, VietOCR's way and all on; None: not measured.
        gpu_shares: Fraction of the time in which the GPU ran anything, the same two; None: no GPU.
    """

    promises: tuple[Promise, ...]
    training: tuple[TrainRow, ...]
    memory: tuple[MemoryRow, ...]
    memory_lines: int
    memory_width_px: int
    reading: tuple[ReadRow, ...]
    stored: tuple[StoredBytes, StoredBytes]
    accuracy: tuple[TrainingResult, TrainingResult] | None
    gpu_shares: tuple[float, float] | None


def bench_claims(settings: ClaimSettings, on_message: OnMessage = lambda message: None) -> ClaimsReport:
    """Measure each promise; see `bench_train` for rounds.

    Args:
        settings: What to measure.
        on_message: Called with what is being done.

    Raises:
        VocrError: Model or data cannot be used, or no width has lines enough for VietOCR's batches.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = _with_valid(settings, folder)
        setup = stack.enter_context(bench_setup(settings.model, settings.device, settings.threads))
        on_message("gathering lines")
        choice = choose_model(settings.model)
        lines = _training_lines(settings, choice.config, folder)
        measurements = ClaimMeasurements(
            settings=settings,
            choice=choice,
            raw=lines.path,
            prescaled=prescaled_copy(lines.path, choice.config, folder),
            folder=folder,
            on_message=on_message,
        )
        training, width_px, gpu_utilization = measurements.training()
        memory, memory_width_px = measurements.memory()
        reading = measurements.reading()
        on_message("counting bytes")
        stored = (stored_bytes(measurements.raw), stored_bytes(measurements.prescaled))
        accuracy = measurements.accuracy()
    promises = judge(
        baseline=training[0],
        all_on=training[-1],
        memory_mb=(memory[0].shown_mb, next(row.shown_mb for row in memory if row.name == LEAN)),
        reading_lines_per_s=(reading[0].lines_per_s.median, reading[-1].lines_per_s.median),
        stored=stored,
        cers=accuracy and (accuracy[0].cer, accuracy[1].cer),
        gpu_utilization=gpu_utilization,
    )
    return ClaimsReport(
        setup=setup,
        data=lines.name,
        mean_width_px=width_px,
        budget=settings.budget,
        promises=promises,
        training=training,
        memory=memory,
        memory_lines=settings.budget.batch_lines,
        memory_width_px=memory_width_px,
        reading=reading,
        stored=stored,
        accuracy=accuracy,
        gpu_shares=gpu_utilization,
    )


def _with_valid(settings: ClaimSettings, folder: Path) -> ClaimSettings:
    """Open the validation lines, used last: what is wrong shows before minutes of measuring."""
    if settings.valid is None:
        return settings
    labels = replace(settings.labels, split="", usual_splits=("validation",))
    valid = as_database(settings.valid, folder / "valid", labels)
    open_lines(valid)
    return replace(settings, valid=valid)


def _training_lines(settings: ClaimSettings, config: Config, folder: Path) -> BenchLines:
    labels = replace(settings.labels, usual_splits=("train",))
    return training_lines(settings.data, config, settings.budget.rendered_lines, folder, labels=labels)
