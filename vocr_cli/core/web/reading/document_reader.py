"""Pages and PDFs that callers send, read one document after the other by the page reader of `vocr read`."""

from __future__ import annotations

import base64
import queue
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from vocr_cli.core.errors import DataError, DependencyError, VocrError, reason_of
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.pages.detectors.choice import choose_detector
from vocr_cli.core.pages.detectors.detector import PageImage
from vocr_cli.core.pages.inputs.documents import Pages, open_document
from vocr_cli.core.pages.outputs.text import TextOptions, plain_text
from vocr_cli.core.pages.page import Page
from vocr_cli.core.pages.prepare import PageRef, Preparer
from vocr_cli.core.pages.reader import PageReader
from vocr_cli.core.text import readable
from vocr_cli.core.web.reading.limits import ServeLimits
from vocr_cli.core.web.reading.line_reader import BusyError, stated_size

_DPI = 200.0  # at which pages of PDFs are drawn, as `vocr read` does by default
_PICTURE_PX = 1800
_PICTURE_QUALITY = 80
_PAGE_S = 3  # that a page takes, more or less: what a refused caller is told to wait
_LONGEST_PAGE_S = 60
_DETECTOR_THREADS = 4


@dataclass(slots=True)
class _Waiting:
    name: str
    data: bytes
    pictures: bool
    result: Future[list[dict[str, Any]]] = field(default_factory=Future)


class DocumentReader:
    """Finds lines on pages, reads them, and puts them in order; a thread of its own takes what waits.

    Args:
        recognizer: Reads the lines, in its own threads.
        limits: What a document may take.

    Raises:
        DependencyError: Nothing that finds lines is installed.
    """

    def __init__(self, recognizer: Recognizer, limits: ServeLimits) -> None:
        self._limits = limits
        threads = min(_DETECTOR_THREADS, recognizer.threads)
        self._preparer = Preparer(recognizer.image, choose_detector(), _DPI, threads=threads)
        self._reader = PageReader(recognizer)
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._documents = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="vocr-pages", daemon=True)
        self._thread.start()

    def submit(self, name: str, data: bytes, pictures: bool) -> Future[list[dict[str, Any]]]:
        """Takes a document: an image, or a PDF.

        Args:
            name: What the answer calls it.
            data: Its bytes.
            pictures: Whether each page comes with a picture of it, for browsers that cannot draw it.

        Returns:
            A record for each page, in the form of `vocr read --format jsonl`, and its `text`.

        Raises:
            BusyError: Too many documents wait.
        """
        with self._lock:
            if self._documents >= self._limits.documents:
                raise BusyError(f"{self._documents} documents", _PAGE_S * self._documents)
            self._documents += 1
        asked = _Waiting(name, data, pictures)
        self._waiting.put(asked)
        return asked.result

    def stop(self) -> None:
        """Ends the thread when it has read the page that it is at.

        A thread that computes while Python ends aborts it.
        """
        self._stopped = True
        self._waiting.put(None)
        self._thread.join(_LONGEST_PAGE_S)

    def _work(self) -> None:
        while (asked := self._waiting.get()) is not None:
            try:
                if asked.result.set_running_or_notify_cancel():  # its caller is still there
                    asked.result.set_result(self._read(asked.name, asked.data, asked.pictures))
            except Exception as error:  # a fault of ours must not leave the caller waiting for ever
                asked.result.set_exception(error)
            finally:
                with self._lock:
                    self._documents -= 1

    def _read(self, name: str, data: bytes, pictures: bool) -> list[dict[str, Any]]:
        """Reads a document, which lies in a file while it is read: PDFium wants to jump about in it."""
        size = stated_size(data)
        if size is not None and size[0] * size[1] > self._limits.page_pixels:
            raise DataError(
                f"{name}: {size[0]:,} × {size[1]:,} px are more than {self._limits.page_pixels:,} pixels.",
                "Scale it down, or read it by `vocr read`.",
            )
        with tempfile.TemporaryDirectory(prefix="vocr-page-") as folder:
            path = Path(folder) / "document"  # no ending: what it is, is told by its content
            try:
                path.write_bytes(data)
            except OSError as error:
                problem = f"{name}: it cannot be put on the disk: {reason_of(error)}."
                raise DataError(problem, "Ask again when there is room.") from None
            try:
                return list(self._pages(name, path, pictures))
            except VocrError as error:
                kind = DependencyError if isinstance(error, DependencyError) else DataError
                raise kind(error.problem.replace(str(path), name), error.fix) from None

    def _pages(self, name: str, path: Path, pictures: bool) -> Iterator[dict[str, Any]]:
        document = open_document(path, _DPI)
        try:
            if len(document) > self._limits.pages:
                raise DataError(
                    f"{name}: {len(document):,} pages are too many for one request.",
                    f"Send up to {self._limits.pages}, or read it by `vocr read`.",
                )
            for number in range(1, len(document) + 1):
                if self._stopped:
                    raise DataError(f"{name}: the server ends.", "Ask again when it is back.")
                yield self._page(document, PageRef(path, number), name, pictures)
        finally:
            document.close()

    def _page(self, document: Pages, ref: PageRef, name: str, pictures: bool) -> dict[str, Any]:
        try:
            image = document.page(ref.number - 1)
            (page,) = self._reader.read([self._preparer.prepare(ref, image)])
        except VocrError as error:
            if len(document) == 1:
                raise
            problem = error.problem.replace(str(ref.path), name)
            return Page(name, ref.number, error=problem, fix=error.fix).record()
        warnings = tuple(warning.replace(str(ref.path), name) for warning in page.warnings)
        page = replace(page, path=readable(name), warnings=warnings)
        record = {**page.record(), "text": plain_text(page, TextOptions())}
        return {**record, "picture": _picture(image)} if pictures else record


def _picture(page: PageImage) -> str:
    """A page as a JPEG that a screen can hold, in Base64."""
    image = Image.fromarray(page.pixels)
    image.thumbnail((_PICTURE_PX, _PICTURE_PX))
    file = BytesIO()
    image.save(file, "JPEG", quality=_PICTURE_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
