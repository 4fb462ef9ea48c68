"""The documents of a run: files of pages, named or found in folders, each with a name for its output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.readers.layout.parse_xml import SUFFIXES as LAYOUT_SUFFIXES
from vocr_cli.core.data.readers.layout.parse_xml import layout_kind
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.inputs.natural_order import in_natural_order
from vocr_cli.core.pages.detectors.detector import PageImage
from vocr_cli.core.pages.inputs.box_files import is_box_file
from vocr_cli.core.pages.inputs.image_pages import ImagePages
from vocr_cli.core.pages.inputs.pdf import PdfPages

PDF_SUFFIX = ".pdf"
BOX_SUFFIXES = (".json", ".txt")
_PDF_MARK = b"%PDF-"


@dataclass(frozen=True)
class Document:
    """A file of pages.

    Attributes:
        path: The file.
        stem: What its output is called, without an ending; it may name a folder, too.
        error: Why it cannot be listed; then it is no file.
    """

    path: Path
    stem: str
    error: VocrError | None = None


class Pages(Protocol):
    """An open document."""

    def __len__(self) -> int:
        """The number of pages."""
        ...

    def page(self, index: int) -> PageImage:
        """Opens a page, from 0; raises a VocrError where that cannot be done."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


def find_documents(paths: Iterable[Path], *, layout: bool = False) -> Iterator[Document]:
    """Lists the files of pages, folders recursively and in natural order.

    Args:
        paths: Files and folders.
        layout: Whether folders are searched for files that give lines, rather than for images and PDFs.
    """
    stems: set[str] = set()
    for path in paths:
        if path.is_dir():
            yield from (_named(document, stems) for document in _in_folder(path, "", layout, frozenset()))
        else:
            yield _named(Document(path, path.stem), stems)


def open_document(path: Path, dpi: float, *, text_layer: bool = False) -> Pages:
    """Opens a file of pages by what it holds, whatever it is called.

    Args:
        path: The file.
        dpi: What pages of PDFs are drawn at.
        text_layer: Whether the text that a page of a PDF holds comes with it.

    Raises:
        VocrError: It cannot be opened.
    """
    if is_pdf(path):
        return PdfPages(path, dpi, text_layer=text_layer)
    if is_layout_file(path):
        from vocr_cli.core.pages.inputs.layout_pages import LayoutPages

        return LayoutPages(path)
    return ImagePages(path)


def is_layout_file(path: Path) -> bool:
    """Whether a file gives the lines of pages, by its name and how it begins."""
    suffix = path.suffix.lower()
    if suffix in BOX_SUFFIXES:
        return is_box_file(path)
    return suffix in LAYOUT_SUFFIXES and path.is_file()


def is_pdf(path: Path) -> bool:
    """Whether a file is a PDF, by its first bytes, or where it has none, its name."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        start = b""
    return (
        _PDF_MARK in start
        or (not start and path.suffix.lower() == PDF_SUFFIX)
        or (path.suffix.lower() == PDF_SUFFIX)
    )


def _named(document: Document, stems: set[str]) -> Document:
    """Gives a document a stem that no other has: with its ending, then with a number."""
    stem, number = document.stem, 1
    if stem in stems:
        stem = f"{document.stem}{document.path.suffix}"
    while stem in stems:
        number += 1
        stem = f"{document.stem}{document.path.suffix}-{number}"
    stems.add(stem)
    return document if stem == document.stem else Document(document.path, stem, document.error)


def _in_folder(
    folder: Path, below: str, layout: bool, above: frozenset[tuple[int, int]]
) -> Iterator[Document]:
    try:
        facts = folder.stat()
        here = facts.st_dev, facts.st_ino
        if here in above:
            return
        with os.scandir(folder) as entries:
            wanted = [
                (entry.name, entry.is_dir())
                for entry in entries
                if not entry.name.startswith(".") and (entry.is_dir() or _is_wanted(Path(entry.path), layout))
            ]
    except OSError as error:
        problem = DataError(
            f"{folder}: the folder cannot be listed: {error.strerror}.", "Check its permissions."
        )
        yield Document(folder, os.path.join(below, "folder"), problem)
        return
    for name, is_folder in in_natural_order(wanted):
        if is_folder:
            yield from _in_folder(folder / name, os.path.join(below, name), layout, above | {here})
        else:
            yield Document(folder / name, os.path.join(below, Path(name).stem))


def _is_wanted(path: Path, layout: bool) -> bool:
    if layout:
        return is_layout_file(path) and (path.suffix.lower() in BOX_SUFFIXES or bool(layout_kind(path)))
    return path.suffix.lower() == PDF_SUFFIX or is_image_name(path.name)
