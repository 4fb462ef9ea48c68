"""An object in a process of its own, so that its peak memory is its own, and rounds can alternate."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self


class Remote:
    """Starts the process and talks to it; each call waits for its answer.

    Args:
        make: A class at the top of a module; its object has `facts`, and methods to be asked for.
        task: What it is made from.

    Attributes:
        facts: The object's own, as they were when it had been made.

    Raises:
        VocrError: What `make` raised.
    """

    def __init__(self, make: Callable[[Any], Any], task: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, task))
        self._process.start()
        theirs.close()
        try:
            self.facts: Any = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, method: str) -> Any:
        """What the object's method returns; what it raises is raised here."""
        self._pipe.send(method)
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _serve(pipe: Connection, make: Callable[[Any], Any], task: Any) -> None:
    """The process: answers until the other end hangs up."""
    try:
        made = make(task)
        pipe.send(made.facts)
        while True:
            pipe.send(getattr(made, pipe.recv())())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:
        pipe.send(error)
