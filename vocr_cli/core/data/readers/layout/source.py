"""The lines that layout files describe, cut out of the images of their pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from vocr_cli.core.data.images.cut_line import LineShape, cut_line
from vocr_cli.core.data.readers.annotations import existing_root
from vocr_cli.core.data.readers.entries import Entry, content_digest, stamp
from vocr_cli.core.data.readers.layout.alto import read_alto
from vocr_cli.core.data.readers.layout.hocr import read_hocr
from vocr_cli.core.data.readers.layout.layout_files import layout_files
from vocr_cli.core.data.readers.layout.line_shapes import line_shapes
from vocr_cli.core.data.readers.layout.page_image import PageImages, open_page
from vocr_cli.core.data.readers.layout.page_model import LayoutLine, LayoutPage
from vocr_cli.core.data.readers.layout.page_xml import read_page_xml
from vocr_cli.core.data.readers.layout.parse_xml import parse_layout
from vocr_cli.core.errors import DataError, ImageError, VocrError

_READERS = {"PAGE XML": read_page_xml, "ALTO": read_alto, "hOCR": read_hocr}


class LayoutFiles:
    """Labelled lines of pages: each line's text and its picture, cut along its outline.

    Lines are named `FILE#ID`. What cannot be used is an entry with a fault, lines without a text among them
    where texts are wanted. A page's image is opened once for all of its lines.

    Args:
        path: A file of PAGE XML, ALTO or hOCR, or a folder of them, searched recursively.
        images_root: The folder of the pages' images; None: they are looked for beside the files.
        need_text: False: lines without a text are wanted, too.

    Attributes:
        notes: What was left aside, one sentence each.

    Raises:
        DataError: There is no such file, or no line in it can be used.
        DependencyError: lxml is not installed.
    """

    layout = "PAGE XML, ALTO or hOCR"
    uses = frozenset({"images"})

    def __init__(self, path: Path, images_root: Path | None = None, *, need_text: bool = True) -> None:
        self.path, self._need_text = path, need_text
        self._root = None if images_root is None else existing_root(images_root)
        self._images = PageImages(self._root)
        self.notes: list[str] = []
        self._files = layout_files(path, self.notes) if path.is_dir() else [path]
        self._lines: int | None = None
        if not path.is_dir():
            self._lines = self._check(path)

    @property
    def lines(self) -> int | None:
        """How many entries there are; None: nobody knows before the files of a folder are read."""
        return self._lines

    def __iter__(self) -> Iterator[Entry]:
        number = 0
        for file in self._files:
            for name, label, image, fault in self._of_file(file):
                number += 1
                yield Entry(number, name, label, image, fault)

    def fingerprint(self) -> str:
        """A fingerprint of the files, of one file by its content, and of the images' folder."""
        digest = hashlib.sha256()
        for file in self._files:
            text = content_digest(file) if len(self._files) == 1 else f"{file} {stamp(file)}"
            digest.update(f"{text}\n".encode("utf-8", "surrogateescape"))
        return f"{digest.hexdigest()} {self._root and self._root.resolve()}"

    def _check(self, file: Path) -> int:
        """Counts the lines of a file, of which at least one must be usable."""
        pages = _pages_of(file)
        lines = [line for page in pages for line in page.lines]
        if not lines:
            raise DataError(
                f"{file} describes no text line.",
                "Segment the page into lines first, for instance in eScriptorium or Transkribus.",
            )
        faults = [self._fault(line) for line in lines]
        if all(faults):
            raise DataError(
                f"{file}: none of its {len(lines):,} lines can be used; line {lines[0].key}: {faults[0]}.",
                "Give lines a text and a polygon, a baseline or a rectangle, in the program that wrote it.",
            )
        self._check_images(file, [page for page in pages if page.lines])
        return len(lines)

    def _check_images(self, file: Path, pages: list[LayoutPage]) -> None:
        """Looks whether the image of at least one page is there."""
        for page in pages:
            try:
                self._images.find(file, page)
            except ImageError as error:
                missing = error
            else:
                return
        raise DataError(f"{file}: {missing.problem}.", missing.fix)

    def _fault(self, line: LayoutLine) -> str:
        return line.fault or ("it has no text" if self._need_text and not line.text.strip() else "")

    def _of_file(self, file: Path) -> Iterator[tuple[str, str, bytes, str]]:
        """Name, label, picture and fault of each line of a file."""
        name = file.relative_to(self.path).as_posix() if file != self.path else file.name
        try:
            pages = _pages_of(file)
        except VocrError as error:
            yield name, "", b"", error.problem.removeprefix(f"{file} ")
            return
        keys = [line.key for page in pages for line in page.lines]
        is_unique = len(set(keys)) == len(keys)  # Tesseract numbers the lines of each page anew
        for page in pages:
            for line, picture in self._cut(file, page):
                key = line.key if is_unique else f"{page.key}.{line.key}"
                fault = picture if isinstance(picture, str) else ""
                yield f"{name}#{key}", line.text, b"" if isinstance(picture, str) else picture, fault

    def _cut(self, file: Path, page: LayoutPage) -> Iterator[tuple[LayoutLine, bytes | str]]:
        """The lines of a page with their pictures, or why they have none."""
        faults = [self._fault(line) for line in page.lines]
        if all(faults):  # the image need not even be there
            yield from zip(page.lines, faults, strict=True)
            return
        try:
            image, placement = open_page(self._images.find(file, page), page)
            shapes = line_shapes(page.lines, placement)
        except VocrError as error:
            yield from ((line, error.problem) for line in page.lines)
            return
        for line, shape, fault in zip(page.lines, shapes, faults, strict=True):
            yield line, fault or _picture(image, shape)


def _pages_of(file: Path) -> list[LayoutPage]:
    """The pages that a file describes.

    Raises:
        DataError: It cannot be read.
    """
    kind, root = parse_layout(file)
    try:
        return _READERS[kind](root)
    except VocrError as error:
        raise DataError(f"{file} cannot be used: {error.problem}.", error.fix or "Write it anew.") from None


def _picture(image: Image.Image, shape: LineShape) -> bytes | str:
    """A line's picture as a PNG, or why there is none."""
    try:
        line = cut_line(image, shape)
    except VocrError as error:
        return error.problem
    buffer = BytesIO()
    line.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
