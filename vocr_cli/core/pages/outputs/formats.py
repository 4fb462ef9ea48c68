"""The formats of a document: what each is called, what it is written to, and what writes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import LONGEST_NAME_BYTES, atomic_write
from vocr_cli.core.pages.inputs.documents import is_picture, open_document
from vocr_cli.core.pages.outputs.alto import alto
from vocr_cli.core.pages.outputs.hocr import HEAD, TAIL, hocr_page
from vocr_cli.core.pages.outputs.page_xml import page_xml
from vocr_cli.core.pages.outputs.text import (
    TSV_HEADING,
    TextOptions,
    json_line,
    markdown,
    plain_text,
    table_rows,
)
from vocr_cli.core.pages.page import Page

FormatName = Literal["txt", "md", "jsonl", "tsv", "hocr", "alto", "page", "pdf"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

PAGE_BREAK = "\f"
"""Between the pages of a document in plain text, as pdftotext and Tesseract write it."""

WITH_WORDS: tuple[FormatName, ...] = ("jsonl", "hocr", "alto", "page", "pdf")
"""Those that say where each word stands."""

_ENDINGS = {"alto": "xml", "page": "xml"}
_OF_PAGES = ("alto", "page")


def has_page_files(form: FormatName) -> bool:
    """Whether each page of a document becomes a file, `STEM-0001.xml`."""
    return form in _OF_PAGES


@dataclass(frozen=True)
class FormatOptions:
    """How documents are written.

    Attributes:
        text: How lines become text.
        dpi: What pages of PDFs were drawn at.
    """

    text: TextOptions = field(default_factory=TextOptions)
    dpi: float = 200.0


@dataclass(frozen=True)
class Target:
    """Where a document goes.

    Attributes:
        out: The folder.
        stem: The name without an ending; it may name a folder, too.
        form: The format.
        source: The document itself.
        count: Its pages.
    """

    out: Path
    stem: str
    form: FormatName
    source: Path
    count: int

    def files(self) -> Iterator[Path]:
        """The files, the one that is written last being the last."""
        ending = _ENDINGS.get(self.form, self.form)
        if self.form in _OF_PAGES and self.count > 1:
            yield from (self.out / f"{self.stem}-{number:04}.{ending}" for number in range(1, self.count + 1))
        else:
            yield self.out / f"{self.stem}.{ending}"

    def pictures(self) -> Iterator[Path]:
        """The pictures of its pages that lie beside the files, where the document is no picture itself."""
        if self.form in _OF_PAGES and (self.count > 1 or not is_picture(self.source)):
            yield from (file.with_suffix(".png") for file in self.files())

    def has_possible_names(self) -> bool:
        """Whether no file's name is longer than a file system takes."""
        return all(len(os.fsencode(file.name)) <= LONGEST_NAME_BYTES for file in self.files())

    def is_written(self) -> bool:
        """Whether the document is there as a whole."""
        return all(file.is_file() for file in self.files())


PageText = Callable[[Page, TextOptions], str]
_TEXTS: dict[str, PageText] = {"txt": plain_text, "md": markdown, "jsonl": json_line, "tsv": table_rows}
_BETWEEN = {"txt": PAGE_BREAK, "md": "\n---\n\n"}


def document_start(form: FormatName) -> str:
    """What comes before the first page, on stdout."""
    return HEAD if form == "hocr" else TSV_HEADING if form == "tsv" else ""


def document_end(form: FormatName) -> str:
    """What comes after the last page, on stdout."""
    return TAIL if form == "hocr" else ""


def page_text(page: Page, form: FormatName, options: FormatOptions, index: int) -> Iterator[str]:
    """A page in a format of text or XML, as the page of that index, from 0, of what is written."""
    if form == "hocr":
        yield from hocr_page(page, page.image or page.path, index)
    elif form == "alto":
        yield from alto(page, page.image or page.path)
    elif form == "page":
        yield from page_xml(page, page.image or page.path, _made(Path(page.path)))
    else:
        yield (_BETWEEN.get(form, "") if index else "") + _TEXTS[form](page, options.text)


def need_packages(form: FormatName) -> None:
    """Makes sure that a format can be written.

    Raises:
        DependencyError: The package that it needs is not installed.
    """
    if form == "pdf":
        from vocr_cli.core.pages.outputs.searchable_pdf import need_pikepdf

        need_pikepdf()


def write_document(target: Target, pages: Iterable[Page], options: FormatOptions) -> bool:
    """Writes a document, each file in one step; pages that could not be read are left empty or out.

    Returns:
        Whether the document was signed, and what is written has lost that.

    Raises:
        DataError: It cannot be written.
        DependencyError: The format needs a package that is not installed.
    """
    if target.form == "pdf":
        from vocr_cli.core.pages.outputs.searchable_pdf import write_searchable_pdf

        return write_searchable_pdf(next(target.files()), target.source, pages, options.dpi)
    try:
        if target.form in _OF_PAGES:
            for page, file in zip(pages, target.files(), strict=True):
                _write_page(target, page, file, options)
            return False
        with atomic_write(next(target.files()), only_writer=True) as temporary:
            with temporary.open("w", encoding="utf-8", errors="replace") as text:
                text.writelines(_document(target, pages, options))
        return False
    except OSError as error:
        raise DataError(
            f"{next(target.files())} cannot be written: {reason_of(error)}.",
            "Free disk space, or name another --out folder.",
        ) from None


def _document(target: Target, pages: Iterable[Page], options: FormatOptions) -> Iterator[str]:
    yield document_start(target.form)
    for index, page in enumerate(pages):
        if target.form == "hocr":
            image = _relative(Path(page.image or target.source), next(target.files()))
            yield from hocr_page(page, image, index)
        else:
            yield from page_text(page, target.form, options, index)
    yield document_end(target.form)


def _write_page(target: Target, page: Page, file: Path, options: FormatOptions) -> None:
    """Writes the file of a page; the page of a PDF, a frame or a fax is left beside it as an image."""
    source = Path(page.image or target.source)
    if not (page.error or page.image) and (target.count > 1 or not is_picture(source)):
        source = file.with_suffix(".png")
        _write_image(target, page, source, options)
    image = _relative(source, file)
    parts = alto(page, image) if target.form == "alto" else page_xml(page, image, _made(target.source))
    with atomic_write(file, only_writer=True) as temporary:
        with temporary.open("w", encoding="utf-8", errors="replace") as text:
            text.writelines(parts)


def _write_image(target: Target, page: Page, file: Path, options: FormatOptions) -> None:
    document = open_document(target.source, options.dpi)
    try:
        pixels = document.page(page.number - 1).pixels
    finally:
        document.close()
    with atomic_write(file, only_writer=True) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG", compress_level=3)


def _relative(source: Path, file: Path) -> str:
    """How a file names another: from its own folder, with forward slashes."""
    try:
        return Path(os.path.relpath(source.resolve(), file.parent.resolve())).as_posix()
    except ValueError:  # another drive
        return source.resolve().as_posix()


def _made(source: Path) -> float:
    try:
        return source.stat().st_mtime
    except OSError:
        return 0.0
