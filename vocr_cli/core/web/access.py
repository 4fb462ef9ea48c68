"""Who may ask the server: holders of its token, by an address that is its own, from its own pages."""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = ("/health",)
"""Asked by monitors, which hold no token; nothing of the lines is told there."""

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def new_token() -> str:
    """A token that nobody guesses: 32 random bytes."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """What a request must bring along.

    Args:
        token: The secret; "" lets everybody in who comes by the right address.
        host: Where the server listens.
        port: Its port.
        names: Further names that it is reached by, behind a proxy for instance.
    """

    def __init__(self, token: str, host: str, port: int, names: Iterable[str] = ()) -> None:
        self.token = token
        self.cookie = f"vocr_{port}"  # cookies are shared by all ports of a host
        self._names = {*LOOPBACK, *(name.lower() for name in names)}
        self._any_address = not is_loopback(host)
        if self._any_address:
            self._names |= {host.lower(), socket.gethostname().lower()}

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this server.

        A page that has its own name resolved to 127.0.0.1 (DNS rebinding) sends that name here. An address
        cannot be rebound, so where the server listens on more than the loopback, all addresses will do.
        """
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.lower()
        if name in self._names:
            return True
        if not self._any_address:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def has_token(self, offered: str) -> bool:
        """Whether this is the token, compared in constant time."""
        return hmac.compare_digest(offered.encode("utf-8", "replace"), self.token.encode())


class Guard:
    """ASGI middleware: refuses strangers, and has every answer say what a browser may do with it.

    Args:
        app: What is guarded.
        access: Whom to let in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or has the app do so."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := self._foreign(scope["method"], headers):
            return await _refuse(send, 421 if "Host" in refusal else 403, refusal)
        by_address = self._token_in_address(scope)
        if scope["path"] not in OPEN_PATHS and not self._holds_token(headers, by_address):
            return await _refuse(send, 403, "The token is missing or wrong.")
        cookie = f"{self._access.cookie}={self._access.token}; Path=/; HttpOnly; SameSite=Strict"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = list(message["headers"])
                known = {name for name, _ in sent}
                sent += [pair for pair in _GUARDING if pair[0] not in known]
                if by_address:
                    sent.append((b"set-cookie", cookie.encode()))
                message = {**message, "headers": sent}
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _foreign(self, method: str, headers: dict[str, str]) -> str:
        """Why a request seems to come from another page or by another name; empty: it does not."""
        host = headers.get("host", "")
        if not self._access.knows_host(host):
            return f"Host {host[:100]!r} is not this server's."
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return f"Origin {origin[:100]!r} is not this server's."
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        opens_page = method in ("GET", "HEAD") and mode == "navigate"
        if site not in ("none", "same-origin") and not opens_page:
            return "The request comes from a page of another site."
        return ""

    def _token_in_address(self, scope: Scope) -> bool:
        query = scope["query_string"].decode("latin-1")
        if "token=" not in query or not self._access.token or scope["method"] not in ("GET", "HEAD"):
            return False
        return any(map(self._access.has_token, parse_qs(query).get("token", [])))

    def _holds_token(self, headers: dict[str, str], by_address: bool) -> bool:
        if by_address or not self._access.token:
            return True
        scheme, _, offered = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._access.has_token(offered.strip())
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._access.cookie)
        except CookieError:
            return False
        return morsel is not None and self._access.has_token(morsel.value)


_GUARDING = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


async def _refuse(send: Send, status: int, problem: str) -> None:
    fix = "Open the address with the token that the command printed when it started."
    body: dict[str, Any] = {"problem": problem, "fix": fix}
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *_GUARDING]
    headers.append((b"connection", b"close"))  # whatever else a stranger sends is not waited for
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
