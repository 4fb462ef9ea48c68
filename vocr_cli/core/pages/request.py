"""What a run of `vocr read` is asked for, and the documents that this makes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.pages.detectors.choice import DetectorName
from vocr_cli.core.pages.inputs.documents import Document, find_documents, open_document
from vocr_cli.core.pages.outputs.formats import (
    FormatName,
    FormatOptions,
    Target,
    has_page_files,
)
from vocr_cli.core.pages.outputs.known_stems import known_stems
from vocr_cli.core.pages.outputs.line_folder import LABELS


@dataclass(frozen=True, kw_only=True)
class ReadPagesRequest:
    """What is to be read, with what, and where the text goes.

    Attributes:
        paths: Files and folders of pages.
        recognizer: The model and how it reads.
        device: auto, cpu or cuda.
        detector: What finds the lines; auto: the best that is installed.
        dpi: What PDFs are drawn at.
        text_layer: Whether the text that a page of a PDF holds is taken as it is.
        workers: Processes that prepare pages; 0: one for each processor.
        out: The folder that the documents are written to; None: the caller shows the pages.
        format: Of the documents.
        options: How they are written.
        lines: The folder that pictures of the lines are written to, with what they say; None: none is.
        cache: The folder of pages that earlier runs read; None: there is none.
        cache_bytes: The cache's size, at most.
        resume: Whether to go on where an interrupted run with this `out` was.
        overwrite: Whether documents that are there may be replaced.
        engine: What reads: this process, or a Ray cluster.
        shard_index: Which shard of the documents is read, from 1.
        shard_count: How many there are.
    """

    paths: Sequence[Path]
    recognizer: RecognizerOptions = field(default_factory=RecognizerOptions)
    device: str = "auto"
    detector: DetectorName | Literal["auto"] = "auto"
    dpi: float = 200.0
    text_layer: bool = False
    workers: int = 0
    out: Path | None = None
    format: FormatName = "txt"
    options: FormatOptions = field(default_factory=FormatOptions)
    lines: Path | None = None
    cache: Path | None = None
    cache_bytes: int = 1 << 30
    resume: bool = False
    overwrite: bool = False
    engine: Literal["local", "ray"] = "local"
    shard_index: int = 1
    shard_count: int = 1

    def target(self, document: Document, pages: int) -> Target:
        """Where a document of so many pages goes; asked for where there is an `out`."""
        assert self.out is not None
        return Target(self.out, document.stem, self.format, document.path, pages)


def documents_of(request: ReadPagesRequest) -> list[Document]:
    """Lists the documents of the shard, in order.

    Raises:
        DataError: There is none at all.
    """
    outputs = [folder for folder in (request.out, request.lines) if folder is not None]
    found = find_documents(
        request.paths,
        layout=request.detector == "layout",
        numbered=has_page_files(request.format),
        leave_out=outputs,
        known={} if request.out is None else known_stems(request.out),
    )
    documents = [_writable(document, request) for document in found]
    if not documents:
        raise DataError(
            f"No page in {', '.join(map(str, request.paths))}.",
            "Name images (.png, .jpg, .tif, ...), PDFs, or folders that hold some.",
        )
    return documents[request.shard_index - 1 :: request.shard_count]


def _writable(document: Document, request: ReadPagesRequest) -> Document:
    """The document, or why nothing can be called after it."""
    if request.out is None or document.error is not None or request.target(document, 2).has_possible_names():
        return document
    problem = DataError(
        f"{document.path}: its name is too long to call a file after it.", "Shorten its name."
    )
    return replace(document, error=problem)


def existing_output(request: ReadPagesRequest, documents: Sequence[Document]) -> Path | None:
    """The first file that writing the documents would replace, pictures of pages included."""
    if request.lines is not None and (request.lines / LABELS).exists():
        return request.lines / LABELS
    if request.out is None or not request.out.exists():
        return None
    for document in documents:
        counts = [1, 2]  # one page has a name without number
        if has_page_files(request.format) and document.error is None:
            with suppress(VocrError):
                counts = [page_count(document, request.dpi)]
        for pages in counts:
            target = request.target(document, pages)
            for file in (*target.files(), *target.pictures()):
                if file.exists():
                    return file
    return None


def page_count(document: Document, dpi: float) -> int:
    """How many pages a document has.

    Raises:
        VocrError: It cannot be opened.
    """
    if document.error is not None:
        raise document.error
    pages = open_document(document.path, dpi)
    try:
        return len(pages)
    finally:
        pages.close()


def count_pages(documents: Sequence[Document], dpi: float, tell: Callable[[int], None]) -> None:
    """Has a thread count the pages of documents, and tell; one that cannot be opened counts as a page."""

    def counts() -> Iterator[int]:
        for document in documents:
            try:
                yield page_count(document, dpi)
            except VocrError:
                yield 1

    threading.Thread(target=lambda: tell(sum(counts())), name="vocr-count", daemon=True).start()
