"""Pages through detector and recogniser: prepared ahead, lines read in batches, given back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain

import numpy as np

from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.pages.order.arrange import Arranged, arrange
from vocr_cli.core.pages.page import Page, PageLine
from vocr_cli.core.pages.prepare import PageRef, PreparedPage, Preparer

_AHEAD = 4


def read_pages(recognizer: Recognizer, preparer: Preparer, refs: Iterable[PageRef]) -> Iterator[Page]:
    """Reads pages in their order; one that cannot be read comes with its error."""
    running: deque[tuple[PreparedPage, list[list[int]], list[Future[list[Reading]]]]] = deque()
    for ref in refs:
        prepared = preparer(ref)
        batches = recognizer.batches([line.shape[1] for line in prepared.lines])
        futures = [recognizer.start([prepared.lines[index] for index in batch]) for batch in batches]
        running.append((prepared, batches, futures))
        if len(running) > _AHEAD:
            yield _finished(*running.popleft())
    while running:
        yield _finished(*running.popleft())


def _finished(prepared: PreparedPage, batches: list[list[int]], futures: list[Future[list[Reading]]]) -> Page:
    readings = dict(zip(chain(*batches), chain.from_iterable(future.result() for future in futures), strict=True))
    page = prepared.page
    lines = [
        _line(prepared.quads[place.index], readings[place.index], place)
        for place in arrange(prepared.quads, (page.width_px, page.height_px))
    ]
    return replace(page, lines=tuple(lines))


def _line(quad: np.ndarray, reading: Reading, place: Arranged) -> PageLine:
    return PageLine(tuple((float(x), float(y)) for x, y in quad), reading, place.block, place.row)
