"""The ways to train and to read that claims compare: VietOCR's, one thing added at a time, and vocr's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vocr_cli.core.bench.contestants.reader import ReadOptimizations
from vocr_cli.core.bench.contestants.trainer import TrainingTask
from vocr_cli.core.bench.contestants.vietocr_baseline import VIETOCR_WAY, Optimizations
from vocr_cli.core.bench.inputs import ModelChoice, bench_config
from vocr_cli.core.bench.measure import BenchBudget
from vocr_cli.core.config.tree import BatchConfig, Config
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions
from vocr_cli.core.machine.precision import choose_device, good_precisions
from vocr_cli.core.training.optim.fine_tuning_rate import fine_tuning_rate

BASELINE, ALL_ON, LEAN = "VietOCR's way", "all on", "all on, recomputed"
UNASSISTED = "VietOCR's way, no workers"
ALL_ON_BY_PIXELS = "all on, batches by pixels"


@dataclass(frozen=True, kw_only=True)
class ClaimSettings:
    """What `bench_claims` measures.

    Attributes:
        model: As `choose_model` takes it.
        data: Labelled lines to train on and read; None: lines are rendered.
        valid: Lines for the accuracy; None: it is not measured. None of them may be among `data`.
        labels: How both are read, where they are no databases.
        device: auto, cpu or cuda.
        threads: Processors, for each side alike.
        budget: How much is measured.
    """

    model: str
    data: Path | None
    valid: Path | None
    labels: SourceOptions = AS_FOUND
    device: str
    threads: int
    budget: BenchBudget


@dataclass(frozen=True, kw_only=True)
class ClaimWays:
    """The ways, for one model.

    Attributes:
        settings: What is measured.
        choice: The model.
    """

    settings: ClaimSettings
    choice: ModelChoice

    @property
    def workers(self) -> int:
        """Workers of the loader where there are any."""
        return max(1, self.settings.threads - 1)

    def task(self, config: Config, optimizations: Optimizations | None = None) -> TrainingTask:
        """Return a training in VietOCR's way with what is added to it; None: the real Trainer's."""
        settings, budget = self.settings, self.settings.budget
        return TrainingTask(
            config=config,
            optimizations=optimizations,
            lines=budget.batch_lines,
            init=self.choice.init,
            device=settings.device,
            threads=settings.threads,
            steps=budget.steps,
            seconds=budget.seconds,
        )

    def config(self, data: Path, batch_lines: int | None, **precision: Any) -> Config:
        """Return a run in batches of a pixel budget, or of a number of lines whatever their width."""
        config = bench_config(self.choice.config, data, self.workers)
        batch = BatchConfig(bucket_px=config.batch.bucket_px)
        if batch_lines:
            pixels = max(1_000, batch_lines * config.image.height_px * config.image.max_width_px)
            batch = batch.model_copy(update={"max_lines": batch_lines, "pixels": pixels})
        changes = {"batch": batch, "precision": config.precision.model_copy(update=precision)}
        return config.model_copy(update=changes)

    def each_alone(self) -> Iterator[tuple[str, Optimizations]]:
        """Yield VietOCR's way, and each optimization by itself, those that this hardware has.

        VietOCR's loader processes take processors from the training where there are few, so that its way
        without them is measured, too: promises are held against the faster.
        """
        yield BASELINE, VIETOCR_WAY
        yield UNASSISTED, replace(VIETOCR_WAY, workers=0)
        device = choose_device(self.settings.device)
        if device == "cpu":
            yield "freed memory kept", replace(VIETOCR_WAY, kept_memory=True)
            yield "denormals flushed", replace(VIETOCR_WAY, flushed=True)
        if (best := good_precisions(device)[-1]) == "bf16":
            yield best, replace(VIETOCR_WAY, amp=True)
        yield "channels-last", replace(VIETOCR_WAY, channels_last=True)
        yield "batches by pixels", replace(VIETOCR_WAY, buckets=True)
        yield "recomputation", replace(VIETOCR_WAY, recompute=True)

    def ways_to_read(self) -> Iterator[tuple[str, ReadOptimizations | None]]:
        """Yield VietOCR's way, each optimization by itself, and (None) the real pipeline."""
        yield BASELINE, ReadOptimizations()
        if self.choice.config.model.HEAD == "autoregressive":
            yield "cached decoding", ReadOptimizations(cached=True)
        yield "batches of one width", ReadOptimizations(batched=True)
        if (best := good_precisions(choose_device(self.settings.device))[-1]) != "fp32":
            yield best, ReadOptimizations(amp=True)
        yield ALL_ON, None

    def accuracy_config(
        self, data: Path, steps: int, *, start_cer: float | None = None, width_px: float = 0.0
    ) -> Config:
        """Return a run of so many steps, in VietOCR's schedule.

        A rate for random weights takes from trained ones what they know, which would judge neither side: such
        a start gets the rate of fine-tuning, where one is known.

        Args:
            data: A database.
            steps: How many.
            start_cer: Of trained weights to start from, on the lines that will be read; None: random ones.
            width_px: Mean width of the lines, for that rate.
        """
        lines = self.settings.budget.batch_lines
        config = self.config(data, lines)
        schedule = {"name": "onecycle", "onecycle_peak_share": 0.1}
        changes: dict[str, Any] = {
            "train": config.train.model_copy(update={"max_steps": steps}),
            "schedule": config.schedule.model_copy(update=schedule),
        }
        if start_cer is not None:
            known = fine_tuning_rate(config.model.HEAD, config.optim.name, start_cer)
            if known is not None:
                rate = known.at(round(lines * config.image.height_px * width_px))
                changes["optim"] = config.optim.model_copy(update={"lr": float(f"{rate:.1e}")})
        return config.model_copy(update=changes)
