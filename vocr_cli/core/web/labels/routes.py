"""The addresses of the labelling page."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vocr_cli.core.errors import DataError, ModelError, VocrError
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.web.access import Access, Guard
from vocr_cli.core.web.answers import as_json, page_file, problem, unknown_address
from vocr_cli.core.web.bodies import TooLargeError, TooSlowError, json_body
from vocr_cli.core.web.labels.catalogue import LineReading
from vocr_cli.core.web.labels.deciding import decide
from vocr_cli.core.web.labels.queue import as_query
from vocr_cli.core.web.labels.record.decisions import StaleDecisionError
from vocr_cli.core.web.labels.session import LabelSession
from vocr_cli.core.web.reading.limits import ServeLimits
from vocr_cli.core.web.reading.routes import ReadRoutes
from vocr_cli.core.web.runs.routes import RunRoutes
from vocr_cli.core.web.runs.training_job import TrainingJobs

_MOST_LINES = 200
_BODY_BYTES = 1 << 20
_LISTING_S = 2.0
_NOT_STORED = 507  # Insufficient Storage (RFC 4918): nothing was taken


class LabelRoutes:
    """Answers what the labelling page asks.

    Args:
        session: The lines and decisions.
    """

    def __init__(self, session: LabelSession) -> None:
        self._session = session

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/", _page("label.html")),
            Route("/static/{name}", _static),
            Route("/api/state", self.state),
            Route("/api/next", self.next_lines, methods=["POST"]),
            Route("/api/list", self.list_lines, methods=["POST"]),
            Route("/api/decide", self.decide, methods=["POST"]),
            Route("/api/release", self.release, methods=["POST"]),
            Route("/api/lines/{index}", self.line),
            Route("/api/lines/{index}/image", self.image),
            Route("/api/lines/{index}/reading", self.reading),
            Route("/api/lines/{index}/alternatives", self.alternatives),
        ]

    def state(self, request: Request) -> Response:
        """How far the work is."""
        return as_json(self._session.state())

    async def next_lines(self, request: Request) -> Response:
        """The lines to show next."""
        return await self._answer(request, self._next_lines)

    def _next_lines(self, asked: dict[str, Any]) -> Response:
        session = self._session
        session.catalogue.wait_for_lines(_LISTING_S)
        query = as_query(asked.get("order") or session.order, asked.get("show"), asked.get("search"))
        sent = asked.get("passed")
        passed = [one for one in sent if isinstance(one, int)] if isinstance(sent, list) else []
        indices, total = session.queue.next(query, _tab(asked), _count(asked), passed)
        for reader in session.readers:
            reader.want(indices)
        lines = [session.describer.line(index) for index in indices]
        return as_json({"lines": lines, "matching": total, "state": session.state()})

    async def list_lines(self, request: Request) -> Response:
        """A part of the lines that a query is about, without images."""
        return await self._answer(request, self._list_lines)

    def _list_lines(self, asked: dict[str, Any]) -> Response:
        query = as_query(asked.get("order"), asked.get("show"), asked.get("search"))
        matching = self._session.queue.matching(query)
        offset = asked.get("offset")
        offset = max(0, offset) if isinstance(offset, int) else 0
        rows = matching[offset : offset + _count(asked)].tolist()
        return as_json(
            {"lines": [self._session.describer.row(row) for row in rows], "matching": len(matching)}
        )

    async def decide(self, request: Request) -> Response:
        """Takes a decision."""
        return await self._answer(request, self._decide)

    def _decide(self, asked: dict[str, Any]) -> Response:
        session = self._session
        try:
            taken = decide(session, asked)
        except StaleDecisionError as error:
            return problem(error, 409, line=session.describer.line(int(asked["line"])))
        except DataError as error:
            return problem(error, _NOT_STORED if error.problem.startswith("The decision is not") else 422)
        index = int(asked["line"])
        unknown = session.reader.unknown_characters(taken.text) if session.reader else ""
        line = session.describer.decided_line(index)
        return as_json({"line": line, "unknown": unknown, "state": session.state()})

    async def release(self, request: Request) -> Response:
        """A page was closed: others may have its lines."""
        return await self._answer(request, self._release)

    def _release(self, asked: dict[str, Any]) -> Response:
        self._session.release(_tab(asked))
        return as_json({})

    def line(self, request: Request) -> Response:
        """One line."""
        index = self._index(request)
        return _no_line() if index is None else as_json(self._session.describer.line(index))

    def image(self, request: Request) -> Response:
        """The image of a line, as a browser shows it."""
        self._session.courtesy.note_request()
        index = self._index(request)
        if index is None:
            return _no_line()
        try:
            data, kind = self._session.describer.image(index).shown()
        except VocrError as error:
            return problem(error)
        return Response(data, 200, {"cache-control": "private, max-age=3600"}, media_type=kind)

    def reading(self, request: Request) -> Response:
        """The reading of a line, read now if it was not; of its image turned, always now."""
        index, session = self._index(request), self._session
        if index is None:
            return _no_line()
        turned = request.query_params.get("rotated") == "1"
        known = session.catalogue.readings[index]
        if (known is None or turned) and session.reader is not None:
            try:
                read = session.reader.read_now(session.describer.image(index).open(turned))
            except VocrError as error:
                return problem(error)
            if turned:
                return as_json({"reading": session.describer.turned_reading(read)})
            known = LineReading.of(read)
            session.catalogue.set_reading(index, known)
        return as_json({"reading": session.describer.reading(known)})

    def alternatives(self, request: Request) -> Response:
        """The likeliest texts of a line."""
        index, session = self._index(request), self._session
        if index is None:
            return _no_line()
        if session.reader is None:
            return as_json({"alternatives": []})
        turned = request.query_params.get("rotated") == "1"
        try:
            found = session.reader.alternatives(session.describer.image(index).open(turned))
        except VocrError as error:
            return problem(error)
        return as_json({"alternatives": [{"text": text, "score": score} for text, score in found]})

    def _index(self, request: Request) -> int | None:
        index = str(request.path_params["index"])
        is_known = index.isdecimal() and len(index) < 10 and int(index) < len(self._session.catalogue)
        return int(index) if is_known else None

    async def _answer(self, request: Request, answer: Any) -> Response:
        self._session.courtesy.note_request()
        try:
            asked = await json_body(request, _BODY_BYTES)
            return await run_in_threadpool(answer, asked)
        except TooLargeError as error:
            return problem(error, 413)
        except TooSlowError as error:
            return problem(error, 408)
        except VocrError as error:
            return problem(error)


def label_app(session: LabelSession, access: Access, jobs: TrainingJobs) -> Guard:
    """The server of a labelling session: its page, those of training, and the HTTP API.

    Args:
        session: The lines and decisions.
        access: Whom to let in.
        jobs: Starts training.
    """

    def recognizer() -> Recognizer:
        if session.reader is None:
            raise ModelError("Nothing reads here.", "Start vocr label without --model none.")
        return session.reader.recognizer()

    model = session.reader.name if session.reader else "none"
    reading = ReadRoutes(recognizer, model, ServeLimits())
    routes = [
        *LabelRoutes(session).routes(),
        *RunRoutes(jobs, session.index_in_output, session.writer.write).routes(),
        *reading.routes(),
    ]
    app = Starlette(
        routes=routes, lifespan=reading.lifespan, exception_handlers={HTTPException: unknown_address}
    )
    return Guard(app, access)


def _tab(asked: dict[str, Any]) -> str:
    return str(asked.get("tab", ""))[:64]


def _count(asked: dict[str, Any]) -> int:
    count = asked.get("count")
    return min(_MOST_LINES, max(1, count)) if isinstance(count, int) else 1


def _no_line() -> Response:
    return as_json({"problem": "There is no such line.", "fix": "Load the page again."}, 404)


def _page(name: str) -> Any:
    async def page(request: Request) -> Response:
        return page_file(name)

    return page


async def _static(request: Request) -> Response:
    return page_file(request.path_params["name"])
