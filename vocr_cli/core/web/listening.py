"""A server on a port of its own, until a signal ends it."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING

from vocr_cli.core.errors import DataError, DependencyError, reason_of
from vocr_cli.core.web.connections import http_protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BACKLOG = 2048
_SWITCH_S = 0.001
_COLLECT_AFTER = (20_000, 50, 1_000)
_SHUTDOWN_S = 2
_IDLE_CONNECTION_S = 75


def need_web(what: str) -> None:
    """Refuse what cannot be served without the packages of the extra `web`.

    Args:
        what: What needs them, as the sentence begins: `vocr label`.

    Raises:
        DependencyError: One is not installed.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"{what} needs {' and '.join(missing)}.", "Install it: pip install 'vocr-cli[web]'"
        )


def bind(host: str, port: int | None, usual: int) -> socket.socket:
    """Takes a port.

    Args:
        host: Address or name to listen at.
        port: 0: any that is free; None: the usual one, or where that is taken, any.
        usual: The usual one.

    Raises:
        DataError: It cannot be had.
    """
    try:
        return _bound(host, usual if port is None else port)
    except OSError as error:
        if port is not None or isinstance(error, socket.gaierror):
            raise DataError(
                f"Cannot listen at {host}, port {port or usual}: {reason_of(error)}.",
                "Name another with --port, or 0 for any that is free.",
            ) from None
    return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(_BACKLOG)
    except BaseException:
        taken.close()
        raise
    return taken


def address_of(taken: socket.socket, host: str) -> str:
    """The address of a bound socket, as a browser of this machine takes it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{taken.getsockname()[1]}"


def serve(app: ASGIApp, taken: socket.socket) -> None:
    """Answers requests until a signal comes; those that are being answered are let finish.

    Args:
        app: What answers.
        taken: A bound socket, as `bind` gives it: who connects before this is called waits.

    Raises:
        KeyboardInterrupt: The signal, raised anew when all is answered.
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", ws="none", server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S, timeout_keep_alive=_IDLE_CONNECTION_S,
        proxy_headers=False, http=http_protocol(),
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[taken])


def _answer_promptly() -> None:
    """Has this process answer soon while other threads of it compute.

    A request passes Python's lock to and fro some times, and may wait a whole interval for it each time; and
    the garbage collector stops everything while it looks through what is known of a hundred thousand lines,
    among which there is no garbage.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_COLLECT_AFTER)


def run_until_signal(run: Callable[[], None], stop: Callable[[], None]) -> None:
    """Runs something until it ends or Ctrl-C or SIGTERM ends it, then has everything saved.

    Args:
        run: May be interrupted anywhere.
        stop: Is not: further signals are ignored meanwhile.
    """
    stopping = False

    def end(number: int, frame: FrameType | None) -> None:
        if not stopping:
            raise KeyboardInterrupt

    _answer_promptly()
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with suppress(KeyboardInterrupt):
            run()
    finally:
        stopping = True
        try:
            stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
