"""Pages of PDFs, drawn by PDFium (package `pypdfium2`)."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.errors import DataError, DependencyError, reason_of
from vocr_cli.core.pages.detectors.detector import PageImage
from vocr_cli.core.pages.inputs.text_layer import page_text

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

POINTS_PER_INCH = 72
_MOST_PIXELS = 40_000_000  # a larger page is drawn at a lower resolution
PDFIUM_LOCK = threading.Lock()
"""PDFium may be used by one thread at a time."""


def need_pdfium(path: Path) -> None:
    """Makes sure that PDFs can be opened.

    Raises:
        DataError: There is no such file, with which nothing else would help.
        DependencyError: pypdfium2 is not installed.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file.", "Check the path.")
    if find_spec("pypdfium2") is None:
        raise DependencyError(
            f"{path} is a PDF, and pypdfium2 is not installed.", "pip install 'vocr-cli[pages]'."
        )


class PdfPages:
    """An open PDF.

    Args:
        path: The file.
        dpi: The resolution that pages are drawn at.
        text_layer: Whether the text that a page holds comes with it.

    Raises:
        DependencyError: pypdfium2 is not installed.
        DataError: The file is no PDF, is damaged, encrypted, or empty.
    """

    def __init__(self, path: Path, dpi: float, *, text_layer: bool = False) -> None:
        need_pdfium(path)
        import pypdfium2

        self._path, self._dpi, self._text_layer = path, dpi, text_layer
        with PDFIUM_LOCK:
            try:
                self._document: PdfDocument = pypdfium2.PdfDocument(path)
                self._document.init_forms()  # so that what stands in form fields and signatures is drawn
                self._count = len(self._document)
            except (pypdfium2.PdfiumError, OSError) as error:
                raise _unreadable(path, error) from None
        if not self._count:
            raise DataError(f"{path}: a PDF without a page.", "Export it again, or leave it out.")

    def __len__(self) -> int:
        """The number of pages."""
        return self._count

    def page(self, index: int) -> PageImage:
        """Draws a page.

        Raises:
            DataError: The page is damaged.
        """
        import pypdfium2

        name = f"{self._path}, page {index + 1}"
        with PDFIUM_LOCK:
            try:
                page = self._document[index]
                width, height = page.get_size()
                if width * height <= 0:
                    raise DataError(f"{name}: it has no area.", "Export the PDF again.")
                dpi = self._dpi
                pixels = width * height * (dpi / POINTS_PER_INCH) ** 2
                if pixels > _MOST_PIXELS:
                    dpi *= (_MOST_PIXELS / pixels) ** 0.5
                bitmap = page.render(scale=dpi / POINTS_PER_INCH, rev_byteorder=True)
                drawn = np.array(bitmap.to_numpy()[:, :, :3])
                bitmap.close()
                found = page_text(page, dpi / POINTS_PER_INCH) if self._text_layer else None
                page.close()
            except (pypdfium2.PdfiumError, ValueError, OSError, MemoryError) as error:
                raise DataError(
                    f"{name}: it cannot be drawn: {reason_of(error)}.",
                    "Repair the PDF (qpdf FILE.pdf NEW.pdf).",
                ) from None
        return PageImage(name, drawn, dpi, found=found)

    def close(self) -> None:
        """Closes the file."""
        with PDFIUM_LOCK:
            self._document.close()


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = reason_of(error)
    if path.is_file() and path.stat().st_size == 0:
        return DataError(f"{path}: empty, 0 bytes.", "Export or copy the PDF again, or leave it out.")
    locked = "password" in reason.lower() or "security" in reason.lower()
    if locked and _names_encryption(path):  # PDFium may tell of the file before
        return DataError(
            f"{path}: the PDF is encrypted.",
            "Take the password off first: qpdf --decrypt --password=… IN.pdf OUT.pdf.",
        )
    if "Success" in reason:  # of a file without pages PDFium says nothing else
        reason = "no page was found"
    return DataError(
        f"{path}: no PDF, or damaged ({reason}).",
        "Export or copy it again, or repair it: qpdf IN.pdf OUT.pdf.",
    )


def _names_encryption(path: Path) -> bool:
    try:
        return b"/Encrypt" in path.read_bytes()
    except OSError:
        return False
