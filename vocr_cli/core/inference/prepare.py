"""Pre-processing: lines are opened and scaled ahead of the recogniser, or found in a cache of readings."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.open_image import line_flags, open_line
from vocr_cli.core.errors import ImageError, VocrError
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.outputs.batch_log import ReadBefore
from vocr_cli.core.inference.outputs.line_result import LineResult as LineResult

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from vocr_cli.core.inference.cache.result_cache import CachedLine, ResultCache

_TASK_LINES = 16  # lines a worker prepares at a time: a task for each would cost more than it brings
_CACHED_TASK_LINES = 64  # with a cache most lines take little
_HELD_BYTES = 16 << 20  # of images that a thread holds as they are stored
_WAITS = 4  # times the computing: a chunk that took longer waited for its storage, not for Python's lock
_SURE = 0.7  # of 14 pages and single words, all pages were read below it, and all words above
_POOL_TASKS = 6  # of a pool that has other work, too: enough for it to go on while results are taken


def without_page(result: LineResult) -> LineResult:
    """Takes a page's reading away, which means nothing: lines of text squeezed into one.

    A picture that looks like a page may hold a single word, which is read surely; that reading stays.
    """
    reading = result.reading
    if reading is None or "page-like" not in reading.flags:
        return result
    if reading.text and reading.confidence >= _SURE:
        return result
    size = f"{result.width_px:,} × {result.height_px:,} px"
    problem = ImageError(
        f"{result.path}: {size}, a page or several lines, and vocr reads one line an image.",
        "Read pages with `vocr read`, which finds their lines.",
    )
    return replace(result, reading=None, error=problem)


@dataclass(frozen=True, slots=True)
class PreparedLine:
    """A line to be read, or its result where there is one already.

    Attributes:
        path: The name to report.
        pixels: (H, W, channels) uint8, fitted to the model.
        flags: What makes the image doubtful.
        size: Width and height of the image, px.
        result: The reading out of the cache or of an interrupted run, or the failure.
        batch_width_px: The width at which the line takes its place in a batch; 0: in none.
        keys: Under which a cache keeps the reading.
    """

    path: str
    pixels: np.ndarray | None
    flags: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    result: LineResult | None = None
    batch_width_px: int = 0
    keys: tuple[bytes, bytes] | None = None


class _Clocks:
    """The time since it was made, and that which this thread computed in it."""

    def __init__(self) -> None:
        self._began, self._computed = time.perf_counter(), time.thread_time()

    def waited(self) -> bool:
        """Whether the thread waited most of the time, for storage."""
        return time.perf_counter() - self._began > _WAITS * (time.thread_time() - self._computed)


class Preparer:
    """Prepares lines for a model.

    Args:
        image: How the model sees a line.
        cache: Readings of earlier runs.
    """

    def __init__(self, image: ImageConfig, cache: ResultCache | None = None) -> None:
        self._image, self._cache = image, cache
        self._all_cached = (
            False  # whether the last chunk was in the cache as a whole, and reading it did not wait
        )

    def ahead(self, lines: Iterable[LineInput], workers: int | ThreadPoolExecutor) -> Iterator[PreparedLine]:
        """Prepares lines by so many threads (0: this one) or those of a pool, in their order."""
        if not isinstance(workers, int):
            yield from self._in_pool(lines, workers, _POOL_TASKS)
        elif workers:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(workers, "vocr-prepare") as pool:
                yield from self._in_pool(lines, pool, 2 * workers + 2)
        else:
            source = iter(lines)
            while chunk := list(islice(source, 1 if self._cache is None else _CACHED_TASK_LINES)):
                yield from self.prepare(chunk)

    def _in_pool(
        self, lines: Iterable[LineInput], pool: ThreadPoolExecutor, at_once: int
    ) -> Iterator[PreparedLine]:
        source = iter(lines)
        size = _TASK_LINES if self._cache is None else _CACHED_TASK_LINES
        tasks: deque[Future[list[PreparedLine]]] = deque()
        try:
            while True:
                # Threads would only pass Python's lock to and fro where each line is looked up in 20 µs.
                most_tasks = 0 if self._all_cached else at_once
                while len(tasks) < most_tasks and (chunk := list(islice(source, size))):
                    tasks.append(pool.submit(self.prepare, chunk))
                if tasks:
                    yield from tasks.popleft().result()
                elif chunk := list(islice(source, size)):
                    yield from self.prepare(chunk)
                else:
                    return
        finally:
            for task in tasks:
                task.cancel()

    def prepare(self, lines: list[LineInput]) -> list[PreparedLine]:
        """Prepares a few lines; their images are looked up in the cache together, large ones by fewer."""
        if any(isinstance(line.source, ReadBefore) for line in lines):
            parts = groupby(lines, lambda line: isinstance(line.source, ReadBefore))
            return [
                line
                for before, part in parts
                for line in (map(_read_before, part) if before else self.prepare(list(part)))
            ]
        if self._cache is None:
            return [self._loaded(line) for line in lines]
        prepared: list[PreparedLine] = []
        contents: list[tuple[str, bytes | VocrError]] = []
        held_bytes, began = 0, _Clocks()
        for line in lines:
            contents.append(_content(line))
            held_bytes += len(data) if isinstance(data := contents[-1][1], bytes) else 0
            if held_bytes >= _HELD_BYTES:
                prepared += self._looked_up(contents, self._cache, began)
                contents, held_bytes, began = [], 0, _Clocks()
        return prepared + self._looked_up(contents, self._cache, began)

    def _looked_up(
        self, contents: list[tuple[str, bytes | VocrError]], cache: ResultCache, began: _Clocks
    ) -> list[PreparedLine]:
        """Looks images up by their bytes, and prepares those that are not in the cache."""
        keys = [b"" if isinstance(data, VocrError) else cache.content_key(data) for _, data in contents]
        cached_lines = cache.find(keys)
        self._all_cached = None not in cached_lines and not began.waited()
        return [
            _failed(name, data)
            if isinstance(data, VocrError)
            else _cached(name, cached)
            if cached is not None
            else self._decoded(name, data, key)
            for (name, data), key, cached in zip(contents, keys, cached_lines, strict=True)
        ]

    def _loaded(self, line: LineInput) -> PreparedLine:
        try:
            path, image = line.load()
        except VocrError as error:
            return _failed(line.path, error)
        pixels = fit_line(image, self._image)
        flags = line_flags(image, self._image)
        return PreparedLine(path, pixels, flags, image.size, batch_width_px=pixels.shape[1])

    def _decoded(self, name: str, data: bytes, content_key: bytes) -> PreparedLine:
        """Decodes a line whose bytes are not in the cache; its pixels may be."""
        assert self._cache is not None
        try:
            image = open_line(data, name)
        except VocrError as error:
            return _failed(name, error)
        keys = content_key, self._cache.pixels_key(image)
        (cached,) = self._cache.find([keys[1]])
        if cached is not None:
            self._cache.link(*keys)
            return _cached(name, cached)
        flags = line_flags(image, self._image)
        pixels = fit_line(image, self._image)
        return PreparedLine(name, pixels, flags, image.size, None, pixels.shape[1], keys)


def _content(line: LineInput) -> tuple[str, bytes | VocrError]:
    try:
        return line.encoded()
    except VocrError as error:
        return line.path, error


def _read_before(line: LineInput) -> PreparedLine:
    assert isinstance(line.source, ReadBefore)
    return PreparedLine(line.path, None, result=line.source.result, batch_width_px=line.source.width_px)


def _failed(path: str, error: VocrError) -> PreparedLine:
    return PreparedLine(path, None, result=LineResult(path, None, error))


def _cached(path: str, line: CachedLine) -> PreparedLine:
    return PreparedLine(
        path, None, result=LineResult(path, line.reading, None, line.width_px, line.height_px)
    )
