"""Tries real training steps, for `core.planner` to decide on.

Steps are those of a `Trainer`, on random images. Legend: B lines of a batch, H and W px.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vocr_cli.core.autoconf.candidates import (
    Amp,
    DataFacts,
    ProbeResult,
    Trial,
    amp_choices,
    candidates,
    first_budgets,
    line_shapes,
    memory_limit,
    memory_models,
    pixel_choices,
    with_trial,
)
from vocr_cli.core.autoconf.memory_model import LineShapes, peak_under
from vocr_cli.core.autoconf.read_data import one_line
from vocr_cli.core.config.tree import COLUMN_PX, Config, DataConfig, SourceConfig
from vocr_cli.core.data.loader.dataset import Batch
from vocr_cli.core.machine.hardware import Hardware, free_processors
from vocr_cli.core.machine.memory import (
    CUDA_CONTEXT_BYTES,
    PeakGrowth,
    give_back_freed_memory,
    resident_bytes,
)
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.text import Charset
from vocr_cli.core.training.loop import Trainer

_FEWEST_ROUNDS = 3
_TIMED_SECONDS = 2.0
_SIZED_SECONDS = 0.3
_SIZING_SECONDS = 12.0
_TOTAL_SECONDS = 24.0
_QUICK_STEP_MS = 400
_SLOW_STEP_S = 0.8


@dataclass(frozen=True)
class StepShape:
    """Width in px and tokens a line of the steps to try."""

    width_px: int
    tokens: int


def free_threads(hardware: Hardware) -> int:
    """Threads of torch for which there are idle processors just now, at least 1.

    More threads than that wait for one another at every layer, and steps take many times as long.
    """
    free = free_processors()
    return hardware.torch_threads if free is None else min(max(round(free), 1), hardware.torch_threads)


def probe_steps(
    config: Config,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    threads: int = 0,
    limit_bytes: int | None = None,
) -> Iterator[ProbeResult]:
    """Sizes small steps of every kind, then times the candidates that a model of their memory allows.

    Takes about 24 s at most: on a slow machine some candidates are left out.

    Args:
        config: Model, image settings, charset, and everything else that steps depend on.
        hardware: The machine.
        device: Where.
        data: Gives widths and label lengths; None: those of rendered lines.
        threads: Torch's threads; 0: as they are.
        limit_bytes: Memory that steps may take; more than is free here is not tried.
    """
    now = time.monotonic()
    most = memory_limit(hardware, device)
    setting = _Setting(
        config, device, line_shapes(data, config),
        pixel_choices(device, data, config.image.height_px, config.model.HEAD),
        min(limit_bytes or most, most), resident_bytes(), now + _SIZING_SECONDS, now + _TOTAL_SECONDS,
    )  # fmt: skip
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads or threads_before)
    try:
        sized: list[ProbeResult] = []
        for amp in amp_choices(hardware, device):
            for probe in setting.size(amp, sized):
                sized.append(probe)
                yield probe
        yield from setting.compete(sized)
    finally:
        torch.set_num_threads(threads_before)


@dataclass(frozen=True)
class _Setting:
    """What all trials share; times are those of `time.monotonic`."""

    config: Config
    device: DeviceName
    lines: LineShapes
    choices: Sequence[int]
    limit_bytes: int
    before_bytes: int
    sizing_ends: float
    deadline: float

    def size(self, amp: Amp, done: Sequence[ProbeResult]) -> Iterator[ProbeResult]:
        """Steps of extreme widths in a number format; with recomputation too, where plain steps may not fit.

        The format is left out where time is up and another was tried.
        """
        if done and time.monotonic() > self.sizing_ends:
            return
        shapes = extreme_shapes(self.lines)
        quick = False
        for recompute in (False, True):
            found = []
            for pixels in first_budgets(self.choices[0], quick):
                trial = Trial(pixels, amp, recompute)
                found.append(self._try(trial, shapes, _SIZED_SECONDS, self.sizing_ends, typical=False))
                quick = found[-1].step_ms < _QUICK_STEP_MS
                yield found[-1]
            model = memory_models(found).get((amp, recompute))
            if model and peak_under(model, self.lines, self.choices[-1]) <= self.limit_bytes:
                return

    def compete(self, sized: Sequence[ProbeResult]) -> Iterator[ProbeResult]:
        """The candidates that fit, as far as time allows, the first in any case."""
        models = memory_models(sized)
        trials = candidates(sized, models, self.lines, self.choices, self.limit_bytes)
        for number, trial in enumerate(trials):
            alike = [probe.pixels_per_second for probe in sized if probe.trial.amp == trial.amp]
            step_s = trial.pixels / max(alike, default=math.inf)
            shapes = typical_shapes(self.lines)
            if step_s > _SLOW_STEP_S:  # a step of median width to warm up, and one to time
                shapes = shapes[1:2]
            if number == 0 or time.monotonic() + 2 * step_s * len(shapes) < self.deadline:
                yield self._try(trial, shapes, _TIMED_SECONDS, self.deadline)

    def _try(
        self,
        trial: Trial,
        shapes: Sequence[StepShape],
        seconds: float,
        deadline: float,
        typical: bool = True,
    ) -> ProbeResult:
        config = with_trial(self.config, trial, self.lines.most_lines(trial.pixels))
        return probe_step(config, self.device, trial, shapes, seconds, self.before_bytes, deadline, typical)


def probe_step(
    config: Config,
    device: DeviceName,
    trial: Trial,
    shapes: Sequence[StepShape],
    seconds: float = _TIMED_SECONDS,
    before_bytes: int | None = None,
    deadline: float = math.inf,
    typical: bool = True,
) -> ProbeResult:
    """Takes a trainer's steps on random images and times and sizes them.

    Steps are timed in rounds of one step a shape. The speed is the upper quartile of the rounds, so that
    another program's short burst does not count.

    Args:
        config: Of the run; its batch and precision are those of the trial.
        device: Where.
        trial: What is tried.
        shapes: What the steps take in turn.
        seconds: How long to time, at least.
        before_bytes: Memory of this process from which growth on a CPU counts; None: what it holds now.
        deadline: `time.monotonic()` after which one timed round is enough.
        typical: Whether speeds of these shapes may be compared; if not, one round is enough.
    """
    if device == "cpu":
        give_back_freed_memory()
    else:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    speeds: list[float] = []  # px/s of each round
    try:
        with PeakGrowth(before_bytes) as growth, tempfile.TemporaryDirectory() as folder:
            steps = _Steps(config, Path(folder), device)
            steps.round(shapes if typical else shapes[:1])  # kernels are made for each width
            enough = min(deadline, time.monotonic() + seconds)
            fewest = _FEWEST_ROUNDS if typical and len(shapes) > 1 else 1
            while len(speeds) < fewest or time.monotonic() < enough:
                speeds.append(steps.round(shapes))
                if time.monotonic() > deadline:
                    break
            del steps  # its database's folder goes next
    except torch.OutOfMemoryError:
        return ProbeResult(trial, typical=typical, failure="out of memory")
    peak = growth.peak_bytes
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() + CUDA_CONTEXT_BYTES
    return _result(config, trial, shapes, float(np.quantile(speeds, 0.75)), peak, typical)


def _result(
    config: Config, trial: Trial, shapes: Sequence[StepShape], speed: float, peak_bytes: int, typical: bool
) -> ProbeResult:
    """What steps of the shapes, at `speed` px/s, tell of a trial."""
    counts = [_lines(config, shape) for shape in shapes]
    pairs = list(zip(counts, shapes, strict=True))
    return ProbeResult(
        trial,
        lines=max(1, round(sum(counts) / len(counts))),
        step_ms=1_000 * trial.pixels / speed,
        pixels_per_second=speed,
        peak_bytes=peak_bytes,
        most_pixels=max(count * shape.width_px * config.image.height_px for count, shape in pairs),
        most_tokens=max(count * shape.tokens for count, shape in pairs),
        typical=typical,
    )


def typical_shapes(lines: LineShapes) -> list[StepShape]:
    """Lines at the quartiles of the widths."""
    return [_near(lines, float(np.quantile(lines.widths_px, share))) for share in (0.25, 0.5, 0.75)]


def extreme_shapes(lines: LineShapes) -> list[StepShape]:
    """The widest line, and the one with most tokens for its width, or the narrowest."""
    dense = int(np.argmax((lines.tokens + 1) / lines.widths_px))
    widest = int(np.argmax(lines.widths_px))
    return [StepShape(int(lines.widths_px[at]), int(lines.tokens[at])) for at in {widest: 0, dense: 0}]


class _Steps:
    """A trainer that is given random batches of any shape."""

    def __init__(self, config: Config, folder: Path, device: DeviceName) -> None:
        source = SourceConfig(lmdb=one_line(config, folder / "line"))
        data = DataConfig(train=(source,), workers=0)
        self._config = config.model_copy(update={"data": data})
        self._trainer = Trainer(self._config, folder / "run", device=device)
        self._device = device
        self._random = np.random.default_rng(0)

    def round(self, shapes: Sequence[StepShape]) -> float:
        """A step a shape; their px/s."""
        batches = [self._batch(shape) for shape in shapes]
        began = time.perf_counter()
        for batch in batches:
            self._trainer.stepper.step([batch], self._config.optim.lr / 100)
        if self._device == "cuda":
            torch.cuda.synchronize()
        return sum(math.prod(batch.images.shape[:3]) for batch in batches) / (time.perf_counter() - began)

    def _batch(self, shape: StepShape) -> Batch:
        config, charset = self._config, Charset(self._config.charset.characters)
        count, image = _lines(config, shape), config.image
        length = max(shape.tokens - 1, 1) if shape.tokens else max(shape.width_px // COLUMN_PX // 4, 1)
        size = (count, image.height_px, shape.width_px, image.channels)
        pictures = self._random.integers(0, 256, size, np.uint8)
        targets = self._random.integers(1, len(charset) + 1, count * length)
        return Batch(
            torch.from_numpy(pictures),
            torch.full((count,), shape.width_px // COLUMN_PX),
            torch.from_numpy(targets),
            torch.full((count,), length),
            [""] * count,
            [""] * count,
        )


def _lines(config: Config, shape: StepShape) -> int:
    room = config.batch.pixels // (shape.width_px * config.image.height_px)
    return max(1, min(room, config.batch.max_lines))


def _near(lines: LineShapes, width: float) -> StepShape:
    """The shape of the line whose width is nearest."""
    at = int(np.argmin(np.abs(lines.widths_px - width)))
    return StepShape(int(lines.widths_px[at]), int(lines.tokens[at]))
