"""What Ctrl-C does to a command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType


def interrupt_once() -> Callable[[], bool]:
    """Has the first Ctrl-C raise KeyboardInterrupt, the second kill the processes that are waited for.

    A second KeyboardInterrupt would be raised amid what the first one ends: where that is a generator that is
    being thrown away, Python shows its traceback and goes on. A third Ctrl-C ends this process as if it had
    no handler. To be called in the main thread; where Ctrl-C is ignored or handled, nothing is changed.

    Returns:
        Tells whether Ctrl-C came: libraries make errors of their own of a KeyboardInterrupt.
    """
    came = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came == 1:
            raise KeyboardInterrupt
        _kill_children()
        if came > 2:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
    return lambda: came > 0


def _kill_children() -> None:
    multiprocessing = sys.modules.get("multiprocessing")  # where it is not loaded, there are none
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.kill()
