"""A run of `vocr read`, from the request to the written documents."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import DocumentError, VocrError
from vocr_cli.core.inference.backends.auto_backend import choose_backend, device_for
from vocr_cli.core.inference.cache.identity import reading_identity
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.machine.hardware import usable_cores
from vocr_cli.core.machine.memory import freeze_loaded_objects
from vocr_cli.core.pages.detectors.choice import DetectorName, choose_detector, make_detector
from vocr_cli.core.pages.inputs.documents import Document, is_layout_file
from vocr_cli.core.pages.journal import PageJournal, begun_run
from vocr_cli.core.pages.outputs.formats import WITH_WORDS, need_packages, write_document
from vocr_cli.core.pages.outputs.known_stems import note_stems
from vocr_cli.core.pages.outputs.line_folder import NEW_LABELS, gather_labels, write_lines
from vocr_cli.core.pages.page import Page
from vocr_cli.core.pages.page_cache import PageCache
from vocr_cli.core.pages.prepare import PageRef, Preparer, prepare_pages
from vocr_cli.core.pages.ray_pages import need_ray, read_pages_on_ray
from vocr_cli.core.pages.reader import PageReader
from vocr_cli.core.pages.request import ReadPagesRequest, count_pages, page_count
from vocr_cli.core.pages.tally import PageTally

OnNote = Callable[[str], None]
"""Told a sentence for the user."""


@dataclass(frozen=True)
class _Task:
    """A page of a document on its way."""

    document: Document
    ref: PageRef
    pages: int  # of the document
    key: str = ""  # in the cache
    is_cached: bool = False


class ReadPagesRun:
    """A run that is ready to read.

    Args:
        request: What is to be read.
        documents: The documents of the shard.
        recognizer: Reads the lines.
        preparer: Prepares the pages.
        journal: Notes what was read; None: the caller shows the pages.
        cache: Gives the pages that it has and takes the others.
        options: What the recogniser was loaded with; the actors of a cluster load theirs with it.

    Attributes:
        tally: What went through, pages of the interrupted run included.
        resumed: Pages that were read before.
        passed_by: Documents that were there already, and are not of the interrupted run.
        kept_labels: The labels of the lines, where those that are there were corrected, and stay.
    """

    def __init__(
        self,
        request: ReadPagesRequest,
        documents: Sequence[Document],
        recognizer: Recognizer,
        preparer: Preparer,
        *,
        journal: PageJournal | None,
        cache: PageCache | None,
        options: RecognizerOptions,
    ) -> None:
        self._options = options
        self._request, self._documents, self._journal, self._cache = request, documents, journal, cache
        self._reader = PageReader(recognizer, request.format in WITH_WORDS)
        self._preparer = preparer
        self._pending: deque[_Task] = deque()
        self.tally = PageTally()
        self.resumed = journal.resumed if journal else 0
        self.passed_by = 0
        self.kept_labels: Path | None = None

    def pages(self, on_total: Callable[[int], None]) -> Generator[Page, None, None]:
        """Reads, writes and yields the pages in order, but for those of an interrupted run.

        Args:
            on_total: Told, from another thread, how many pages there are.

        Raises:
            DataError: A file cannot be written, or the interrupted run read other inputs.
        """
        count_pages(self._documents, self._request.dpi, lambda total: on_total(total - self.resumed))
        try:
            refs = self._new_refs()
            for page in self._read(refs):
                yield from self._take_known()
                task = self._pending.popleft()
                if self._cache is not None:
                    self._cache.add(task.key, page)
                yield self._take(task, page)
            yield from self._take_known()
            if self._journal is not None:
                if self._request.lines is not None:
                    written = gather_labels(self._request.lines)
                    self.kept_labels = written if written.name == NEW_LABELS else None
                note_stems(self._journal.path.parent, self._written())
                self._journal.finish()
        finally:
            if self._journal is not None:
                self._journal.close()
            if self._cache is not None:
                self._cache.close()

    def _read(self, refs: Iterator[PageRef]) -> Iterator[Page]:
        """Reads pages here, or on a Ray cluster."""
        request = self._request
        if request.engine == "local":
            return self._reader.read(prepare_pages(self._preparer, refs, request.workers))
        return read_pages_on_ray(
            refs,
            self._options,
            self._preparer,
            actors=request.workers,
            device=request.device,
            finds_words=request.format in WITH_WORDS,
        )

    @property
    def cached_pages(self) -> int | None:
        """How many pages were found in the cache; None: there is none."""
        return None if self._cache is None else self._cache.hits

    def _new_refs(self) -> Iterator[PageRef]:
        """The pages that are still to be read; all are noted as pending."""
        for number, task in enumerate(self._tasks()):
            if number >= self.resumed and self._cache is not None and task.ref.failure is None:
                task = self._looked_up(task, self._cache)
            self._pending.append(task)
            if number >= self.resumed and not task.is_cached:
                yield task.ref

    def _looked_up(self, task: _Task, cache: PageCache) -> _Task:
        if is_layout_file(task.ref.path):  # its image may change without it
            return task
        key = cache.key(task.ref.path, task.ref.number)
        return replace(task, key=key, is_cached=cache.holds(key))

    def _tasks(self) -> Iterator[_Task]:
        for document in self._documents:
            failure, count = None, 1
            try:
                count = page_count(document, self._request.dpi)
            except VocrError as error:
                failure = error
            if self._is_there(document, count):
                self.passed_by += 1
                continue
            for number in range(1, count + 1):
                yield _Task(document, PageRef(document.path, number, failure), count)

    def _is_there(self, document: Document, count: int) -> bool:
        """Whether a resumed run finds a document done that is not its own."""
        journal = self._journal
        if journal is None or not journal.keeps_others or journal.holds(str(document.path)):
            return False
        return self._request.target(document, count).is_written()

    def _take_known(self) -> Iterator[Page]:
        """Takes the pages before the next one that is read: of an interrupted run, or out of the cache."""
        while self._pending and (self.tally.pages < self.resumed or self._pending[0].is_cached):
            task = self._pending.popleft()
            path, number = task.ref.path, task.ref.number
            if self._journal is not None and self.tally.pages < self.resumed:
                self._close(task, self._journal.page(self.tally.pages, str(path), number))
                continue
            page = self._cache.page(task.key, path) if self._cache is not None else None
            if page is None and self._cache is not None:  # it went, or is damaged
                (page,) = self._reader.read([self._preparer(task.ref)])
                self._cache.add(task.key, page)
            assert page is not None
            yield self._take(task, page)

    def _take(self, task: _Task, page: Page) -> Page:
        """Takes a page that was not taken before."""
        if self._journal is not None:
            self._journal.add(page)
        self._close(task, page)
        return page

    def _close(self, task: _Task, page: Page) -> None:
        """Counts a page; after the last one of a document writes it."""
        self.tally.count(page)
        if task.ref.number < task.pages or self._journal is None:
            return
        document, journal = task.document, self._journal
        target = self._request.target(document, task.pages)
        if document.stem in journal.written and target.is_written():
            return
        if not all(each.error for each in self._pages_of(task)):
            if self._request.lines is not None:
                write_lines(self._request.lines, document, self._pages_of(task), self._request.dpi)
            try:
                self.tally.signed += write_document(target, self._pages_of(task), self._request.options)
            except DocumentError as error:
                self.tally.count_unwritten(str(document.path), error)
                return
        journal.mark_written(document.stem)

    def _written(self) -> Iterator[Document]:
        """The documents whose output is in its place, those of the interrupted run included."""
        assert self._journal is not None
        stems = self._journal.written
        return (document for document in self._documents if document.stem in stems)

    def _pages_of(self, task: _Task) -> Iterator[Page]:
        """The pages of the document whose last page was just counted."""
        first = self.tally.pages - task.pages
        for index in range(task.pages):
            assert self._journal is not None
            yield self._journal.page(first + index, str(task.ref.path), index + 1)


def start_reading_pages(
    request: ReadPagesRequest, documents: Sequence[Document], on_note: OnNote
) -> ReadPagesRun:
    """Loads detector and model, and opens the journal.

    Args:
        request: What is to be read.
        documents: Those of `documents_of`.
        on_note: Told what the user should know before the pages are read.

    Raises:
        VocrError: The model or a detector cannot be had, or the folder cannot be written.
    """
    detector = _detector_for(documents) if request.detector == "auto" else request.detector
    if detector != "layout":
        make_detector(detector, 1)  # says what is missing before anything is begun
    need_packages(request.format)
    shard = f"{request.shard_index}/{request.shard_count}"
    begun = begun_run(request.out, shard) if request.out and request.resume else {}
    if request.engine == "ray":
        need_ray()
    recognizer, options, identity = _load(request, begun, on_note)
    identity |= {"detector": detector, "dpi": request.dpi, "text-layer": request.text_layer}
    preparer = Preparer(recognizer.image, detector, request.dpi, request.text_layer)
    journal = None
    if request.out is not None:
        settings = {**identity, "format": request.format, "text": repr(request.options.text)}
        settings["lines"] = str(request.lines or "")
        journal = PageJournal(
            request.out, settings, shard, resume=request.resume, keeps_others=request.resume
        )
        if journal.resumed:
            were = "page was" if journal.resumed == 1 else "pages were"
            on_note(f"Resumed: {journal.resumed:,} {were} read before.")
    freeze_loaded_objects()
    cache = None
    if request.cache is not None:
        words = request.format in WITH_WORDS
        cache = PageCache(request.cache, {**identity, "words": words}, request.cache_bytes)
    return ReadPagesRun(
        request, documents, recognizer, preparer, journal=journal, cache=cache, options=options
    )


def _detector_for(documents: Sequence[Document]) -> DetectorName:
    """The best detector that is installed; none is needed where files give all lines."""
    if all(is_layout_file(document.path) for document in documents):
        return "layout"
    return choose_detector()


def _load(
    request: ReadPagesRequest, begun: dict[str, Any], on_note: OnNote
) -> tuple[Recognizer, RecognizerOptions, dict[str, Any]]:
    """Loads the model as `vocr infer` does, but that nothing is timed first; a begun run is gone on with."""
    options = request.recognizer
    source = options.source()
    precision, runtime = (
        str(begun.get(name, asked)).partition(" ")[0] if asked == "auto" else asked
        for name, asked in (("precision", options.precision), ("runtime", options.runtime))
    )
    device = device_for(request.device, precision, runtime, source)
    threads = options.threads or usable_cores()
    choice = choose_backend(source, device, precision, runtime, threads=threads)
    chosen = replace(options, precision=choice.backend.precision, runtime=choice.backend.runtime)
    recognizer = chosen.load(source, device)
    engine = recognizer.engine
    on_note(f"Precision {engine.precision} in {engine.runtime}: {choice.reason}.")
    return recognizer, chosen, reading_identity(recognizer, source, options.allow, options.deny)
