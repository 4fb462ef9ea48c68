"""Many lines through a recogniser: prepared ahead, read in batches by width, given back in input order.

Memory is bounded by the window, however many lines there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from vocr_cli.core.inference.engines.base import CPU_BATCH_PIXELS
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.outputs.batch_log import BatchLog, ReadBefore
from vocr_cli.core.inference.prepare import LineResult, PreparedLine, Preparer
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.single_lines import keep, read_singly, result_of
from vocr_cli.core.machine.hardware import usable_cores

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from vocr_cli.core.inference.cache.result_cache import ResultCache
    from vocr_cli.core.inference.single_lines import ReadingProcesses

__all__ = ["LineResult", "read_all", "section_lines"]

CPU_WINDOW_LINES = 2048
GPU_WINDOW_LINES = 8192
_SECTION_WINDOWS = 4
_SINGLE_SECTION = 512  # lines: some seconds of work on a slow processor, and one more write of the journal
_GPU_PREPARING_THREADS = 8


def section_lines(recognizer: Recognizer, window: int | None = None) -> int:
    """Lines of a section, which none shares a batch with a line of another.

    So a run that goes on at the beginning of a section reads the lines in the same batches, and gives the
    same digits, as one that was never interrupted.
    """
    if recognizer.engine.reads_singly:
        return _SINGLE_SECTION
    on_gpu = recognizer.engine.device != "cpu"
    return _SECTION_WINDOWS * (window or (GPU_WINDOW_LINES if on_gpu else CPU_WINDOW_LINES))


def read_all(
    recognizer: Recognizer,
    lines: Iterable[LineInput],
    workers: int | None = None,
    window: int | None = None,
    cache: ResultCache | None = None,
    on_done: Callable[[int], None] = lambda lines: None,
    log: BatchLog | None = None,
    *,
    processes: ReadingProcesses | None = None,
) -> Iterator[LineResult]:
    """Reads lines of any number, in their order; one that cannot be read is a result with its error.

    Lines of one width are read when they fill a batch. Others are when half a window of lines came after the
    first of them, alone or, by engines that merge widths, with those near in width; no line is taken in
    while a whole window lies between it and the oldest without a reading.

    Args:
        recognizer: Reads the batches, in its own threads.
        lines: Consumed as needed, from one thread at a time.
        workers: Threads that open and scale images ahead; 0: this thread does it; None: the threads that read
            do it between batches, or where a GPU reads, a thread for each core.
        window: Lines held at most, the prepared ones aside; None: by the device.
        cache: Gives the readings it has and takes the others.
        on_done: Told, as it goes, how many more lines are done; they come when those before them are, too.
        log: Takes the batches, and gives those that an interrupted run has read: they take their places
            among the others again, and are not read.
        processes: Of `reading_processes`: where lines gain nothing by batches, no `workers` were asked for
            and there is no cache, they read in place of threads.
    """
    if recognizer.engine.reads_singly and workers is None:
        yield from read_singly(recognizer, lines, cache, on_done, processes if cache is None else None)
        return
    section = section_lines(recognizer, window)
    window = window or _window_lines(recognizer)
    open_lines = _OpenLines(recognizer, cache, on_done, log)
    if log is not None:
        lines = _with_those_read(lines, log)
    ahead = _preparing_threads(recognizer) if workers is None else workers
    for index, line in enumerate(Preparer(recognizer.image, cache).ahead(lines, ahead)):
        open_lines.add(index, line)
        open_lines.start_older(index - window // 2)
        if index - open_lines.oldest + 1 >= window:
            open_lines.start_older(open_lines.oldest)
            open_lines.finish_oldest()
        if (index + 1) % section == 0:
            open_lines.start_older(None)
        yield from open_lines.ready()
    while open_lines.unfinished:
        open_lines.start_older(None)
        open_lines.finish_oldest()
        yield from open_lines.ready()


def _with_those_read(lines: Iterable[LineInput], log: BatchLog) -> Iterator[LineInput]:
    """Puts what was read before in the place of the lines."""
    for index, line in enumerate(lines):
        before = log.find(index)
        yield line if before is None else LineInput(line.path, before)


class _OpenLines:
    """The lines between the oldest whose result is not yet given back and the newest, by their indices."""

    def __init__(
        self,
        recognizer: Recognizer,
        cache: ResultCache | None,
        on_done: Callable[[int], None],
        log: BatchLog | None,
    ) -> None:
        self.oldest = 0
        self._recognizer, self._cache, self._on_done, self._log = recognizer, cache, on_done, log
        self._waiting: dict[int, PreparedLine] = {}  # the oldest first
        self._width_of: dict[int, int] = {}  # of each line that waits, in the same order
        self._of_width: dict[int, dict[int, None]] = {}  # indices of the lines that wait, the oldest first
        self._running: deque[tuple[list[tuple[int, PreparedLine]], Future[list[Reading]]]] = deque()
        self._done: dict[int, LineResult] = {}

    @property
    def unfinished(self) -> bool:
        """Whether a line waits or is being read."""
        return bool(self._waiting or self._running)

    def add(self, index: int, line: PreparedLine) -> None:
        """Takes a line; reads its batch when it is full."""
        width = line.batch_width_px
        if not width:
            assert line.result is not None
            self._done[index] = line.result
            self._on_done(1)
            return
        self._width_of[index] = width
        self._waiting[index] = line
        bucket = self._of_width.setdefault(width, {})
        bucket[index] = None
        if len(bucket) >= self._recognizer.batch_lines(width):
            self._start(list(bucket))

    def start_older(self, index: int | None) -> None:
        """Reads the batches that hold lines up to `index`, full or not; None: all batches."""
        if index is None:
            for batch in self._batches():
                self._start(batch)
            return
        while self._waiting and (oldest := next(iter(self._waiting))) <= index:
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
        """Groups the indices of all lines that wait into the batches they are best read in."""
        waiting = list(self._width_of)
        batches = self._recognizer.batches(list(self._width_of.values()))
        return [[waiting[position] for position in batch] for batch in batches]

    def _start(self, indices: list[int]) -> None:
        bucket = [(index, self._waiting.pop(index)) for index in indices]
        for index in indices:
            width = self._width_of.pop(index)
            del self._of_width[width][index]
            if not self._of_width[width]:
                del self._of_width[width]
        bucket = self._without_those_read(bucket)
        if not bucket:
            return
        while len(self._running) >= 2 * self._recognizer.threads:
            self._collect()
        pixels = [line.pixels for _, line in bucket if line.pixels is not None]
        self._running.append((bucket, self._recognizer.start(pixels)))
        while self._running and self._running[0][1].done():
            self._collect()

    def _without_those_read(self, bucket: list[tuple[int, PreparedLine]]) -> list[tuple[int, PreparedLine]]:
        """A batch without the lines that an interrupted run has read: as a rule, all of them or none."""
        read = [(index, line.result) for index, line in bucket if line.result is not None]
        self._done.update(read)
        if read:
            self._on_done(len(read))
        return [(index, line) for index, line in bucket if line.result is None]

    def _collect(self) -> None:
        """Waits for the batch that was started first."""
        bucket, future = self._running.popleft()
        readings = future.result()
        results = [result_of(line, reading) for (_, line), reading in zip(bucket, readings, strict=True)]
        if self._log is not None:  # before the cache: what is there must be here as well
            widths = [line.batch_width_px for _, line in bucket]
            read = list(map(ReadBefore, results, widths))
            self._log.add([(index, before) for (index, _), before in zip(bucket, read, strict=True)])
        for (index, line), result in zip(bucket, results, strict=True):
            self._done[index] = keep(line, result, self._cache)
        self._on_done(len(bucket))


def _preparing_threads(recognizer: Recognizer) -> int | ThreadPoolExecutor:
    """On a CPU the pool that reads: a thread more than processors would stop one that holds Python's lock."""
    if recognizer.engine.device != "cpu":
        return min(_GPU_PREPARING_THREADS, usable_cores())
    return recognizer.pool or 1


def _window_lines(recognizer: Recognizer) -> int:
    if recognizer.engine.device != "cpu":
        return GPU_WINDOW_LINES
    return CPU_WINDOW_LINES * max(1, recognizer.engine.batch_pixels // CPU_BATCH_PIXELS)
