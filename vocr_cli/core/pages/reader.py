"""Pages through the recogniser: lines of several are read together, and turned where they are upside down."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.pages.lines.words import even_spans, word_spans
from vocr_cli.core.pages.order.arrange import arrange, kept_order
from vocr_cli.core.pages.orientation import Orientation, needs_doubt, turned_degrees
from vocr_cli.core.pages.page import Page, PageLine
from vocr_cli.core.pages.prepare import PreparedPage

_TOGETHER = 16  # pages whose lines share batches, where that saves time
_AHEAD = 3  # groups of pages under way while the first is waited for


@dataclass
class _Group:
    """Pages whose lines are being read."""

    pages: list[PreparedPage]
    batches: list[list[int]]
    futures: list[Future[list[Reading]]]

    def readings(self) -> Iterator[tuple[PreparedPage, list[Reading]]]:
        """Waits for the readings, and gives those of each page."""
        read = chain.from_iterable(future.result() for future in self.futures)
        by_index = dict(zip(chain(*self.batches), read, strict=True))
        at = 0
        for page in self.pages:
            readings = []
            for text in page.texts:
                readings.append(Reading(text, 1.0, (1.0,) * len(text)) if text else by_index[at])
                at += not text
            yield page, readings


class PageReader:
    """Reads the lines of prepared pages.

    Args:
        recognizer: Reads them, in its own threads.
        finds_words: Whether it is to be found out where each word stands.
    """

    def __init__(self, recognizer: Recognizer, finds_words: bool = True) -> None:
        self._recognizer, self._finds_words = recognizer, finds_words
        self.section = 1 if recognizer.engine.reads_singly else _TOGETHER
        """Pages that share batches; none shares one with a page of another section."""

    def read(self, prepared: Iterable[PreparedPage]) -> Iterator[Page]:
        """Reads pages in their order; those that could not be prepared come with their error."""
        source = iter(prepared)
        running: deque[_Group] = deque()
        while pages := list(islice(source, self.section)):
            running.append(self._start(pages))
            if len(running) > _AHEAD or (self.section == 1 and all(f.done() for f in running[0].futures)):
                yield from self._finished(running.popleft())
        while running:
            yield from self._finished(running.popleft())

    def _start(self, pages: list[PreparedPage]) -> _Group:
        lines = [
            line for page in pages for line, text in zip(page.lines, page.texts, strict=True) if not text
        ]
        batches = self._recognizer.batches([line.shape[1] for line in lines])
        futures = [self._recognizer.start([lines[index] for index in batch]) for batch in batches]
        return _Group(pages, batches, futures)

    def _finished(self, group: _Group) -> Iterator[Page]:
        for prepared, readings in group.readings():
            yield self._page(prepared, readings)

    def _page(self, prepared: PreparedPage, readings: list[Reading]) -> Page:
        """Turns what stands on its head, and puts the lines in order."""
        if not readings:
            return prepared.page
        size = prepared.page.width_px, prepared.page.height_px
        orientation = Orientation(prepared.quads, size)
        quads, lines = prepared.quads.copy(), list(prepared.lines)
        upright = quads.copy()
        for doubtful in needs_doubt(readings, orientation):
            self._turn(doubtful, quads, lines, readings)
        turned = (quads != upright).any(axis=(1, 2))
        order = kept_order(quads, size) if prepared.ordered else arrange(quads, size, prepared.rules)
        read = tuple(
            PageLine(
                tuple((round(float(x), 1), round(float(y), 1)) for x, y in quads[place.index]),
                readings[place.index],
                place.block,
                place.row,
                place.cell,
                self._words(prepared, lines, readings, place.index),
                prepared.sources[place.index],
                _course(prepared.courses[place.index], bool(turned[place.index])),
            )
            for place in order
            if readings[place.index].text
        )
        return replace(prepared.page, lines=read, turned=turned_degrees(quads, readings))

    def _words(
        self, prepared: PreparedPage, lines: list[np.ndarray], readings: list[Reading], index: int
    ) -> tuple[tuple[float, float], ...]:
        if not self._finds_words:
            return ()
        if prepared.texts[index]:
            return even_spans(readings[index].text)
        return word_spans(lines[index], readings[index].text, prepared.insets[index])

    def _turn(
        self,
        indices: Sequence[int],
        quads: np.ndarray,
        lines: list[np.ndarray],
        readings: list[Reading],
    ) -> None:
        """Reads lines the other way up, and keeps that for all of them where they are surer so together."""
        tried = sorted(indices, key=lambda index: -lines[index].shape[1])[:_TRIED]
        upside_down = self._read([lines[index][::-1, ::-1] for index in tried])
        before = sum(readings[index].confidence for index in tried)
        if sum(reading.confidence for reading in upside_down) <= before + _SURER * len(tried):
            return
        turned = dict(zip(tried, upside_down, strict=True))
        others = [index for index in indices if index not in turned]
        turned |= zip(others, self._read([lines[index][::-1, ::-1] for index in others]), strict=True)
        for index, reading in turned.items():
            readings[index] = reading
            lines[index] = lines[index][::-1, ::-1]
            quads[index] = np.roll(quads[index], 2, axis=0)

    def _read(self, lines: list[np.ndarray]) -> list[Reading]:
        lines = [np.ascontiguousarray(line) for line in lines]
        batches = self._recognizer.batches([line.shape[1] for line in lines])
        futures = [self._recognizer.start([lines[index] for index in batch]) for batch in batches]
        read = chain.from_iterable(future.result() for future in futures)
        by_index = dict(zip(chain(*batches), read, strict=True))
        return [by_index[index] for index in range(len(lines))]


_TRIED = 12  # lines that tell which way up a page is
_SURER = 0.1  # in confidence, a line


def _course(course: np.ndarray | None, is_turned: bool) -> tuple[tuple[float, float], ...]:
    """A course in the direction of writing; none where there is none."""
    if course is None:
        return ()
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in (course[::-1] if is_turned else course))
