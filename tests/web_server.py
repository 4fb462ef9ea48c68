"""Servers of `vocr label` and `vocr serve`, in this process or in one of their own, and requests to them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from conftest import ROOT

Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers by their names in small letters, and body."""


class Server(ABC):
    """What can be asked. `token` lets requests in."""

    token: str

    @abstractmethod
    def request(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Sends a request, POST where there are data."""

    def fetch(self, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Sends a request; with the token, unless `headers` are given."""
        return self.request(
            path, data, {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        )

    def ask(self, path: str, sent: object = None, status: int = 200) -> Any:
        """The JSON of an answer, which must have this status."""
        data = None if sent is None else json.dumps(sent).encode()
        found, _, body = self.fetch(path, data)
        assert found == status, body
        return json.loads(body)

    def next_line(self, **query: object) -> dict[str, Any]:
        """The line that a page would show next."""
        asked = {"order": "source", "show": "undecided", "tab": "a", "count": 1, **query}
        line: dict[str, Any] = self.ask("/api/next", asked)["lines"][0]
        return line

    def decide(self, line: Mapping[str, Any], text: str, status: int = 200, **more: object) -> Any:
        """Sends a decision about a line as it was shown."""
        shown = {"line": line["id"], "version": line["version"], "image": line["image"]}
        return self.ask("/api/decide", {**shown, "verdict": "text", "text": text, **more}, status)

    def listed(self) -> dict[str, Any]:
        """The state, as soon as all lines are listed."""
        for _ in range(400):
            state: dict[str, Any] = self.ask("/api/state")
            if state["listed"]:
                return state
            time.sleep(0.01)
        raise AssertionError(state)


class LocalServer(Server):
    """An app that is called as a server would call it.

    Args:
        app: An ASGI app.
        token: What it wants to see.
    """

    def __init__(self, app: Any, token: str) -> None:
        self._app, self.token = app, token

    def request(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        """See `Server`."""
        return asyncio.run(self._call(path, data, {"Host": "127.0.0.1:1", **headers}))

    async def _call(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        from urllib.parse import unquote

        raw, _, query = path.partition("?")
        named = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET" if data is None else "POST",
            "path": unquote(raw), "raw_path": raw.encode(), "query_string": query.encode(), "headers": named,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http", "root_path": "",
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data or b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


class ProcessServer(Server):
    """A command in a process of its own, which is killed, if it still runs, at the end of a `with` block.

    Attributes:
        url: The address with the token, as it was printed.
    """

    def __init__(
        self, *words: object, cwd: Path, before: Callable[[], None] | None = None, **env: str
    ) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vocr_cli", *map(str, words), "--port", "0"],
            cwd=cwd, env={**os.environ, "PYTHONPATH": path, **env}, preexec_fn=before,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), self.process.communicate()[1]
        self.base, _, self.token = self.url.partition("/?token=")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Ends it as a user does; what it said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        return said

    def request(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        """See `Server`."""
        request = urllib.request.Request(self.base + path, data, dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()
