"""Sizes and times real training steps, for the planner to decide on.

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
    StepShape,
    amp_choices,
    candidates,
    extreme_shapes,
    first_budgets,
    memory_models,
    pixel_choices,
    typical_shapes,
    with_step_settings,
)
from vocr_cli.core.autoconf.facts import (
    Amp,
    DataFacts,
    ProbeResult,
    Recompute,
    StepSettings,
    line_shapes,
    memory_limit,
)
from vocr_cli.core.autoconf.memory_model import LineShapes, peak_under, rule_of_thumb, smallest_budget
from vocr_cli.core.autoconf.read_data import one_line
from vocr_cli.core.config.tree import COLUMN_PX, Config, DataConfig, SourceConfig
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.machine.closing import Closing
from vocr_cli.core.machine.hardware import Hardware, free_processors
from vocr_cli.core.machine.memory import DevicePeak, resident_bytes
from vocr_cli.core.machine.out_of_memory import is_out_of_memory
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.text import Charset
from vocr_cli.core.training.run import build_run

_FEWEST_ROUNDS = 3
_TIMED_SECONDS = 2.0
_SIZED_SECONDS = 0.3
_SIZING_SECONDS = 12.0
_TOTAL_SECONDS = 24.0
_QUICK_STEP_MS = 400
_SLOW_STEP_S = 0.8


def free_threads(hardware: Hardware) -> int:
    """Return the threads of torch for which there are idle processors just now, at least 1.

    More threads than that wait for one another at every layer, and steps take many times as long.
    """
    free = free_processors()
    return hardware.torch_threads if free is None else min(max(round(free), 1), hardware.torch_threads)


def probe_steps(
    config: Config,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
    *,
    threads: int = 0,
    limit_bytes: int | None = None,
) -> Iterator[ProbeResult]:
    """Size small steps of every kind, then time the candidates that a model of their memory allows.

    Takes some 24 s at most: on a slow machine candidates are left out.

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
    series = _ProbeSeries(
        config, device, line_shapes(data, config),
        pixel_choices(device, data, config),
        min(limit_bytes or most, most), resident_bytes(), now + _SIZING_SECONDS, now + _TOTAL_SECONDS,
    )  # fmt: skip
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads or threads_before)
    try:
        sized: list[ProbeResult] = []
        for amp in amp_choices(hardware, device):
            for probe in series.size(amp, sized):
                sized.append(probe)
                yield probe
        yield from series.compete(sized)
    finally:
        torch.set_num_threads(threads_before)


@dataclass(frozen=True)
class _ProbeSeries:
    """What all probes share; times are those of `time.monotonic`."""

    config: Config
    device: DeviceName
    lines: LineShapes
    choices: Sequence[int]
    limit_bytes: int
    before_bytes: int | None
    sizing_ends: float
    deadline: float

    def size(self, amp: Amp, done: Sequence[ProbeResult]) -> Iterator[ProbeResult]:
        """Steps of extreme widths in a number format; with recomputation too, where plain steps may not fit.

        The format is left out where time is up and another was tried.
        """
        if done and time.monotonic() > self.sizing_ends:
            return
        shapes, rule = extreme_shapes(self.lines), rule_of_thumb(self.config, amp != "off")
        smallest, quick = self.choices[0], False
        if self.device == "cuda":
            smallest = smallest_budget(rule, self.lines, self.limit_bytes, smallest)
        for recompute in Recompute:
            probes = []
            for pixels in first_budgets(smallest, quick):
                settings = StepSettings(pixels, amp, recompute)
                probes.append(self._try(settings, shapes, _SIZED_SECONDS, self.sizing_ends, typical=False))
                yield probes[-1]
                if probes[-1].failure:  # a larger one would fail as well
                    break
                quick = probes[-1].step_ms < _QUICK_STEP_MS
            model = memory_models(probes).get((amp, recompute))
            if model and peak_under(model, self.lines, self.choices[-1]) <= self.limit_bytes:
                return

    def compete(self, sized: Sequence[ProbeResult]) -> Iterator[ProbeResult]:
        """The candidates that fit, as far as time allows, the first in any case."""
        models = memory_models(sized)
        worth = candidates(sized, models, self.lines, self.choices, self.limit_bytes)
        for index, settings in enumerate(worth):
            alike = [probe.pixels_per_second for probe in sized if probe.settings.amp == settings.amp]
            step_s = settings.pixels / max(alike, default=math.inf)
            shapes = typical_shapes(self.lines)
            if step_s > _SLOW_STEP_S:  # a step of median width to warm up, and one to time
                shapes = shapes[1:2]
            if index == 0 or time.monotonic() + 2 * step_s * len(shapes) < self.deadline:
                yield self._try(settings, shapes, _TIMED_SECONDS, self.deadline)

    def _try(
        self,
        settings: StepSettings,
        shapes: Sequence[StepShape],
        seconds: float,
        deadline: float,
        typical: bool = True,
    ) -> ProbeResult:
        config = with_step_settings(self.config, settings, self.lines.most_lines(settings.pixels))
        return probe_step(
            config,
            self.device,
            settings,
            shapes,
            seconds=seconds,
            before_bytes=self.before_bytes,
            deadline=deadline,
            typical=typical,
            limit_bytes=self.limit_bytes,
        )


def probe_step(
    config: Config,
    device: DeviceName,
    settings: StepSettings,
    shapes: Sequence[StepShape],
    *,
    seconds: float = _TIMED_SECONDS,
    before_bytes: int | None = None,
    deadline: float = math.inf,
    typical: bool = True,
    limit_bytes: int | None = None,
) -> ProbeResult:
    """Take a trainer's steps on random images, and time and size them.

    Steps are timed in rounds of one step a shape. The upper quartile of the rounds is their speed.

    Args:
        config: Of the run; its batch and precision are `settings`.
        device: Where.
        settings: What is tried.
        shapes: What the lines of the steps are like, in turn.
        seconds: How long to time, at least.
        before_bytes: Memory of this process from which growth on a CPU counts; None: what it holds now.
        deadline: `time.monotonic()` after which one timed round is enough.
        typical: Whether speeds of these shapes may be compared; if not, one round is enough.
        limit_bytes: Memory that may be taken: a step of a GPU fails beyond it, a CPU takes no further one.
    """
    speeds: list[float] = []  # px/s of each round
    memory = DevicePeak(device, before_bytes, limit_bytes)
    try:
        with memory, tempfile.TemporaryDirectory() as folder, _Steps(config, Path(folder), device) as steps:
            steps.round(shapes if typical else shapes[:1])  # kernels are made for each width
            enough = min(deadline, time.monotonic() + seconds)
            fewest = _FEWEST_ROUNDS if typical and len(shapes) > 1 else 1
            while len(speeds) < fewest or time.monotonic() < enough:
                speeds.append(steps.round(shapes))
                if memory.is_over_limit or time.monotonic() > deadline:
                    break
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return ProbeResult(settings, typical=typical, failure="out of memory")
    speed = float(np.quantile(speeds, 0.75))
    return _result(config, settings, shapes, speed=speed, peak_bytes=memory.peak_bytes, typical=typical)


def _result(
    config: Config,
    settings: StepSettings,
    shapes: Sequence[StepShape],
    *,
    speed: float,
    peak_bytes: int | None,
    typical: bool,
) -> ProbeResult:
    """What steps of the shapes, at `speed` px/s, tell of its settings."""
    counts = [_lines(config, shape) for shape in shapes]
    pairs = list(zip(counts, shapes, strict=True))
    most_pixels = max(count * shape.width_px * config.image.height_px for count, shape in pairs)
    most_tokens = max(count * shape.tokens for count, shape in pairs)
    if peak_bytes is None:
        peak_bytes = int(rule_of_thumb(config, settings.amp != "off").peak(most_pixels, most_tokens))
    return ProbeResult(
        settings,
        lines=max(1, round(sum(counts) / len(counts))),
        step_ms=1_000 * settings.pixels / speed,
        pixels_per_second=speed,
        peak_bytes=peak_bytes,
        most_pixels=most_pixels,
        most_tokens=most_tokens,
        typical=typical,
    )


class _Steps(Closing):
    """A trainer that is given random batches of any shape."""

    def __init__(self, config: Config, folder: Path, device: DeviceName) -> None:
        source = SourceConfig(lmdb=one_line(config, folder / "line"))
        data = DataConfig(train=(source,), workers=0)
        schedule = config.schedule.model_copy(update={"name": "constant"})  # plateau needs validation
        self._config = config.model_copy(update={"data": data, "schedule": schedule})
        self._run = build_run(self._config, folder / "run", device=device)
        self._device = device
        self._random = np.random.default_rng(0)

    def close(self) -> None:
        """Lets go of the database, whose folder goes next."""
        self._run.close()

    def round(self, shapes: Sequence[StepShape]) -> float:
        """A step a shape; their px/s."""
        batches = [self._batch(shape) for shape in shapes]
        began = time.perf_counter()
        for batch in batches:
            self._run.train_step([batch], self._config.optim.lr / 100)
        if self._device != "cpu":
            torch.accelerator.synchronize()
        return sum(math.prod(batch.images.shape[:3]) for batch in batches) / (time.perf_counter() - began)

    def _batch(self, shape: StepShape) -> Batch:
        config, charset = self._config, Charset(self._config.charset.characters)
        count, image = _lines(config, shape), config.image
        length = max(shape.tokens - 1, 1) if shape.tokens else max(shape.width_px // COLUMN_PX // 4, 1)
        size = (count, image.height_px, shape.width_px, image.channels)
        images = self._random.integers(0, 256, size, np.uint8)  # (B, H, W, C)
        targets = self._random.integers(1, len(charset) + 1, count * length)
        return Batch(
            torch.from_numpy(images),
            torch.full((count,), shape.width_px),
            torch.from_numpy(targets),
            torch.full((count,), length),
            [""] * count,
            [""] * count,
        )


def _lines(config: Config, shape: StepShape) -> int:
    fitting = config.batch.pixels // (shape.width_px * config.image.height_px)
    return max(1, min(fitting, config.batch.max_lines))
