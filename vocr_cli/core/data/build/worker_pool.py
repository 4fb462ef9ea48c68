"""Work on many items by several processes, the results in the items' order.

Pillow holds Python's lock for most of what it does with a small image, so that threads gain little here.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from vocr_cli.core.errors import VocrError
from vocr_cli.core.machine.closing import Closing
from vocr_cli.core.machine.hardware import usable_processors
from vocr_cli.core.machine.processes import end_with_parent, without_interrupts

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CHUNK_ITEMS = 32
_CHUNKS_AHEAD = 24  # per worker: they go on working while this process waits for the disk
_ALONE_SECONDS = 0.1  # work that takes no longer needs no pool


class WorkerLost(VocrError):
    """A worker process ended in the middle of its work."""


def ordered_map(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int = 0,
    *,
    chunk_items: int = _CHUNK_ITEMS,
    chunks_ahead: int = _CHUNKS_AHEAD,
    alone_seconds: float = _ALONE_SECONDS,
) -> Iterator[tuple[_Item, _Result]]:
    """Yields (item, result) for every item, in the items' order.

    The first items are worked on here; if there are many, worker processes are started meanwhile and take
    over. A bounded number of chunks is under way at a time. The workers end with this process, even if it is
    killed.

    Args:
        work: Done for each item; it and its items and results must pickle.
        items: Taken as they are needed.
        workers: How many processes; 0: one for each processor; 1: no other process than this one.
        chunk_items: Items that are handed to a worker at a time.
        chunks_ahead: Chunks that each worker may be given before the results of the first are taken.
        alone_seconds: Work that takes no longer is done here.

    Raises:
        WorkerLost: A worker ended, for lack of memory for instance.
        RuntimeError: `work` raised in a worker; holds the worker's traceback.
    """
    remaining = iter(items)
    workers = workers or usable_processors()
    if workers == 1:
        yield from ((item, work(item)) for item in remaining)
        return
    started = time.monotonic()
    for item in remaining:
        yield item, work(item)
        if time.monotonic() - started > alone_seconds:
            break
    else:
        return
    with _WorkerPool(work, workers, chunk_items, chunks_ahead) as pool:
        while not pool.ready() and (chunk := list(islice(remaining, chunk_items))):
            yield from ((item, work(item)) for item in chunk)
        yield from pool.results(remaining)


class _WorkerPool(Closing):
    """Worker processes, each with a pipe of its own; chunks are dealt to them in turn."""

    def __init__(self, work: Callable[[Any], Any], workers: int, chunk_items: int, chunks_ahead: int) -> None:
        self._chunk_items, self._chunks_ahead = chunk_items, chunks_ahead
        context = multiprocessing.get_context("spawn")  # a fork would copy open databases and locks
        self._connections: list[Connection[Any, Any]] = []
        self._processes = []
        try:
            for _ in range(workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(work, theirs), daemon=True)
                with without_interrupts():
                    process.start()
                theirs.close()
                self._connections.append(ours)
                self._processes.append(process)
        except BaseException:
            self.close()
            raise

    def ready(self) -> bool:
        """Whether every worker has started; one that could not shows itself when it is given work."""
        return all(connection.poll() for connection in self._connections)

    def results(self, items: Iterator[_Item]) -> Iterator[tuple[_Item, Any]]:
        """Yields (item, result) in the items' order, a bounded number of chunks ahead."""
        turn = cycle(self._connections)
        ahead: deque[tuple[list[_Item], Connection[Any, Any]]] = deque()
        try:
            for connection in self._connections:
                connection.recv()  # the word that it is ready
            while True:
                while len(ahead) < self._chunks_ahead * len(self._connections):
                    chunk = list(islice(items, self._chunk_items))
                    if not chunk:
                        break
                    connection = next(turn)
                    connection.send(chunk)
                    ahead.append((chunk, connection))
                if not ahead:
                    return
                chunk, connection = ahead.popleft()
                yield from zip(chunk, _unwrapped(connection.recv()), strict=True)
        except (EOFError, ConnectionError):
            raise WorkerLost(
                "A worker process ended in the middle of its work, perhaps for lack of memory.",
                "Go on with --resume and fewer --workers.",
            ) from None

    def close(self) -> None:
        """Ends the processes, whatever they are at."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _unwrapped(answer: list[Any] | str) -> Sequence[Any]:
    if isinstance(answer, str):
        raise RuntimeError(f"In a worker process:\n{answer}")
    return answer


def _serve(work: Callable[[Any], Any], connection: Connection[Any, Any]) -> None:
    """Works in a worker process: takes chunks and gives results, until the other end of the pipe is gone.

    Two threads move them, so that work goes on while results wait to be fetched. As chunks come only for
    results that were fetched, what waits is bounded.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    chunks: SimpleQueue[list[Any] | None] = SimpleQueue()
    answers: SimpleQueue[list[Any] | str] = SimpleQueue()
    connection.send("ready")
    Thread(target=_receive, args=(connection, chunks), daemon=True).start()
    Thread(target=_send, args=(connection, answers), daemon=True).start()
    while (chunk := chunks.get()) is not None:
        try:
            answers.put([work(item) for item in chunk])
        except Exception:
            answers.put(traceback.format_exc())


def _receive(connection: Connection[Any, Any], chunks: SimpleQueue[list[Any] | None]) -> None:
    try:
        while True:
            chunks.put(connection.recv())
    except (EOFError, OSError):
        chunks.put(None)


def _send(connection: Connection[Any, Any], answers: SimpleQueue[list[Any] | str]) -> None:
    try:
        while True:
            connection.send(answers.get())
    except OSError:  # the other end is gone, and `_receive` ends the work
        return
