"""The addresses of the HTTP API."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vocr_cli import __version__
from vocr_cli.core.errors import DataError, ModelError, VocrError
from vocr_cli.core.inference.outputs.text_files import format_result
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.web.answers import as_json, page_file, problem
from vocr_cli.core.web.bodies import TooLargeError, TooSlowError, form_files, whole_body
from vocr_cli.core.web.reading.limits import ByteBudget, RateLimit, ServeLimits
from vocr_cli.core.web.reading.line_reader import BusyError, LineReader
from vocr_cli.core.web.reading.openapi import openapi_document

_HELD_BODIES = 16  # of the largest size, all requests together


class ReadRoutes:
    """Answers `POST /read` and what tells of it.

    Args:
        make_reader: Makes what reads the images, when the first comes.
        model: Its name.
        limits: What a request may take.
    """

    def __init__(self, make_reader: Callable[[], LineReader], model: str, limits: ServeLimits) -> None:
        self._make_reader, self._model, self._limits = make_reader, model, limits
        self._reader: LineReader | None = None
        self._making = asyncio.Lock()
        self._rate = RateLimit(limits.per_second)
        self._bodies = ByteBudget(_HELD_BODIES * limits.body_bytes)
        self._requests = self._refused = 0

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/read", self.read, methods=["POST"]),
            Route("/health", self.health),
            Route("/openapi.json", self.openapi),
            Route("/docs", _docs),
            Route("/try", _try),
        ]

    async def health(self, request: Request) -> Response:
        """Tells that the server answers, and how busy it is."""
        return as_json(
            {
                "status": "ok",
                "model": self._model,
                "version": __version__,
                "waiting": self._reader.waiting if self._reader else 0,
                "read_lines": self._reader.read_lines if self._reader else 0,
                "requests": self._requests,
                "refused": self._refused,
            }
        )

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document."""
        return as_json(openapi_document(self._limits))

    async def read(self, request: Request) -> Response:
        """Reads one image, or those of a form."""
        self._requests += 1
        address = request.client.host if request.client else ""
        if wait := self._rate.wait_s(address):
            error = VocrError("Too many requests.", f"{self._limits.per_second:g} a second are taken.")
            return self._refuse(error, 429, math.ceil(wait))
        stated = request.headers.get("content-length", "")
        size = int(stated) if stated.isdigit() else self._limits.body_bytes
        if size > self._limits.body_bytes:
            return self._refuse(TooLargeError(f"The body is larger than {self._limits.body_bytes:,} bytes.",
                                              "Send fewer or smaller images."), 413)  # fmt: skip
        if not self._bodies.take(size):
            return self._refuse(VocrError("Too many images are under way.", "Ask again in 1 s."), 503, 1)
        try:
            return await self._read(request)
        except TooLargeError as error:
            return self._refuse(error, 413)
        except TooSlowError as error:
            return self._refuse(error, 408)
        except BusyError as error:
            return self._refuse(error, 503, error.retry_s)
        except ModelError as error:
            return self._refuse(error, 500)
        except DataError as error:
            return self._refuse(error, 400)
        finally:
            self._bodies.give_back(size)

    async def _read(self, request: Request) -> Response:
        body = await whole_body(request, self._limits.body_bytes)
        kind = request.headers.get("content-type", "")
        if not kind.lower().startswith("multipart/"):
            if not body:
                raise DataError("There is no image in the body.", "Send one: curl --data-binary @line.png")
            name = request.query_params.get("name", "image")
            (result,) = await self._results([(name, body)])
            return _answer(result)
        files = form_files(kind, body)
        if not files or len(files) > self._limits.images:
            raise DataError(f"{len(files)} images in the form.", f"Send 1 to {self._limits.images}.")
        named = [(name or f"image {index}", data) for index, (name, data) in enumerate(files, start=1)]
        results = await self._results(named)
        content = b'{"readings":[' + b",".join(map(_as_json, results)) + b"]}"
        return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")

    async def _results(self, images: list[tuple[str, bytes]]) -> Sequence[LineResult]:
        async with self._making:
            if self._reader is None:
                self._reader = await run_in_threadpool(self._make_reader)
        futures = self._reader.submit(images)
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    def _refuse(self, error: VocrError, status: int, retry_s: int = 0) -> Response:
        self._refused += 1
        # What is left of a body that is not taken is not waited for either.
        headers = {"connection": "close"} if status in (408, 413) else {}
        return problem(error, status, {**headers, **({"retry-after": str(retry_s)} if retry_s else {})})


def _answer(result: LineResult) -> Response:
    headers = {"cache-control": "no-store"}
    status = 200 if result.error is None else 422
    return Response(_as_json(result), status, headers, media_type="application/json")


def _as_json(result: LineResult) -> bytes:
    """A line of `vocr infer --format jsonl`; of an image that cannot be read, with the remedy."""
    if result.error is None:
        return format_result(result, "jsonl").rstrip("\n").encode("utf-8", "replace")
    found = {"path": result.path, "text": None, "error": result.error.problem, "fix": result.error.fix}
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")


async def _try(request: Request) -> Response:
    return page_file("try.html")


async def _docs(request: Request) -> Response:
    return page_file("docs.html")
