"""An object in a process to itself, so that its peak memory can be told, and rounds can alternate."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from vocr_cli.core.errors import VocrError, reason_of
from vocr_cli.core.machine.closing import Closing
from vocr_cli.core.machine.out_of_memory import NotEnoughMemory, is_out_of_memory
from vocr_cli.core.machine.processes import take_interrupts, without_interrupts


class MeasuredProcess(Closing):
    """A process that holds one object, whose methods can be called; each call waits for its answer.

    Args:
        factory: A class at the top of a module; its object has an attribute `facts`.
        task: The one argument of `factory`.
        name: What messages and rows call it.

    Attributes:
        facts: The object's `facts`, as they were when it had been made.

    Raises:
        VocrError: What `factory` raised.
    """

    def __init__(self, factory: Callable[[Any], Any], task: Any, name: str = "") -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, factory, task))
        with without_interrupts():
            self._process.start()
        other_end.close()
        try:
            self.facts: Any = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, method: str) -> Any:
        """Return what the object's method returns; what it raises is raised here."""
        self._pipe.send(method)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()

    def _answer(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _serve(pipe: Connection, factory: Callable[[Any], Any], task: Any) -> None:
    """Answer, within the process, until the other end hangs up."""
    try:
        take_interrupts()
        served = factory(task)
        pipe.send(served.facts)
        while True:
            pipe.send(getattr(served, pipe.recv())())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:
        if not isinstance(error, VocrError) and is_out_of_memory(error):  # each library has its own class
            problem = reason_of(error).partition("\n")[0]
            error = NotEnoughMemory(f"Memory is short: {problem}.", "Free memory, or measure less.")
        pipe.send(error)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python would tell of one while it ends
