"""Pages read on a Ray cluster: by actors that find lines and read them, each with a model of its own.

An actor or machine that dies is replaced, and its pages are read again; pages come in order. All machines
must reach the documents and the model under the same names.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from vocr_cli.core.errors import ConfigError, DependencyError, VocrError
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.pages.page import Page, page_of
from vocr_cli.core.pages.prepare import PageRef, Preparer
from vocr_cli.core.pages.reader import PageReader

_AHEAD = 2  # pages that each actor is given before the first is taken


def need_ray() -> None:
    """Checks that Ray is installed.

    Raises:
        DependencyError: It is not.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise DependencyError(
            "--engine ray needs Ray.", "Install it: pip install 'vocr-cli[ray]', or use --engine local."
        ) from None


class PageActor:
    """Reads pages one by one.

    Args:
        options: Which model reads, and how.
        preparer: Opens pages and finds their lines.
        device: cpu or cuda.
        finds_words: Whether it is to be found out where each word stands.
    """

    def __init__(
        self, options: RecognizerOptions, preparer: Preparer, device: str, finds_words: bool
    ) -> None:
        self._preparer, self._problem = preparer, list[str]()
        try:
            self._reader = PageReader(options.load(options.source(), device, threads=1), finds_words)
        except VocrError as problem:
            # Raised here, Ray would start actors anew, and bury it in its own errors.
            self._problem = [problem.problem, problem.fix]

    def read(self, ref: PageRef) -> str:
        """The record of a page as JSON, or what is wrong as a list."""
        if self._problem:
            return json.dumps(self._problem)
        (page,) = self._reader.read([self._preparer(ref)])
        return json.dumps(page.record(), ensure_ascii=False)


def read_pages_on_ray(
    refs: Iterable[PageRef],
    options: RecognizerOptions,
    preparer: Preparer,
    *,
    actors: int = 0,
    device: str = "auto",
    finds_words: bool = True,
) -> Iterator[Page]:
    """Reads pages on the cluster that RAY_ADDRESS names, or on one started here for the time being.

    Args:
        refs: The pages, taken as they are needed.
        options: Which model reads, and how.
        preparer: Opens pages and finds their lines.
        actors: How many; 0: one a GPU, or one a CPU where the cluster has no GPU.
        device: auto, cpu or cuda.
        finds_words: Whether it is to be found out where each word stands.

    Raises:
        DependencyError: Ray is not installed.
        ConfigError: cuda was asked for, but the cluster has no GPU.
        VocrError: The model cannot be loaded.
    """
    need_ray()
    import ray

    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        resources = ray.cluster_resources()
        gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise ConfigError("The Ray cluster has no GPU.", "Use device auto, or add a machine with one.")
        count = actors or gpus or max(1, int(resources.get("CPU", 1)))
        actor = ray.remote(num_gpus=1 if gpus else 0, max_restarts=-1, max_task_retries=-1)(PageActor)
        pool = [actor.remote(options, preparer, "cuda" if gpus else "cpu", finds_words) for _ in range(count)]
        yield from _in_order(pool, refs)
    finally:
        if started:
            ray.shutdown()


def _in_order(pool: list[Any], refs: Iterable[PageRef]) -> Iterator[Page]:
    """Deals pages to actors in turn; what is under way is bounded."""
    import ray

    running: deque[Any] = deque()
    for number, ref in enumerate(refs):
        running.append(pool[number % len(pool)].read.remote(ref))
        if len(running) >= _AHEAD * len(pool):
            yield _page(ray.get(running.popleft()))
    while running:
        yield _page(ray.get(running.popleft()))


def _page(answer: str) -> Page:
    record = json.loads(answer)
    if isinstance(record, list):
        raise VocrError(*record)
    return page_of(record)
