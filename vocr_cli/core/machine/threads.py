"""Work that threads share, its results in order; and whether this process has no other thread."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")

_OWN_THREADS = ("torch", "openvino")  # what is forked would lack them, and wait for them for ever


def may_fork() -> bool:
    """Returns whether a fork of this process can work on: Linux, no thread of Python's but this one."""
    alone = threading.active_count() == 1 and not any(name in sys.modules for name in _OWN_THREADS)
    return sys.platform.startswith("linux") and alone


def map_in_order(
    executor: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    ahead: int,
    result_of: Callable[[Future[R]], R] = lambda future: future.result(),
) -> Iterator[R]:
    """Gives `function` of each item in order; at most `ahead` calls are begun whose result was not taken.

    `Executor.map` takes all items at once. Items are consumed by the thread that takes the results. What has
    not begun when the iterator is closed never does.
    """
    source = iter(items)
    running: deque[Future[R]] = deque(executor.submit(function, item) for item in islice(source, ahead))
    try:
        while running:
            result = result_of(running.popleft())
            running.extend(executor.submit(function, item) for item in islice(source, 1))
            yield result
    finally:
        for future in running:
            future.cancel()
