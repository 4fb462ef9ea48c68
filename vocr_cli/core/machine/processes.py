"""Worker processes that do not outlive the process that they work for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, ClassVar, Generic, Self, TypeVar

from vocr_cli.core.errors import VocrError
from vocr_cli.core.machine.closing import Closing
from vocr_cli.core.machine.threads import map_in_order

T = TypeVar("T")
R = TypeVar("R")

_LOOK_S, _END_LOOK_S = 2.0, 0.1
_ITEMS_AHEAD = 3  # for each process: enough for it to go on while results are taken


class ForkedWorkers(Closing, Generic[T, R]):
    """Processes that share what this one has loaded; each calls one function of what it is sent.

    Python's lock is held by one thread at a time: threads that compute little outside of it wait for each
    other, processes do not. Only where `may_fork`; `start` makes them where the system allows it.

    Args:
        function: Called in the processes. What it is given and gives back is sent through pipes.
        processes: So many.
        remedy: What the user can do where one of them is killed.
    """

    def __init__(self, function: Callable[[T], R], processes: int, remedy: str = "") -> None:
        self._items_ahead = _ITEMS_AHEAD * processes
        self._remedy = remedy
        context = multiprocessing.get_context("fork")
        self._pool = ProcessPoolExecutor(processes, context, _Worker.begin, (function,))
        # Left to themselves, the pool's thread and the end of Python may both close its pipes.
        self._finalizer = weakref.finalize(self, _end, self._pool)
        try:
            with _interrupts_wait(), warnings.catch_warnings():
                # Python 3.12 warns of threads, such as those of OpenBLAS, which prepares for forks itself.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pool.submit(os.getpid)  # forks all of them now, before this process starts a thread
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            self.close()
            raise

    @classmethod
    def start(cls, function: Callable[[T], R], processes: int, remedy: str = "") -> Self | None:
        """Forks, or gives None where the system has no more processes, memory or semaphores for that."""
        try:
            return cls(function, processes, remedy)
        except (OSError, ImportError, NotImplementedError):
            return None

    def map(self, items: Iterable[T]) -> Iterator[R]:
        """Gives the results of all items in their order; few more are consumed than were asked for.

        Raises:
            VocrError: A process was killed.
        """
        try:
            yield from map_in_order(self._pool, _Worker.call, items, self._items_ahead, self._result_of)
        except BrokenProcessPool:
            problem = "A worker process was killed, perhaps for want of memory."
            raise VocrError(problem, self._remedy) from None

    def _result_of(self, future: Future[R]) -> R:
        """Waits for a result.

        A process that is killed while it sends one leaves the others waiting for their turn to send, and the
        pool's thread for the rest.
        """
        inner: Any = self._pool
        processes = list((inner._processes or {}).values())
        while True:
            try:
                return future.result(_LOOK_S)
            except TimeoutError:
                if future.done():
                    raise  # of the function
                if not all(process.is_alive() for process in processes):
                    _kill(processes)
                    _give_up(inner._result_queue)

    def close(self) -> None:
        """Ends the processes when they have done what they are at, and waits for that.

        Ctrl-C meanwhile kills them, and is raised when they are gone.
        """
        self._finalizer()


def _end(pool: ProcessPoolExecutor) -> None:
    """Ends a pool's processes; where one was killed, does not wait for what it was sending."""
    inner: Any = pool
    manager, results = inner._executor_manager_thread, inner._result_queue
    processes = list((inner._processes or {}).values())
    with _interrupts_wait(_kill_children):
        pool.shutdown(wait=False, cancel_futures=True)
        while manager is not None and manager.is_alive():
            manager.join(_END_LOOK_S)
            if any((process.exitcode or 0) < 0 for process in processes):
                _kill(processes)  # they may wait for the killed one to have sent
            if not any(process.is_alive() for process in processes):
                _give_up(results)


def _give_up(results: Any) -> None:
    """Has the thread that waits for the rest of a result see that nobody is left who could send it."""
    if results is not None and not results._writer.closed:
        results._writer.close()


def _kill_children() -> None:
    _kill(multiprocessing.active_children())


def _kill(processes: Iterable[Any]) -> None:
    for process in processes:
        process.kill()


@contextmanager
def _interrupts_wait(on_interrupt: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Has Ctrl-C wait until the end of the block, where it is raised; `on_interrupt` is called at once.

    A blocked signal would not wait: another thread, such as one of OpenBLAS, takes it, and Python raises it
    in its main thread. Processes that are forked within the block ignore it.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        on_interrupt()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


class _Worker:
    """What a forked process knows: a pool sends the names of functions only."""

    function: ClassVar[Callable[[Any], Any]]

    @classmethod
    def begin(cls, function: Callable[[Any], Any]) -> None:
        """Takes the function; Ctrl-C is for the process that this one works for, which ends it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with_parent()
        cls.function = function

    @classmethod
    def call(cls, item: Any) -> Any:
        """Calls the function."""
        return cls.function(item)


def end_with_parent() -> None:
    """Has this process end soon after the one that started it, even where that is killed by SIGKILL.

    A pool's workers wait for work, and torch's for room to hand it over: neither notices that nobody is left.
    To be called once in a worker process of `multiprocessing`; elsewhere it does nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    # A pipe's other end is closed when the parent ends, but workers that were forked later hold it as well.
    started_by = os.getppid()

    def watch() -> None:
        while not wait([parent.sentinel], _LOOK_S) and os.getppid() == started_by:
            pass
        os._exit(1)

    threading.Thread(target=watch, name="vocr-parent", daemon=True).start()


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Has processes that are spawned within the block not see Ctrl-C, whatever of Python they are loading.

    A terminal sends it to all processes of a command; one that is still importing ends in a traceback. It
    waits for `take_interrupts` there, and here for the end of the block: what is half sent ends a process in
    one, too. On Windows it waits here only.
    """
    with _interrupts_wait():
        if sys.platform == "win32":
            yield
            return
        resource_tracker.ensure_running()  # starts with the first process otherwise, and lets signals in
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_interrupts() -> None:
    """Has a process that was started `without_interrupts` see Ctrl-C from here on, and one that waited."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
