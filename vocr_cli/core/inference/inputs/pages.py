"""Files of several pages among the inputs: each page is a line of its own, `a.tif#2`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vocr_cli.core.data.images.open_image import read_page
from vocr_cli.core.data.images.pages import may_hold_pages, page_count
from vocr_cli.core.errors import ImageError
from vocr_cli.core.inference.inputs.sources import LineInput

_THREADS = 8
_AHEAD = 64


def with_pages(lines: Iterable[LineInput], *, first_page: bool = False) -> Iterator[LineInput]:
    """Puts the pages of files in the place of the files, in their order.

    How many pages a file has stands in its header, which is read for kinds that may have several, some files
    ahead, lest each is waited for. A PNG is looked at where the user named it: animated ones are too rare
    for looking into all of a folder's, so one in a folder is refused when it is read.

    Args:
        lines: Files, bytes, and lines of databases, which stay what they are.
        first_page: Whether of each file the first page alone is to be read.
    """
    if first_page:
        yield from (replace(line, first_page=True) for line in lines)
        return
    waiting: deque[tuple[LineInput, Future[int | ImageError]]] = deque()
    threads: ThreadPoolExecutor | None = None
    try:
        for line in lines:
            if not _may_have_pages(line):
                while waiting:
                    yield from _pages_of(*waiting.popleft())
                yield line
                continue
            threads = threads or ThreadPoolExecutor(_THREADS, "vocr-pages")
            waiting.append((line, threads.submit(_count, line)))
            if len(waiting) > _AHEAD:
                yield from _pages_of(*waiting.popleft())
        while waiting:
            yield from _pages_of(*waiting.popleft())
    finally:
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


def _may_have_pages(line: LineInput) -> bool:
    source = line.source
    if isinstance(source, str):
        return may_hold_pages(source)
    return isinstance(source, bytes) or (
        isinstance(source, Path) and source.suffix.lower() not in (".jpg", ".jpeg")
    )


def _count(line: LineInput) -> int | ImageError:
    """The pages of a line's file, or why there are too many."""
    assert isinstance(line.source, str | Path | bytes)
    try:
        return page_count(line.source, line.path)
    except ImageError as error:
        return error


def _pages_of(line: LineInput, counted: Future[int | ImageError]) -> Iterator[LineInput]:
    count = counted.result()
    if isinstance(count, ImageError):
        yield replace(line, source=count)
    elif count == 1:
        yield line
    else:
        for number in range(1, count + 1):
            name = f"{line.path}#{number}"
            yield LineInput(name, _page(line.source, number, name))


def _page(source: object, number: int, name: str) -> str | bytes | ImageError:
    if isinstance(source, str | Path):
        return f"{source}#{number}"
    assert isinstance(source, bytes)
    try:
        return read_page(source, number, name)
    except ImageError as error:
        return error
