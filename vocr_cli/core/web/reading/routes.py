"""The addresses of the HTTP API: lines are read, pages are read, and both are described."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vocr_cli import __version__
from vocr_cli.core.errors import DataError, DependencyError, ModelError, VocrError
from vocr_cli.core.inference.outputs.text_files import format_result
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.web.answers import as_json, page_file, problem
from vocr_cli.core.web.bodies import TooLargeError, TooSlowError, form_files, whole_body
from vocr_cli.core.web.reading.limits import ByteBudget, RateLimit, ServeLimits
from vocr_cli.core.web.reading.line_reader import BusyError, LineReader
from vocr_cli.core.web.reading.openapi import openapi_document

if TYPE_CHECKING:
    from vocr_cli.core.web.reading.document_reader import DocumentReader

_HELD_BODIES = 16  # of the largest size, all requests together


class ReadRoutes:
    """Answers `POST /read`, `POST /read/page`, and what tells of them.

    Args:
        recognizer: Gives the model, which may take time or raise a ModelError; asked when it is needed.
        model: Its name.
        limits: What a request may take.
        reader: Reads lines; None: one is made when the first comes.
    """

    def __init__(
        self,
        recognizer: Callable[[], Recognizer],
        model: str,
        limits: ServeLimits,
        reader: LineReader | None = None,
    ) -> None:
        self._recognizer, self._model, self._limits = recognizer, model, limits
        self._reader = reader
        self._documents: DocumentReader | None = None
        self._making = asyncio.Lock()
        self._rate = RateLimit(limits.per_second)
        self._bodies = ByteBudget(_HELD_BODIES * limits.body_bytes)
        self._requests = self._refused = 0

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/read", self.read, methods=["POST"]),
            Route("/read/page", self.read_page, methods=["POST"]),
            Route("/health", self.health),
            Route("/openapi.json", self.openapi),
            Route("/docs", _docs),
            Route("/try", _try),
        ]

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Has the reading of documents end with the server."""
        yield
        if self._documents is not None:
            await run_in_threadpool(self._documents.stop)

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
        """Reads the line of one image, or those of a form."""
        return await self._admit(request, self._read)

    async def read_page(self, request: Request) -> Response:
        """Reads the lines of a page, or of the pages of a PDF."""
        return await self._admit(request, self._read_page)

    async def _admit(self, request: Request, read: Callable[[Request], Awaitable[Response]]) -> Response:
        """Has a request answered that is within the limits, and says why another is not."""
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
            return await read(request)
        except asyncio.CancelledError:  # by the server, when it has waited long enough to end
            return self._refuse(VocrError("The server ends.", "Ask again when it is back."), 503, 1)
        except TooLargeError as error:
            return self._refuse(error, 413)
        except TooSlowError as error:
            return self._refuse(error, 408)
        except BusyError as error:
            return self._refuse(error, 503, error.retry_s)
        except ModelError as error:
            return self._refuse(error, 500)
        except DependencyError as error:
            return self._refuse(error, 501)
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
        if self._reader is None:
            async with self._making:
                if self._reader is None:
                    recognizer = await run_in_threadpool(self._recognizer)
                    self._reader = LineReader(recognizer, self._limits.waiting)
        futures = self._reader.submit(images)
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    async def _read_page(self, request: Request) -> Response:
        body, name = await self._document(request)
        async with self._making:
            if self._documents is None:
                self._documents = await run_in_threadpool(self._make_documents)
        pictures = request.query_params.get("pictures") == "1"
        try:
            pages = await asyncio.wrap_future(self._documents.submit(name, body, pictures))
        except DependencyError:  # of PDFs
            raise
        except DataError as error:
            return as_json({"path": name, "pages": None, "error": error.problem, "fix": error.fix}, 422)
        return as_json({"path": name, "pages": pages})

    async def _document(self, request: Request) -> tuple[bytes, str]:
        """The bytes and the name of the document that a body holds, as it is or in a form."""
        body = await whole_body(request, self._limits.body_bytes)
        name = request.query_params.get("name", "")
        kind = request.headers.get("content-type", "")
        if kind.lower().startswith("multipart/"):
            files = form_files(kind, body)
            if len(files) != 1:
                raise DataError(f"{len(files)} documents in the form.", "Send one a request.")
            name, body = name or files[0][0], files[0][1]
        if not body:
            raise DataError("There is no page in the body.", "Send one: curl --data-binary @page.png")
        return body, name or "page"

    def _make_documents(self) -> DocumentReader:
        from vocr_cli.core.web.reading.document_reader import DocumentReader  # few send pages

        return DocumentReader(self._recognizer(), self._limits)

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
