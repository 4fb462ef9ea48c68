"""Clients that say little, or never come to the end, do not keep a connection; others go on meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vocr_cli.core.web import connections

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("httptools")


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Takes a body and answers with its length."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], socket.socket]]:
    """Connects to a server that gives the head of a request a fifth of a second."""
    monkeypatch.setattr(connections, "_HEAD_S", 0.2)
    config = uvicorn.Config(
        answer, lifespan="off", ws="none", http=connections.http_protocol(), log_level="error"
    )
    taken = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    opened: list[socket.socket] = []

    def connected() -> socket.socket:
        opened.append(socket.create_connection(taken.getsockname(), timeout=20))
        return opened[-1]

    yield connected
    for one in opened:
        one.close()
    server.should_exit = True
    thread.join()


def is_closed(connection: socket.socket) -> bool:
    """Whether the server ends a connection without an answer."""
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_head_that_does_not_end_is_not_waited_for(connect, said):
    connection = connect()
    connection.sendall(said)
    assert is_closed(connection)


def test_a_second_head_on_a_connection_is_not_waited_for_either(connect):
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET / HTTP/1.1\r\nX")
    assert is_closed(connection)


def test_a_head_without_end_is_not_taken_into_memory(connect, monkeypatch):
    monkeypatch.setattr(connections, "_HEAD_S", 60)
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ConnectionError):
        for _ in range(10_000):
            connection.sendall(b"X: " + b"x" * 1000 + b"\r\n")
            time.sleep(0.0005)


def test_a_slow_body_and_a_large_one_come_through_on_one_connection(connect):
    connection = connect()
    connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
    time.sleep(0.4)
    connection.sendall(b"bc")
    assert connection.recv(1000).endswith(b"\r\n\r\n3")
    connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000)
    assert connection.recv(1000).endswith(b"\r\n\r\n500000")
