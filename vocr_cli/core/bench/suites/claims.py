"""`vocr bench claims`: what the project promises, measured against VietOCR's way in one run."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vocr_cli.core.bench.contestants.trainer import TrainingResult
from vocr_cli.core.bench.contestants.vietocr_settings import BASELINE_SETTINGS, BaselineSetting
from vocr_cli.core.bench.inputs import (
    BenchLines,
    StoredBytes,
    as_database,
    choose_model,
    prescaled_copy,
    stored_bytes,
    training_lines,
)
from vocr_cli.core.bench.measure import QUICK_BUDGET, OnMessage, TrainingBenchReport, bench_setup
from vocr_cli.core.bench.suites.claims_measurements import ClaimMeasurements, MemoryRow, ReadRow
from vocr_cli.core.bench.suites.claims_ways import (
    ALL_ON,
    BASELINE,
    LEAN,
    UNASSISTED,
    ClaimSettings,
    ClaimWays,
)
from vocr_cli.core.bench.suites.disk import DiskReport
from vocr_cli.core.bench.suites.promises import AccuracyTest, Figures, Promise, judge
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
        disk: The same pixels in different encodings.
        accuracy: Trainings to the end, VietOCR's way and all on; None: not measured.
        accuracy_test: What both read, held against each other; None: not measured.
        gpu_shares: Fraction of the time in which the GPU ran anything, the same two; None: no GPU, or it does
            not tell.
        against: Which of VietOCR's ways the training promises are held against: the faster.
        left_out: Ways to train that memory was short for.
        baseline_settings: VietOCR's settings, with file and line, beside the baseline's.
    """

    promises: tuple[Promise, ...]
    training: tuple[TrainRow, ...]
    memory: tuple[MemoryRow, ...]
    memory_lines: int
    memory_width_px: int
    reading: tuple[ReadRow, ...]
    stored: tuple[StoredBytes, StoredBytes]
    disk: DiskReport
    accuracy: tuple[TrainingResult, TrainingResult] | None
    accuracy_test: AccuracyTest | None
    gpu_shares: tuple[float | None, float | None] | None
    against: str
    left_out: tuple[str, ...]
    baseline_settings: tuple[BaselineSetting, ...] = BASELINE_SETTINGS


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
        measurements, data = _gather(settings, folder, on_message)
        training, width_px, left_out = measurements.training()
        memory, memory_width_px = measurements.memory()
        reading = measurements.reading()
        on_message("counting bytes")
        stored = (stored_bytes(measurements.raw), stored_bytes(measurements.prescaled))
        disk = measurements.disk()
        accuracy = measurements.accuracy(width_px)
    rows = {row.name: row for row in training}
    theirs = [rows[name] for name in (BASELINE, UNASSISTED) if name in rows]
    against = max(theirs, key=lambda row: row.lines_per_s.median)
    peaks = {row.name: row.shown_mb for row in memory}
    figures = Figures(
        training=(against, rows[ALL_ON], rows[LEAN]),
        memory_mb=(peaks[BASELINE], peaks[ALL_ON], peaks[LEAN]),
        reading_lines_per_s=(reading[0].lines_per_s.median, reading[-1].lines_per_s.median),
        disk=disk,
        accuracy=accuracy and accuracy[0],
        on_gpu=setup.device != "cpu",
    )
    shares = (against.gpu_share, rows[ALL_ON].gpu_share)
    return ClaimsReport(
        setup=setup,
        data=data,
        mean_width_px=width_px,
        budget=settings.budget,
        promises=judge(figures, trial=settings.budget == QUICK_BUDGET),
        training=training,
        memory=memory,
        memory_lines=settings.budget.batch_lines,
        memory_width_px=memory_width_px,
        reading=reading,
        stored=stored,
        disk=disk,
        accuracy=accuracy and accuracy[1],
        accuracy_test=accuracy and accuracy[0],
        gpu_shares=shares if setup.device == "cuda" else None,
        against=against.name,
        left_out=left_out,
    )


def _gather(settings: ClaimSettings, folder: Path, on_message: OnMessage) -> tuple[ClaimMeasurements, str]:
    """Makes the databases that are measured on; returns what their lines are called, too."""
    on_message("gathering lines")
    choice = choose_model(settings.model)
    lines = _training_lines(settings, choice.config, folder)
    measurements = ClaimMeasurements(
        ways=ClaimWays(settings=settings, choice=choice),
        raw=lines.path,
        prescaled=prescaled_copy(lines.path, choice.config, folder),
        folder=folder,
        on_message=on_message,
    )
    return measurements, lines.name


def _with_valid(settings: ClaimSettings, folder: Path) -> ClaimSettings:
    """Opens the validation lines, used last: what is wrong shows before minutes of measuring."""
    if settings.valid is None:
        return settings
    labels = replace(settings.labels, split="", usual_splits=("validation",))
    valid = as_database(settings.valid, folder / "valid", labels)
    open_lines(valid)
    return replace(settings, valid=valid)


def _training_lines(settings: ClaimSettings, config: Config, folder: Path) -> BenchLines:
    labels = replace(settings.labels, usual_splits=("train",))
    return training_lines(settings.data, config, settings.budget.rendered_lines, folder, labels=labels)
