"""Many lines through a recogniser: prepared ahead, read in batches by width, given back in input order.

Memory is bounded by the window, however many lines there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vocr_cli.core.config import ImageConfig
from vocr_cli.core.data.images import fit_line, line_flags
from vocr_cli.core.errors import VocrError
from vocr_cli.core.inference.recognizer import Reading, Recognizer
from vocr_cli.core.inference.sources import LineInput

_TASK_LINES = 16  # lines a worker prepares at a time: a task for each would cost more than it brings
CPU_WINDOW_LINES = 1024
GPU_WINDOW_LINES = 8192


@dataclass(frozen=True)
class LineResult:
    """One line: its reading, or why it could not be read; `width_px` and `height_px` of its image."""

    path: str
    reading: Reading | None
    error: VocrError | None
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True)
class _Prepared:
    """A line at model height: pixels (H, W, channels) uint8, or the result that it failed with."""

    path: str
    pixels: np.ndarray | None
    flags: tuple[str, ...]
    size: tuple[int, int]
    failed: LineResult | None = None


def read_all(
    recognizer: Recognizer, lines: Iterable[LineInput], workers: int = 1, window: int | None = None
) -> Iterator[LineResult]:
    """Reads lines of any number, in their order; one that cannot be read is a result with its error.

    Lines of one width are read when they fill a batch. Others are when half a window of lines came after the
    first of them, alone or, by engines that merge widths, with those near in width; no line is taken in
    while a whole window lies between it and the oldest without a reading.

    Args:
        recognizer: Reads the batches, in its own threads.
        lines: Consumed as needed, from one thread at a time.
        workers: Threads that open and scale images ahead; 0: this thread does it.
        window: Lines held at most, the prepared ones aside; None: by the device.
    """
    if window is None:
        window = GPU_WINDOW_LINES if recognizer.engine.device == "cuda" else CPU_WINDOW_LINES
    reader = _Reader(recognizer)
    for number, line in enumerate(_prepare_ahead(lines, recognizer.image, workers)):
        reader.add(number, line)
        reader.start_older(number - window // 2)
        if number - reader.oldest + 1 >= window:
            reader.start_older(reader.oldest)
            reader.finish_oldest()
        yield from reader.ready()
    while reader.unfinished:
        reader.start_older(None)
        reader.finish_oldest()
        yield from reader.ready()


class _Reader:
    """The lines between the oldest without a result given back and the newest."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.oldest = 0
        self._recognizer = recognizer
        self._waiting: dict[int, _Prepared] = {}  # the oldest first
        self._width_of: dict[int, int] = {}  # of each line that waits, in the same order
        self._of_width: dict[int, dict[int, None]] = {}  # the lines that wait, the oldest first
        self._running: deque[tuple[list[tuple[int, _Prepared]], Future[list[Reading]]]] = deque()
        self._done: dict[int, LineResult] = {}

    @property
    def unfinished(self) -> bool:
        """Whether a line waits or is being read."""
        return bool(self._waiting or self._running)

    def add(self, number: int, line: _Prepared) -> None:
        """Takes a line; reads its batch when it is full."""
        if line.pixels is None:
            assert line.failed is not None
            self._done[number] = line.failed
            return
        width = line.pixels.shape[1]
        self._width_of[number] = width
        self._waiting[number] = line
        bucket = self._of_width.setdefault(width, {})
        bucket[number] = None
        if len(bucket) >= self._recognizer.batch_lines(width):
            self._start(list(bucket))

    def start_older(self, number: int | None) -> None:
        """Reads the batches that hold lines up to `number`, full or not; None: all batches."""
        if number is None:
            for batch in self._batches():
                self._start(batch)
            return
        while self._waiting and (oldest := next(iter(self._waiting))) <= number:
            if self._recognizer.engine.merges_widths:
                self._start(next(batch for batch in self._batches() if oldest in batch))
            else:
                self._start(list(self._of_width[self._width_of[oldest]]))

    def finish_oldest(self) -> None:
        """Waits until the oldest line, whose batch was started, is read."""
        while self.oldest not in self._done and self._running:
            self._collect()

    def ready(self) -> Iterator[LineResult]:
        """The results that come next."""
        while self.oldest in self._done:
            yield self._done.pop(self.oldest)
            self.oldest += 1

    def _batches(self) -> list[list[int]]:
        """The numbers of all lines that wait, by the batches they are best read in."""
        waiting = list(self._width_of)
        batches = self._recognizer.batches(list(self._width_of.values()))
        return [[waiting[place] for place in batch] for batch in batches]

    def _start(self, numbers: list[int]) -> None:
        bucket = [(number, self._waiting.pop(number)) for number in numbers]
        for number in numbers:
            width = self._width_of.pop(number)
            del self._of_width[width][number]
            if not self._of_width[width]:
                del self._of_width[width]
        while len(self._running) >= 2 * self._recognizer.threads:
            self._collect()
        pixels = [line.pixels for _, line in bucket if line.pixels is not None]
        self._running.append((bucket, self._recognizer.start(pixels)))
        while self._running and self._running[0][1].done():
            self._collect()

    def _collect(self) -> None:
        """Waits for the batch that was started first."""
        bucket, future = self._running.popleft()
        for (number, line), reading in zip(bucket, future.result(), strict=True):
            self._done[number] = LineResult(line.path, reading.flagged(line.flags), None, *line.size)


def _prepare_ahead(lines: Iterable[LineInput], image: ImageConfig, workers: int) -> Iterator[_Prepared]:
    """The lines, prepared, in their order."""
    source = iter(lines)
    if workers == 0:
        for line in source:
            yield _prepare(line, image)
        return
    pool = ThreadPoolExecutor(workers, "vocr-prepare")
    tasks: deque[Future[list[_Prepared]]] = deque()
    try:
        while True:
            while len(tasks) < 2 * workers + 2 and (part := list(islice(source, _TASK_LINES))):
                tasks.append(pool.submit(_prepare_part, part, image))
            if not tasks:
                return
            yield from tasks.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _prepare_part(lines: list[LineInput], image: ImageConfig) -> list[_Prepared]:
    return [_prepare(line, image) for line in lines]


def _prepare(line: LineInput, config: ImageConfig) -> _Prepared:
    try:
        path, image = line.load()
    except VocrError as error:
        return _Prepared(line.path, None, (), (0, 0), LineResult(line.path, None, error))
    return _Prepared(path, fit_line(image, config), line_flags(image, config), image.size)
