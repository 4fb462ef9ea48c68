"""Worker processes that do not outlive the process that they work for."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

_LOOK_S = 2.0


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
