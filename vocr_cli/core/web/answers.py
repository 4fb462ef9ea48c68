"""Answers: JSON, problems with their remedies, and the files of the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vocr_cli.core.errors import VocrError

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer for a program, which nobody keeps."""
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(
        data, status, {"cache-control": "no-store", **(headers or {})}, media_type="application/json"
    )


def problem(
    error: VocrError, status: int = 422, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """What is wrong and what to do about it."""
    return as_json({"problem": error.problem, "fix": error.fix, **more}, status, headers)


async def unknown_address(request: Request, error: Exception) -> Response:
    """What is wrong with an address, or its method; of the kind that all problems are told in."""
    assert isinstance(error, HTTPException)
    path, headers = request.url.path[:200], error.headers or {}
    if error.status_code == 405:
        allowed = headers.get("Allow", "another method")
        return problem(VocrError(f"{path} takes no {request.method}.", f"Use {allowed}."), 405, headers)
    return problem(VocrError(f"There is nothing at {path}.", "/docs tells what there is."), error.status_code)


def page_file(name: str) -> Response:
    """A file of the pages, by its name; 404 where there is none of that name."""
    content = _page_files().get(name)
    if content is None:
        return as_json({"problem": f"There is no {name[:100]!r}.", "fix": ""}, 404)
    kind = _KINDS[name[name.rindex(".") :]]
    return Response(content, 200, {"cache-control": "no-cache"}, media_type=kind)


@cache
def _page_files() -> dict[str, bytes]:
    """All files of the pages: what is asked for is looked up here, and never joined to a path."""
    folder = files("vocr_cli.core.web").joinpath("static")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(tuple(_KINDS))}
