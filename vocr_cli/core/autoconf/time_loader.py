"""Times whole runs, data and all, by the number of data workers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.autoconf.facts import DataFacts, LoaderTiming, ProbeResult, cores_of_rank
from vocr_cli.core.autoconf.read_data import draw_sample
from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig
from vocr_cli.core.machine.hardware import Hardware
from vocr_cli.core.machine.memory import DevicePeak
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import Event, StepDone
from vocr_cli.core.training.run import build_run

_RUN_SECONDS = 2.5
_TOTAL_SECONDS = 11.0
_LONGEST_STEP_MS = 1_500
_NO_WAIT = 0.02
_EVENT_MS = 400
_SAMPLE_BATCHES = 40
_MOST_LINES = 4_000


@dataclass(frozen=True)
class RunSpeed:
    """Some seconds of a run.

    Attributes:
        lines_per_second: Behind the first steps.
        wait_share: Part of the time that steps waited for lines.
        peak_bytes: Most memory on the GPU, or on a CPU the most that the process grew by; None: the system
            does not tell.
    """

    lines_per_second: float
    wait_share: float
    peak_bytes: int | None


def measure_run(config: Config, device: DeviceName, seconds: float, step_ms: float = 0.0) -> RunSpeed:
    """Train for a while as `vocr train` does, and keep nothing of it.

    Args:
        config: Of the run; it is neither validated nor limited.
        device: Where.
        seconds: How long to measure, behind the first steps.
        step_ms: Of a step, so that few events are made; 0: not known.

    Raises:
        DataError, FontError: The data cannot be used.
    """
    often = max(1, round(_EVENT_MS / step_ms)) if step_ms else 1
    limits = {"max_steps": 10**9, "max_minutes": 0.0, "log_every_steps": often}
    limits |= {"checkpoint_every_minutes": 1e6, "checkpoint_every_steps": 0}
    endless = config.model_copy(
        update={
            "train": config.train.model_copy(update=limits),
            "data": config.data.model_copy(update={"valid": ()}),
            "schedule": config.schedule.model_copy(update={"name": "constant"}),  # plateau needs validation
        }
    )
    with tempfile.TemporaryDirectory() as folder, DevicePeak(device) as memory:
        lines_per_second, wait_share = _timed(endless, Path(folder) / "run", device, seconds)
    return RunSpeed(lines_per_second, wait_share, memory.peak_bytes)


def time_loader(
    config: Config, hardware: Hardware, device: DeviceName, data: DataFacts | None, step: ProbeResult
) -> Iterator[LoaderTiming]:
    """Time whole runs by the number of data workers.

    There are more workers each time, as long as steps wait for lines; where steps run on the CPU, one run is
    timed without any. That takes about 11 s at most. Nothing is tried where steps take seconds: a worker is
    then always ahead.

    Args:
        config: The planned one.
        hardware: The machine.
        device: Where steps run.
        data: The stored lines, of which some are copied; None: all of the config's sources are rendered.
        step: The planned one.

    Raises:
        DataError, FontError: The data cannot be used.
    """
    if not 0 < step.step_ms <= _LONGEST_STEP_MS:
        return
    deadline = time.monotonic() + _TOTAL_SECONDS
    most = max(cores_of_rank(hardware, device) - (device == "cuda"), 1)
    with tempfile.TemporaryDirectory() as folder:
        sampled = config
        if data is not None:
            count = min(max(_SAMPLE_BATCHES * step.lines, 200), _MOST_LINES)
            sample = draw_sample(data, config, Path(folder) / "sample", count)
            if sample is None:
                return
            rendered = [source for source in config.data.train if source.synth]
            stored = sum(source.weight for source in config.data.train if source.lmdb)
            sources = DataConfig(train=(SourceConfig(lmdb=sample, weight=stored), *rendered))
            charset = config.charset.model_copy(update={"unknown": "error"})
            sampled = config.model_copy(update={"data": sources, "charset": charset})
        workers = min(4, most) if device == "cuda" else 1
        best = 0.0
        while time.monotonic() < deadline:
            timing = _time_run(sampled, device, workers, step)
            yield timing
            if timing.wait_share < _NO_WAIT or timing.lines_per_second < best or workers == most:
                break
            best = max(best, timing.lines_per_second)
            workers = min(2 * workers, most)
        if device != "cuda" and time.monotonic() < deadline:
            yield _time_run(sampled, device, 0, step)


def _time_run(config: Config, device: DeviceName, workers: int, step: ProbeResult) -> LoaderTiming:
    data = config.data.model_copy(update={"workers": workers})
    run = measure_run(config.model_copy(update={"data": data}), device, _RUN_SECONDS, step.step_ms)
    return LoaderTiming(workers, run.lines_per_second, run.wait_share, step.settings, run.peak_bytes or 0)


def _timed(config: Config, out: Path, device: DeviceName, seconds: float) -> tuple[float, float]:
    """Lines/s and the share of waiting, from the first event to the first one `seconds` later."""
    run = build_run(config, out, device=device)
    with closing(train(run)) as events:  # type: ignore[type-var]  # workers end with them
        speed = _speed_of(events, seconds)
    run.close()  # its database's folder goes next
    return speed


def _speed_of(events: Iterator[Event], seconds: float) -> tuple[float, float]:
    began, lines, waited, last = 0.0, 0, 0.0, 0.0
    for event in events:
        if not isinstance(event, StepDone):
            continue
        now = time.monotonic()
        if not began:
            began, first = now, event.lines
        else:
            lines, waited = event.lines - first, waited + event.data_wait_share * (now - last)
            if now - began >= seconds:
                break
        last = now
    return lines / (now - began), waited / (now - began)
