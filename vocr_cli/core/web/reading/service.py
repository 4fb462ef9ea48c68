"""`vocr serve`: the HTTP API with a page to try it, and no labelling."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.web.access import Access, Guard
from vocr_cli.core.web.answers import page_file, unknown_address
from vocr_cli.core.web.reading.limits import ServeLimits
from vocr_cli.core.web.reading.line_reader import LineReader
from vocr_cli.core.web.reading.routes import ReadRoutes


def serve_app(recognizer: Recognizer, reader: LineReader, limits: ServeLimits, access: Access) -> Guard:
    """The server of the HTTP API.

    Args:
        recognizer: The model.
        reader: Reads lines by it.
        limits: What a request may take.
        access: Whom to let in.
    """
    reading = ReadRoutes(lambda: recognizer, recognizer.name, limits, reader)
    pages = [Route("/", _front), Route("/static/{name}", _static)]
    app = Starlette(
        routes=[*reading.routes(), *pages],
        lifespan=reading.lifespan,
        exception_handlers={HTTPException: unknown_address},
    )
    return Guard(app, access)


async def _front(request: Request) -> Response:
    return page_file("try.html")


async def _static(request: Request) -> Response:
    return page_file(request.path_params["name"])
