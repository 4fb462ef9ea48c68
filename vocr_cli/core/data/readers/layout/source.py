"""The lines that layout files describe, cut out of the images of their pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from vocr_cli.core.data.images.cut_line import LineShape, cut_line
from vocr_cli.core.data.readers.entries import Entry, content_digest, stamp
from vocr_cli.core.data.readers.layout.alto import read_alto
from vocr_cli.core.data.readers.layout.hocr import read_hocr
from vocr_cli.core.data.readers.layout.line_shapes import line_shapes
from vocr_cli.core.data.readers.layout.page_image import PageImages, open_page
from vocr_cli.core.data.readers.layout.page_model import LayoutLine, LayoutPage
from vocr_cli.core.data.readers.layout.page_xml import read_page_xml
from vocr_cli.core.data.readers.layout.parse_xml import parse_layout
from vocr_cli.core.errors import DataError, ImageError, VocrError

_COMPLETE = "Give lines a text and a polygon, a baseline or a rectangle, in the program that wrote the file."
_READERS = {"PAGE XML": read_page_xml, "ALTO": read_alto, "hOCR": read_hocr}


class LayoutFiles:
    """Labelled lines of pages: each line's text and its picture, cut along its outline.

    Lines are named `FILE#ID`. What cannot be used is an entry with a fault, lines without a text among them
    where texts are wanted. A page's image is opened once for all of its lines.

    Args:
        path: A file of PAGE XML, ALTO or hOCR, or a folder of them.
        files: Those of the folder that are wanted, as `layout_files` gives them; None: `path` is the file.
        images_root: The folder of the pages' images; None: they are looked for beside the files.
        need_text: False: lines without a text are wanted, too.
        notes: What was left aside, one sentence each.

    Raises:
        DataError: There is no such file, or no line in it can be used.
        DependencyError: lxml is not installed.
    """

    layout = "PAGE XML, ALTO or hOCR"
    uses = frozenset({"images"})

    def __init__(
        self,
        path: Path,
        *,
        files: Sequence[Path] | None = None,
        images_root: Path | None = None,
        need_text: bool = True,
        notes: Sequence[str] = (),
    ) -> None:
        if images_root is not None and not images_root.is_dir():
            raise DataError(f"The images folder {images_root} does not exist.", "Correct --images.")
        self.path, self._root, self._need_text, self.notes = path, images_root, need_text, list(notes)
        self._images = PageImages(images_root)
        self._files = [path] if files is None else list(files)
        self._lines = self._check(path) if files is None else None

    @property
    def lines(self) -> int | None:
        """How many entries there are; None: nobody knows before the files of a folder are read."""
        return self._lines

    def __iter__(self) -> Iterator[Entry]:
        number = 0
        for file in self._files:
            for entry in self._of_file(file):
                number += 1
                yield entry._replace(number=number)

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
                _COMPLETE,
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

    def _of_file(self, file: Path) -> Iterator[Entry]:
        """The lines of a file; their numbers are left to the caller."""
        name = file.relative_to(self.path).as_posix() if file != self.path else file.name
        try:
            pages = _pages_of(file)
        except VocrError as error:
            yield Entry(0, name, "", b"", error.problem.removeprefix(f"{file} "), remedy=error.fix)
            return
        keys = [line.key for page in pages for line in page.lines]
        is_unique = len(set(keys)) == len(keys)  # Tesseract numbers the lines of each page anew
        for page in pages:
            for line, picture in self._cut(file, page):
                key = f"{name}#{line.key}" if is_unique else f"{name}#{page.key}.{line.key}"
                if isinstance(picture, VocrError):
                    yield Entry(0, key, line.text, b"", picture.problem, remedy=picture.fix)
                else:
                    yield Entry(0, key, line.text, picture)

    def _cut(self, file: Path, page: LayoutPage) -> Iterator[tuple[LayoutLine, bytes | VocrError]]:
        """The lines of a page with their pictures, or why they have none."""
        faults = [self._fault(line) for line in page.lines]
        if all(faults):  # the image need not even be there
            yield from (
                (line, DataError(fault, _COMPLETE)) for line, fault in zip(page.lines, faults, strict=True)
            )
            return
        try:
            image, placement = open_page(self._images.find(file, page), page)
            shapes = line_shapes(page.lines, placement)
        except VocrError as error:
            yield from ((line, error) for line in page.lines)
            return
        for line, shape, fault in zip(page.lines, shapes, faults, strict=True):
            yield line, DataError(fault, _COMPLETE) if fault else _picture(image, shape)


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


def _picture(image: Image.Image, shape: LineShape) -> bytes | VocrError:
    """A line's picture as a PNG, or why there is none."""
    try:
        line = cut_line(image, shape)
    except VocrError as error:
        return error
    buffer = BytesIO()
    line.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
