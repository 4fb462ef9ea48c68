"""The addresses of the training page."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vocr_cli.core.errors import VocrError
from vocr_cli.core.web.answers import as_json, page_file, problem
from vocr_cli.core.web.bodies import json_body
from vocr_cli.core.web.runs.training_job import TrainingJobs

if TYPE_CHECKING:
    from vocr_cli.core.web.runs.worst_lines import WorstLines

_BODY_BYTES = 1 << 12
_MOST_MINUTES = 60 * 24 * 7


class RunRoutes:
    """Answers what the training page asks; what it needs for that is loaded when it does.

    Args:
        jobs: Starts training.
        index_of: The index of a line in the labelling view, by its name.
        write: Has the annotation file written as it is now.
    """

    def __init__(
        self, jobs: TrainingJobs, index_of: Callable[[str], int | None], write: Callable[[], int]
    ) -> None:
        self._jobs, self._write, self._index_of = jobs, write, index_of
        self._worst: WorstLines | None = None

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/run", _page),
            Route("/api/runs", self.runs),
            Route("/api/runs/{name}", self.run),
            Route("/api/runs/{name}/worst", self.worst, methods=["GET", "POST"]),
            Route("/api/train", self.start, methods=["POST"]),
            Route("/api/train/stop", self.stop, methods=["POST"]),
        ]

    def runs(self, request: Request) -> Response:
        """The runs there are, and the commands of the next one."""
        jobs = self._jobs
        return as_json(
            {
                "commands": jobs.plan().shown,
                "allowed": jobs.allowed,
                "running": jobs.plan_running.run.name if jobs.plan_running and jobs.is_running else None,
                "outcome": jobs.outcome,
                "log": jobs.log(),
                "runs": [folder.name for folder in self._folders()],
            }
        )

    def run(self, request: Request) -> Response:
        """One run."""
        folder = self._folder(request)
        if folder is None:
            return _no_run()
        from vocr_cli.core.web.runs.record import run_record

        try:
            return as_json(run_record(folder))
        except VocrError as error:
            return problem(error)

    def worst(self, request: Request) -> Response:
        """The worst lines of a run's validation set; POST has it read."""
        from vocr_cli.core.web.runs.worst_lines import WorstLines

        folder = self._folder(request)
        if self._worst is None:
            self._worst = WorstLines(self._index_of)
        return _no_run() if folder is None else as_json(self._worst.of(folder, request.method == "POST"))

    async def start(self, request: Request) -> Response:
        """Starts training on what is labelled."""
        try:
            asked = await json_body(request, _BODY_BYTES)
            return await run_in_threadpool(self._start, asked)
        except VocrError as error:
            return problem(error)

    def _start(self, asked: dict[str, Any]) -> Response:
        minutes = asked.get("minutes", 0)
        if not isinstance(minutes, int | float) or not math.isfinite(minutes) or minutes < 0:
            minutes = 0
        if self._jobs.allowed:
            self._write()
        plan = self._jobs.start(min(minutes, _MOST_MINUTES))
        return as_json({"run": plan.run.name, "commands": plan.shown})

    async def stop(self, request: Request) -> Response:
        """Has the run that was started here save and end."""
        await run_in_threadpool(self._jobs.stop)
        return as_json({})

    def _folders(self) -> list[Path]:
        from vocr_cli.core.web.runs.record import run_folders

        return run_folders([self._jobs.folder, Path("runs")])

    def _folder(self, request: Request) -> Path | None:
        """The run of that name: looked up among those there are, never joined to a path."""
        name = request.path_params["name"]
        return next((folder for folder in self._folders() if folder.name == name), None)


def _no_run() -> Response:
    return as_json({"problem": "There is no such run.", "fix": "Load the page again."}, 404)


async def _page(request: Request) -> Response:
    return page_file("run.html")
