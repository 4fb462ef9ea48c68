"""Pages that are image files; a TIFF may hold several."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.open_image import open_line, plain_line
from vocr_cli.core.data.images.pages import frame_indices
from vocr_cli.core.errors import ImageError, reason_of
from vocr_cli.core.pages.detectors.detector import PageImage

_LOW_DPI, _HIGH_DPI = 40, 2400  # what a file says beyond these is no resolution
_FAX, _NO_FAX = 1.1, 2.5  # unequal by more than the one, two resolutions are meant so; than the other, not
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)  # of EXIF
WORKING_PIXELS = 50_000_000
"""Larger pages are worked on at a lower resolution."""

MOST_PIXELS = 300_000_000
"""Larger pages are refused from their header: decoding them could exhaust memory."""


class ImagePages:
    """An image file, open as pages.

    Args:
        path: The file.

    Raises:
        ImageError: It is missing, empty, damaged, too large, or no image.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = [0]
        try:
            with _opened(path) as image:
                if image.format == "TIFF":  # of animations the first picture is the page
                    self._frames = frame_indices(path, str(path))
        except ImageError:
            raise
        except Exception:  # decoders raise anything on damaged files
            open_line(path)  # says what is wrong

    def __len__(self) -> int:
        """The number of pages."""
        return len(self._frames)

    def page(self, index: int) -> PageImage:
        """Opens a page, upright by its EXIF.

        Raises:
            ImageError: It is damaged or too large.
        """
        name = str(self._path) if len(self) == 1 else f"{self._path}, page {index + 1}"
        try:
            with _opened(self._path) as image:
                if self._frames[index]:
                    image.seek(self._frames[index])
                _check(image, name)
                stretch, dpi = _squaring(image)
                longer, most = max(image.size), WORKING_PIXELS / (stretch[0] * stretch[1])
                turned = stretch != (1.0, 1.0) and image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS
                if image.width * image.height > most:
                    image.draft(None, (image.width // 2, image.height // 2))
                image.load()
                by = math.ceil(math.sqrt(image.width * image.height / most))
                plain = plain_line(image.reduce(by) if by > 1 and image.mode in ("L", "RGB") else image)
                if by > 1 and max(plain.size) == max(image.size):
                    plain = plain.reduce(by)
                scale = longer / max(plain.size)
                if stretch != (1.0, 1.0):
                    wider, higher = reversed(stretch) if turned else stretch
                    plain = plain.resize((round(plain.width * wider), round(plain.height * higher)))
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(
                f"{name}: damaged ({reason_of(error)}).", "Export or copy the image again, or leave it out."
            ) from None
        return PageImage(name, np.asarray(plain), dpi, scale)

    def close(self) -> None:
        """Does nothing: the file is open only while a page is read."""


def has_square_pixels(path: Path) -> bool:
    """Whether the pages of an image have as many pixels as it stores; True where it is no image."""
    try:
        with _opened(path) as image:
            return _squaring(image)[0] == (1.0, 1.0)
    except Exception:  # decoders raise anything
        return True


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens an image whose header may name more pixels than Pillow takes for a harmless picture's."""
    most = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = None
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = most
        with image:
            _check(image, str(path))
            yield image


def _check(image: Image.Image, name: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise ImageError(
            f"{name}: {image.width:,} × {image.height:,} px are more than {MOST_PIXELS:,} pixels.",
            "Scale it down, or cut it into pages.",
        )
    if image.format == "EPS":  # decoding would start Ghostscript on a file nobody has vetted
        raise ImageError(f"{name}: EPS is a drawing, not pixels.", "Export it as PNG or PDF.")


def _squaring(image: Image.Image) -> tuple[tuple[float, float], float]:
    """By how much a page is to be made wider and higher for square pixels, and its resolution then.

    Faxes have twice as many pixels across as down the page: letters that are so squashed are found and read
    worse, and the order of lines goes by distances.
    """
    across, down = (_resolution(image, axis) for axis in (0, 1))
    if not across or not down or not _FAX < max(across, down) / min(across, down) < _NO_FAX:
        return (1.0, 1.0), across
    finer = max(across, down)
    return (finer / across, finer / down), finer


def _resolution(image: Image.Image, axis: int) -> float:
    try:
        dpi = float(image.info.get("dpi", (0, 0))[axis])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return 0.0
    return dpi if _LOW_DPI <= dpi <= _HIGH_DPI else 0.0
