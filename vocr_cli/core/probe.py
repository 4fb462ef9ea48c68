"""Looks at the data and times real training steps, for `core.planner` to decide on.

Legend: N lines, B lines of a batch, H and W px, T columns.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import nn

from vocr_cli.core.config import COLUMN_PX, Config
from vocr_cli.core.data.build import valid_path
from vocr_cli.core.data.lmdb_store import LineStore
from vocr_cli.core.errors import DataError
from vocr_cli.core.hardware import Hardware, free_processors
from vocr_cli.core.memory import keep_freed_memory
from vocr_cli.core.models.files import build_module
from vocr_cli.core.text import Charset
from vocr_cli.core.training.objective import as_input, ctc_loss
from vocr_cli.core.training.optim import WeightAverage, make_optimizer
from vocr_cli.core.trials import (
    TYPICAL_WIDTH_PX,
    Amp,
    DataFacts,
    DeviceName,
    ProbeResult,
    amp_choices,
    pixel_choices,
)

_FEWEST_ROUNDS = 3
_TIMED_SECONDS = 2.0
_TOTAL_SECONDS = 25.0
_MOST_LABELS = 200_000
_AMP_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}


def read_data(paths: Sequence[Path], config: Config) -> DataFacts:
    """What there is to train on, and the lines that `build-lmdb --valid-share` held back for validation.

    All labels are checked against the charset, of more than 200,000 lines an even sample.

    Raises:
        DataError: A database is missing or damaged, or none of its images can be read.
    """
    charset = Charset(config.charset.characters)
    sources, valid, widths, lengths = [], [], [], []
    unreadable, places = 0, []
    for path in paths:
        with LineStore(path) as store:
            sources.append((path, len(store)))
            readable = (store.widths > 0) & (store.heights > 0)
            unreadable += int((~readable).sum())
            widths.append(store.widths[readable] * config.image.height_px / store.heights[readable])
            lengths.append(store.label_lengths[readable])
            places += [(f"{path}, line {number}", text) for number, text in _foreign_labels(store, charset)]
        if (valid_path(path) / "data.mdb").is_file():
            with LineStore(valid_path(path)) as held_back:
                valid.append((held_back.path, len(held_back)))
    facts = DataFacts(
        tuple(sources), np.concatenate(widths), np.concatenate(lengths),
        unreadable, tuple(charset.unknown(places)), len(places), tuple(valid),
    )  # fmt: skip
    if not len(facts.widths_px):
        raise DataError(
            f"{paths[0]}: no image in it can be read.", "Rebuild the database with `vocr build-lmdb`."
        )
    return facts


def free_threads(hardware: Hardware) -> int:
    """Threads of torch for which there are idle processors just now, at least 1.

    More threads than that wait for one another at every layer, and steps take many times as long.
    """
    free = free_processors()
    return hardware.torch_threads if free is None else min(max(round(free), 1), hardware.torch_threads)


def probe_steps(
    config: Config, hardware: Hardware, device: DeviceName, data: DataFacts | None, threads: int = 0
) -> Iterator[ProbeResult]:
    """Times steps in each number format at the smallest pixel budget, then larger budgets in the fastest.

    Takes about 25 s at most: on a slow machine the larger budgets are left out.

    Args:
        config: Model, image settings and charset.
        hardware: The machine.
        device: Where.
        data: Gives the widths; None: those of rendered lines.
        threads: Torch's threads; 0: as they are.
    """
    deadline = time.monotonic() + _TOTAL_SECONDS
    keep_freed_memory()
    before = _resident_bytes()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads or threads_before)
    smallest, *larger = pixel_choices(device, data, config.image.height_px)
    widths = typical_widths(data, config)
    first = []
    try:
        for amp in amp_choices(hardware, device):
            first.append(probe_step(config, device, smallest, amp, widths, deadline, before))
            yield first[-1]
        amp = max(first, key=lambda probe: probe.pixels_per_second).amp
        for pixels in larger:
            if time.monotonic() < deadline:
                yield probe_step(config, device, pixels, amp, widths, deadline, before)
    finally:
        torch.set_num_threads(threads_before)


def probe_step(
    config: Config,
    device: DeviceName,
    pixels: int,
    amp: Amp,
    widths: Sequence[int],
    deadline: float = float("inf"),
    before_bytes: int | None = None,
) -> ProbeResult:
    """Times training steps of the model on random images: forward, CTC, backward, clipping, AdamW, average.

    Steps are timed in rounds of one step a width. The speed is the upper quartile of the rounds, so that
    another program's short burst does not count.

    Args:
        config: Model, image height and charset.
        device: Where.
        pixels: Lines × width × height of a step, at most.
        amp: Number format.
        widths: Widths in px at model height that the steps take in turn, each a multiple of the column.
        deadline: `time.monotonic()` after which one timed round is enough.
        before_bytes: Memory of this process from which growth on a CPU counts; None: what it holds now.
    """
    speeds: list[float] = []  # px/s of each round
    lines = 0
    try:
        with _PeakMemory(device, before_bytes) as memory:
            run = _steps(config, torch.device(device), pixels, amp, widths)
            _round(run, len(widths))  # warm-up: kernels are made for each width
            enough = min(deadline, time.monotonic() + _TIMED_SECONDS)
            while len(speeds) < _FEWEST_ROUNDS or time.monotonic() < enough:
                began = time.perf_counter()
                seen, lines = _round(run, len(widths))
                speeds.append(seen / (time.perf_counter() - began))
                if time.monotonic() > deadline:
                    break
    except torch.OutOfMemoryError:
        return ProbeResult(pixels, amp, failure="out of memory")
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
    speed = float(np.quantile(speeds, 0.75))
    return ProbeResult(
        pixels, amp, round(lines / len(widths)), 1_000 * pixels / speed, speed, memory.peak_bytes
    )


def _round(run: Iterator[torch.Size], steps: int) -> tuple[int, int]:
    """Makes steps; returns their pixels and lines."""
    shapes = [next(run) for _ in range(steps)]
    return sum(count * height * width for count, _, height, width in shapes), sum(
        shape[0] for shape in shapes
    )


def _steps(
    config: Config, device: torch.device, pixels: int, amp: Amp, widths: Sequence[int]
) -> Iterator[torch.Size]:
    """Makes a step each time it is asked, and tells the (B, C, H, W) of it."""
    charset = Charset(config.charset.characters)
    last = config.precision.channels_last
    module = build_module(config.model, config.image, charset).train()
    layout = torch.channels_last if last else torch.contiguous_format
    module.to(device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = make_optimizer(module, config.optim)
    average = WeightAverage(module, config.optim.ema_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")
    height, channels = config.image.height_px, config.image.channels
    for width in itertools.cycle(widths):
        count = max(1, pixels // (width * height))
        columns = torch.full((count,), width // COLUMN_PX, device=device)  # (B,)
        lengths = columns // 4  # about that of real labels
        pictures = torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8)
        targets = torch.randint(1, charset.classes, (int(lengths.sum()),), device=device)
        images = as_input(pictures, device, last)
        with torch.autocast(device.type, _AMP_DTYPE.get(amp), enabled=amp != "off"):
            logits = module(images, columns)
        loss = ctc_loss(logits, columns, targets, lengths).mean()
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        float(nn.utils.clip_grad_norm_(module.parameters(), config.optim.clip_norm or float("inf")))
        scaler.step(optimizer)
        scaler.update()
        average.update(module)
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield images.shape


class _PeakMemory:
    """The most memory that the block holds at a time: the device's, or on a CPU the growth of this process.

    Where the system has no /proc, growth on a CPU reads 0.
    """

    def __init__(self, device: DeviceName, before_bytes: int | None) -> None:
        self.peak_bytes = 0
        self._before = _resident_bytes() if before_bytes is None else before_bytes
        self._device = device
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device == "cuda":
            self.peak_bytes = torch.cuda.max_memory_allocated()
        else:
            self._done.set()
            self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.peak_bytes = max(self.peak_bytes, _resident_bytes() - self._before)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    import resource

    return pages * resource.getpagesize()


def typical_widths(data: DataFacts | None, config: Config) -> list[int]:
    """Quartiles of the widths, px at model height, within the config's limits, in multiples of 8."""
    natural = [TYPICAL_WIDTH_PX * share for share in (0.6, 1.0, 1.4)]
    if data is not None:
        natural = np.quantile(data.widths_px, (0.25, 0.5, 0.75)).tolist()
    image = config.image
    limited = [min(max(width, image.min_width_px), image.max_width_px) for width in natural]
    return [int(-(-width // 8)) * 8 for width in limited]


def _foreign_labels(store: LineStore, charset: Charset) -> Iterable[tuple[int, str]]:
    stride = -(-len(store) // _MOST_LABELS)
    for number in range(0, len(store), stride):
        text = store.text(number)
        if any(char not in charset for char in text):
            yield number, text
