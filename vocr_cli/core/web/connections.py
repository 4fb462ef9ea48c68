"""Connections of a server: those that send no whole request in time, or heads without end, are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_HEAD_S = 30.0
_HEAD_BYTES = 1 << 16


def http_protocol() -> Any:
    """What uvicorn is to speak HTTP by.

    By itself, uvicorn waits for the end of a request's head for ever, and with httptools takes heads of any
    size: some thousand connections that say little would leave none for others, without any token
    ("Slowloris", Hansen, 2009).
    """
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:  # h11 bounds heads itself
        return "auto"

    class BoundedProtocol(HttpToolsProtocol):
        """One connection; the methods are those that its event loop and its parser call."""

        _deadline: asyncio.TimerHandle | None = None
        _in_head = False
        _head_bytes = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_head()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            continues = self._in_head
            super().data_received(data)
            if continues and self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > _HEAD_BYTES:
                    self.transport.close()

        def on_message_begin(self) -> None:
            self._in_head, self._head_bytes = True, 0
            self._await_head()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._end_head()
            super().on_headers_complete()

        def _await_head(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(_HEAD_S, self.transport.close)

        def _end_head(self) -> None:
            self._in_head = False
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return BoundedProtocol
