"""A page on its way to the recogniser: opened, its lines found and cut out, fitted to the model's height.

Done by worker processes beside the one that reads; what they hand over is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.build.worker_pool import ordered_map
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.pages.detectors.choice import DetectorName, make_detector
from vocr_cli.core.pages.detectors.detector import Detector, FoundLines, PageImage, Rules
from vocr_cli.core.pages.inputs.documents import Pages, open_document
from vocr_cli.core.pages.lines.cut import cut_lines
from vocr_cli.core.pages.page import Page

_ALONE_S = 3.0  # so long pages are prepared here, before it is worth it to start other processes


@dataclass(frozen=True)
class PageRef:
    """A page to be read.

    Attributes:
        path: The file that it is in.
        number: Which page of it, from 1.
        failure: Why it cannot be read, where that is known.
    """

    path: Path
    number: int
    failure: VocrError | None = None


@dataclass(frozen=True)
class PreparedPage:
    """A page whose lines wait to be read, or the failure.

    Attributes:
        page: Its facts, without lines.
        quads: (N, 4, 2) float64: of each line its corners, px of the page.
        lines: Of each line the pixels, (H, W, channels) uint8 as the model takes them.
        insets: Of each line, how far within its pixels it begins and ends, as a fraction of their width.
        sources: Of each line what the layout file calls it.
        texts: Of each line what it says, where that is known; else empty.
        courses: Of each line where its middle runs, if it bends; px of the page.
        ordered: Whether they come in reading order.
        rules: What stands between them.
    """

    page: Page
    quads: np.ndarray = field(default_factory=lambda: np.zeros((0, 4, 2)))
    lines: tuple[np.ndarray, ...] = ()
    insets: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    courses: tuple[np.ndarray | None, ...] = ()
    ordered: bool = False
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Preparer:
    """Prepares pages; it can be sent to a worker process, which loads the detector when the first page comes.

    Attributes:
        image: How the model sees a line.
        detector: What finds the lines.
        dpi: What PDFs are drawn at.
        text_layer: Whether the text that a page of a PDF holds is taken as it is.
        threads: Processors for a page.
    """

    image: ImageConfig
    detector: DetectorName
    dpi: float
    text_layer: bool = False
    threads: int = 1

    def __call__(self, ref: PageRef) -> PreparedPage:
        """Prepares a page; what a user can mend becomes a page with an error."""
        try:
            if ref.failure is not None:
                raise ref.failure
            return self.prepare(ref, _open(ref.path, self.dpi, self.text_layer).page(ref.number - 1))
        except VocrError as error:
            return PreparedPage(Page(str(ref.path), ref.number, error=error.problem, fix=error.fix))

    def prepare(self, ref: PageRef, page: PageImage) -> PreparedPage:
        """Prepares a page that is open already.

        Raises:
            VocrError: Its lines cannot be found.
        """
        return self._cut(ref, page, self._find(page))

    def _find(self, page: PageImage) -> FoundLines:
        if page.found is not None:
            return page.found
        if self.detector == "layout":
            raise DataError(
                f"{page.name}: it comes with no lines, which --detector layout needs.",
                "Name its layout file (PAGE XML, ALTO, hOCR, Label.txt, COCO, YOLO), or another --detector.",
            )
        return _detector(self.detector, self.threads).find(page)

    def _cut(self, ref: PageRef, page: PageImage, found: FoundLines) -> PreparedPage:
        lines, faults = cut_lines(page, found.boxes, self.image)
        place = {line.box: index for index, line in enumerate(lines)}
        facts = Page(
            str(ref.path),
            ref.number,
            round(page.width * page.scale),
            round(page.height * page.scale),
            page.dpi,
            image=page.image,
            warnings=(*found.warnings, *faults),
        )
        return PreparedPage(
            facts,
            np.array([line.quad for line in lines]).reshape(-1, 4, 2) * page.scale,
            tuple(line.pixels for line in lines),
            tuple(line.inset for line in lines),
            tuple(line.source for line in lines),
            tuple(line.text for line in lines),
            tuple(None if line.course is None else line.course * page.scale for line in lines),
            found.ordered,
            found.rules.renumbered(place),
        )


def prepare_pages(preparer: Preparer, refs: Iterable[PageRef], workers: int) -> Iterator[PreparedPage]:
    """Prepares pages in their order, by processes of their own where there are many.

    Args:
        preparer: Does it.
        refs: Taken as they are needed.
        workers: How many processes; 0: one for each processor.

    Raises:
        WorkerLost: A process ended, for lack of memory for instance.
    """
    prepared = ordered_map(preparer, refs, workers, chunk_items=1, chunks_ahead=2, alone_seconds=_ALONE_S)
    return (page for _, page in prepared)


@lru_cache(maxsize=1)
def _open(path: Path, dpi: float, text_layer: bool) -> Pages:
    """Opens a document; the last one stays open."""
    return open_document(path, dpi, text_layer=text_layer)


@lru_cache(maxsize=1)
def _detector(name: DetectorName, threads: int) -> Detector:
    return make_detector(name, threads)
