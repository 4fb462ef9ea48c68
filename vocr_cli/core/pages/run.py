"""A run of `vocr read`, from the request to the written documents."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.backends.auto_backend import choose_backend, device_for
from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.inference.cache.identity import reading_identity
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.machine.hardware import usable_cores
from vocr_cli.core.machine.memory import freeze_loaded_objects
from vocr_cli.core.pages.detectors.choice import DetectorName, choose_detector, make_detector
from vocr_cli.core.pages.inputs.documents import Document, find_documents, open_document
from vocr_cli.core.pages.journal import PageJournal
from vocr_cli.core.pages.outputs.formats import FormatName, FormatOptions, Target, write_document
from vocr_cli.core.pages.page import Page
from vocr_cli.core.pages.prepare import PageRef, Preparer, prepare_pages
from vocr_cli.core.pages.reader import PageReader
from vocr_cli.core.pages.tally import PageTally

OnNote = Callable[[str], None]
"""Told a sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class ReadPagesRequest:
    """What is to be read, with what, and where the text goes.

    Attributes:
        paths: Files and folders of pages.
        recognizer: The model and how it reads.
        device: auto, cpu or cuda.
        detector: What finds the lines; None: the best that is installed.
        dpi: What PDFs are drawn at.
        workers: Processes that prepare pages; 0: one for each processor.
        out: The folder that the documents are written to; None: the caller shows the pages.
        format: Of the documents.
        options: How they are written.
        resume: Whether to go on where an interrupted run with this `out` was.
        shard_index: Which shard of the documents is read, from 1.
        shard_count: How many there are.
    """

    paths: Sequence[Path]
    recognizer: RecognizerOptions = field(default_factory=RecognizerOptions)
    device: str = "auto"
    detector: DetectorName | None = None
    dpi: float = 200.0
    workers: int = 0
    out: Path | None = None
    format: FormatName = "txt"
    options: FormatOptions = field(default_factory=FormatOptions)
    resume: bool = False
    shard_index: int = 1
    shard_count: int = 1


def documents_of(request: ReadPagesRequest) -> list[Document]:
    """Lists the documents of the shard, in order.

    Raises:
        DataError: There is none at all.
    """
    documents = list(find_documents(request.paths))
    if not documents:
        raise DataError(
            f"No page in {', '.join(map(str, request.paths))}.",
            "Name images (.png, .jpg, .tif, ...), PDFs, or folders that hold some.",
        )
    return documents[request.shard_index - 1 :: request.shard_count]


@dataclass(frozen=True)
class _Task:
    """A page of a document on its way."""

    document: Document
    ref: PageRef
    pages: int  # of the document


class ReadPagesRun:
    """A run that is ready to read.

    Args:
        request: What is to be read.
        documents: The documents of the shard.
        recognizer: Reads the lines.
        preparer: Prepares the pages.
        journal: Notes what was read; None: the caller shows the pages.

    Attributes:
        tally: What went through, pages of the interrupted run included.
        resumed: Pages that were read before.
    """

    def __init__(
        self,
        request: ReadPagesRequest,
        documents: Sequence[Document],
        recognizer: Recognizer,
        preparer: Preparer,
        journal: PageJournal | None,
    ) -> None:
        self._request, self._documents, self._journal = request, documents, journal
        self._reader, self._preparer = PageReader(recognizer), preparer
        self._pending: deque[_Task] = deque()
        self.tally = PageTally()
        self.resumed = journal.resumed if journal else 0

    def pages(self) -> Generator[Page, None, None]:
        """Reads, writes and yields the pages in order, but for those of an interrupted run.

        Raises:
            DataError: A file cannot be written, or the interrupted run read other inputs.
        """
        try:
            refs = self._new_refs()
            for page in self._reader.read(prepare_pages(self._preparer, refs, self._request.workers)):
                self._take_known()
                task = self._pending.popleft()
                if self._journal is not None:
                    self._journal.add(page)
                self._close(task, page)
                yield page
            self._take_known()
            if self._journal is not None:
                self._journal.finish()
        finally:
            if self._journal is not None:
                self._journal.close()

    def _new_refs(self) -> Iterator[PageRef]:
        """The pages that are still to be read; all are noted as pending."""
        for number, task in enumerate(self._tasks()):
            self._pending.append(task)
            if number >= self.resumed:
                yield task.ref

    def _tasks(self) -> Iterator[_Task]:
        for document in self._documents:
            failure, count = document.error, 1
            if failure is None:
                try:
                    pages = open_document(document.path, self._request.dpi)
                    count = len(pages)
                    pages.close()
                except VocrError as error:
                    failure = error
            for number in range(1, count + 1):
                yield _Task(document, PageRef(document.path, number, failure), count)

    def _take_known(self) -> None:
        """Takes the pages that were read before, which come first."""
        while self._journal is not None and self.tally.pages < self.resumed and self._pending:
            task = self._pending.popleft()
            self._close(task, self._journal.page(self.tally.pages, str(task.ref.path), task.ref.number))

    def _close(self, task: _Task, page: Page) -> None:
        """Counts a page; after the last one of a document writes it."""
        self.tally.count(page)
        if task.ref.number < task.pages or self._journal is None:
            return
        request, journal = self._request, self._journal
        assert request.out is not None
        document = task.document
        target = Target(request.out, document.stem, request.format, document.path, task.pages)
        if document.stem in journal.written and target.is_written():
            return
        first = self.tally.pages - task.pages
        pages = (journal.page(first + index, str(task.ref.path), index + 1) for index in range(task.pages))
        write_document(target, pages, request.options)
        journal.mark_written(document.stem)


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
    detector = request.detector or choose_detector()
    make_detector(detector, 1)  # says what is missing before anything is begun
    recognizer, identity = _load(request, on_note)
    preparer = Preparer(recognizer.image, detector, request.dpi)
    journal = None
    if request.out is not None:
        settings = {"detector": detector, "dpi": request.dpi, "format": request.format}
        journal = PageJournal(request.out, {**identity, **settings}, resume=request.resume)
        if journal.resumed:
            on_note(f"Resumed: {journal.resumed:,} pages were read before.")
    freeze_loaded_objects()
    return ReadPagesRun(request, documents, recognizer, preparer, journal)


def _load(request: ReadPagesRequest, on_note: OnNote) -> tuple[Recognizer, dict[str, Any]]:
    """Loads the model as `vocr infer` does; pages are many lines, so nothing is timed first."""
    options = request.recognizer
    source = options.source()
    device = device_for(request.device, options.precision, options.runtime, source)
    choice = choose_backend(
        source,
        device,
        options.precision,
        options.runtime,
        threads=options.threads or usable_cores(),
        count_lines=lambda: None,
        time_lines=_not_timed,
    )
    chosen = replace(options, precision=choice.backend.precision, runtime=choice.backend.runtime)
    recognizer = chosen.load(source, device)
    engine = recognizer.engine
    on_note(f"Precision {engine.precision} in {engine.runtime}: {choice.reason}.")
    return recognizer, reading_identity(recognizer, source, options.allow, options.deny)


def _not_timed(backends: Sequence[Backend]) -> dict[Backend, float]:
    return {}
