"""Lines that gain nothing by batches, read one by one: by threads, or by processes.

Only one thread at a time holds Python's lock, and a quarter of what a line takes is done under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from vocr_cli.core.errors import ModelError, VocrError
from vocr_cli.core.inference.engines.batches import SINGLE_LINES
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.outputs.line_result import LineResult
from vocr_cli.core.inference.prepare import PreparedLine, Preparer
from vocr_cli.core.inference.reading import NO_NUMBER, NO_NUMBER_REMEDY, Reading
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.threads import map_in_order, may_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vocr_cli.core.inference.cache.result_cache import ResultCache
    from vocr_cli.core.machine.processes import ForkedWorkers

    ReadingProcesses: TypeAlias = ForkedWorkers[list[LineInput], list[LineResult]]

WORTH_PROCESSES_LINES = 128
"""Fewer are read while processes are forked."""

_TASKS_AHEAD = 3  # for each thread: enough for it to go on while results are taken


def reading_processes(recognizer: Recognizer, remedy: str) -> ReadingProcesses | None:
    """Forks processes that read many lines for `read_all`, where they can and that is sooner than threads.

    Args:
        recognizer: Reads in each of them.
        remedy: What the user can do where one of them is killed.
    """
    if recognizer.pool is None or not recognizer.engine.reads_singly or not may_fork():
        return None
    from vocr_cli.core.machine.processes import ForkedWorkers

    return ForkedWorkers.start(_ChunkReader(recognizer, None), recognizer.threads, remedy)


class _ChunkReader:
    """Reads a few lines, one by one: opened, scaled, read and decoded by one thread."""

    def __init__(self, recognizer: Recognizer, cache: ResultCache | None) -> None:
        self._recognizer, self._cache = recognizer, cache
        self._preparer = Preparer(recognizer.image, cache)

    def __call__(self, chunk: list[LineInput]) -> list[LineResult]:
        prepared = self._preparer.prepare(chunk)
        pixels = [line.pixels for line in prepared if line.pixels is not None]
        readings = iter(self._recognizer.read_fitted(pixels))
        return [line.result or keep(line, result_of(line, next(readings)), self._cache) for line in prepared]


def read_singly(
    recognizer: Recognizer,
    lines: Iterable[LineInput],
    cache: ResultCache | None,
    on_done: Callable[[int], None],
    processes: ReadingProcesses | None,
) -> Iterator[LineResult]:
    """Reads lines in their order, a few in each task."""
    source = iter(lines) if processes is None else map(_without_store, lines)
    chunks = iter(lambda: list(islice(source, SINGLE_LINES)), [])
    read = _ChunkReader(recognizer, cache)
    results: Iterable[list[LineResult]]
    if processes is not None:
        results = processes.map(chunks)
    elif recognizer.pool is None:
        results = map(read, chunks)
    else:
        results = map_in_order(recognizer.pool, read, chunks, _TASKS_AHEAD * recognizer.threads)
    for chunk in results:
        on_done(len(chunk))
        yield from chunk


def result_of(line: PreparedLine, reading: Reading) -> LineResult:
    """The result of a line that was read."""
    if not reading.is_number:
        return LineResult(
            line.path, None, ModelError(f"{line.path}: the model {NO_NUMBER}.", NO_NUMBER_REMEDY)
        )
    return LineResult(line.path, reading.flagged(line.flags), None, *line.size)


def keep(line: PreparedLine, result: LineResult, cache: ResultCache | None) -> LineResult:
    """Has the cache take what was read, and gives it back."""
    if cache is not None and line.keys is not None and result.reading is not None:
        cache.add(*line.keys, result.reading, line.size)
    return result


def _without_store(line: LineInput) -> LineInput:
    """The same line for another process, which must not share an open database: its bytes in its place."""
    if not isinstance(line.source, tuple):
        return line
    try:
        return LineInput(*line.encoded())
    except VocrError as error:
        return LineInput(line.path, error)
