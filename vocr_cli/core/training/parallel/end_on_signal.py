"""The end of a rank that waits for one that is gone, and of one that fails while others go on.

Python runs a signal's handler between two of its own instructions. A rank that waits in NCCL or in Gloo for
another, dead or killed, comes to none: SIGTERM would do nothing, and torchrun, a job scheduler or Docker
would kill it half a minute later.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RANK_GRACE_S = 25.0
"""How long a rank has to save and to end; torchrun and most schedulers kill after 30 seconds."""


@contextmanager
def end_on_sigterm(grace_s: float = RANK_GRACE_S) -> Iterator[None]:
    """While the block runs, ends the process if it is still in it so long after a SIGTERM.

    Its exit code is then 143. What handles the signal otherwise, does so as before; where nothing does, the
    signal ends the process at once. In a thread that is not the main one, nothing is done.

    Args:
        grace_s: How long after the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(reader, over, grace_s), name="vocr-end-on-sigterm", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        writer.close()  # ends the watcher, unless it waits for `over`
        watcher.join()
        reader.close()


def _watch(reader: socket.socket, over: threading.Event, grace_s: float) -> None:
    """Waits for a SIGTERM, whose number the system's handler writes whatever the main thread does."""
    while numbers := reader.recv(64):
        if signal.SIGTERM in numbers and not over.wait(grace_s):
            os._exit(128 + signal.SIGTERM)


def end_without_farewell() -> None:
    """Has the process end at its exit at once, with code 1, once everything that it said is written.

    Destructors of process groups, which may wait for other ranks, do not run then.
    """
    atexit.register(_end_at_once)


def _end_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)
