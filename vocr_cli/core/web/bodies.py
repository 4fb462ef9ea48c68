"""Bodies of requests, taken up to a limit: JSON, an image as it is, or several as a form sends them."""

from __future__ import annotations

import asyncio
import json
import re
from email.message import Message
from typing import TYPE_CHECKING, Any

from vocr_cli.core.errors import DataError

if TYPE_CHECKING:
    from starlette.requests import Request

_SLOWEST_S = 30.0
_NAME = re.compile(rb'filename="((?:[^"\\]|\\.)*)"')


class TooLargeError(DataError):
    """A body is larger than is taken."""


class TooSlowError(DataError):
    """A body did not come in time."""


async def whole_body(request: Request, limit_bytes: int) -> bytes:
    """Takes a body.

    Raises:
        TooLargeError: It is larger than the limit; the rest is not waited for.
        TooSlowError: It takes longer than half a minute.
    """
    too_large = TooLargeError(f"The body is larger than {limit_bytes:,} bytes.", "Send less at a time.")
    stated = request.headers.get("content-length", "0")
    if stated.isdigit() and int(stated) > limit_bytes:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(_SLOWEST_S):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > limit_bytes:
                    raise too_large
    except TimeoutError:
        raise TooSlowError("The body did not come within 30 s.", "Send it again.") from None
    return b"".join(parts)


async def json_body(request: Request, limit_bytes: int) -> dict[str, Any]:
    """Takes a body that is a JSON object.

    Raises:
        DataError: It is none, or larger than the limit.
    """
    try:
        asked = json.loads(await whole_body(request, limit_bytes))
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise DataError("The body is no JSON object.", "Load the page again.")
    return asked


def form_files(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """The parts of a `multipart/form-data` body (RFC 7578): names of files, and their bytes.

    Raises:
        DataError: It is no such form.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise DataError("This is no form with files.", "Send it as `curl -F image=@line.png` does.")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    files: list[tuple[str, bytes]] = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return files
        head, parted, content = piece.partition(b"\r\n\r\n")
        if not parted:
            break
        name = _NAME.search(head)
        files.append((name[1].decode("utf-8", "replace") if name else "", content))
    raise DataError("The form is cut short.", "Send it again.")
