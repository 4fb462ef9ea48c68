"""The documents of a run: files of pages, named or found in folders, each with a name for its output."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from vocr_cli.core.data.images.file_kinds import begins_as_pdf, is_image_name
from vocr_cli.core.data.readers.layout.parse_xml import SUFFIXES as LAYOUT_SUFFIXES
from vocr_cli.core.data.readers.layout.parse_xml import layout_kind
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.inputs.natural_order import in_natural_order
from vocr_cli.core.pages.detectors.detector import PageImage
from vocr_cli.core.pages.inputs.box_files import is_box_file
from vocr_cli.core.pages.inputs.image_pages import ImagePages, has_square_pixels
from vocr_cli.core.pages.inputs.pdf import PdfPages

PDF_SUFFIX = ".pdf"
BOX_SUFFIXES = (".json", ".txt")
_PAGES = "/-"  # stands behind a stem that pages of other documents have before their numbers
_PAGE_NUMBER = re.compile(r"-\d{4,}$")  # of the files that pages are written to


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


def find_documents(
    paths: Iterable[Path],
    *,
    layout: bool = False,
    numbered: bool = False,
    leave_out: Sequence[Path] = (),
    known: Mapping[str, Path] = MappingProxyType({}),
) -> Iterator[Document]:
    """Lists the files of pages, folders recursively and in natural order.

    Args:
        paths: Files and folders.
        layout: Whether folders are searched for files that give lines, rather than for images and PDFs.
        numbered: Whether pages become files of their own, so that `a-0001` may be a page of `a`.
        leave_out: Folders that are not searched where they lie in others: those of the output.
        known: Stems that earlier runs gave, and the files that have them: they keep them, and no other file
            gets one.
    """
    names = _Names(numbered, known)
    above = frozenset(_identity(folder) for folder in leave_out if folder.is_dir())
    for path in paths:
        if path.is_dir():
            passed_by = above - {_identity(path)}
            for document in _in_folder(path, "", layout, passed_by):
                yield names.named(document)
        else:
            yield names.named(Document(path, path.stem))


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


def is_picture(path: Path) -> bool:
    """Whether a document is a picture of its page, as files that describe the page may name it."""
    return not is_pdf(path) and has_square_pixels(path)


def open_document(path: Path, dpi: float, *, text_layer: bool = False) -> Pages:
    """Opens a file of pages by what it holds, whatever it is called.

    Args:
        path: The file.
        dpi: What pages of PDFs are drawn at.
        text_layer: Whether the text that a page of a PDF holds comes with it.

    Raises:
        VocrError: It cannot be opened.
    """
    if not path.is_file():
        if path.exists():
            raise DataError(f"{path}: a pipe or a device, no file.", "Write it into a file first.")
        fix = "Name a file: pages do not come from stdin." if str(path) == "-" else "Check the path."
        raise DataError(f"{path}: no such file.", fix)
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
    """Whether a file is a PDF, by its name or its first bytes."""
    return path.suffix.lower() == PDF_SUFFIX or begins_as_pdf(path)


class _Names:
    """Gives documents stems, each another one.

    Args:
        numbered: Whether a stem and that of its pages, as `a` and `a-0001`, are in each other's way.
        known: Stems that files have from earlier runs.
    """

    def __init__(self, numbered: bool, known: Mapping[str, Path]) -> None:
        self._numbered = numbered
        self._taken: set[str] = set()
        self._kept: dict[str, list[str]] = {}  # stems by file, the next one last
        for stem, path in reversed(list(known.items())):
            self._take(stem)
            self._kept.setdefault(os.path.abspath(path), []).append(stem)

    def named(self, document: Document) -> Document:
        """Gives a document the stem that it had, or one that no other has: with its ending, then a number.

        Args:
            document: With the stem that it would have.
        """
        stem, number = document.stem, 1
        if self._kept and (kept := self._kept.get(os.path.abspath(document.path))):
            stem = kept.pop()
        else:
            if self._is_taken(stem):
                stem = f"{document.stem}{document.path.suffix}"
            while self._is_taken(stem):
                number += 1
                stem = f"{document.stem}{document.path.suffix}-{number}"
            self._take(stem)
        return document if stem == document.stem else Document(document.path, stem, document.error)

    def _is_taken(self, stem: str) -> bool:
        base = _PAGE_NUMBER.sub("", stem)
        return stem in self._taken or (
            self._numbered and (f"{stem}{_PAGES}" in self._taken or (base != stem and base in self._taken))
        )

    def _take(self, stem: str) -> None:
        self._taken.add(stem)
        if self._numbered and _PAGE_NUMBER.search(stem):
            self._taken.add(_PAGE_NUMBER.sub(_PAGES, stem))  # its base is not free


def _in_folder(
    folder: Path, below: str, layout: bool, above: frozenset[tuple[int, int]]
) -> Iterator[Document]:
    try:
        here = _identity(folder)
        if here in above:  # a link that leads round and round, or a folder of the output
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
