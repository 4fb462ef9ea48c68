"""What counts as an image or an archive by its name, and how large an image may be, for every reader."""

from __future__ import annotations

import os
from pathlib import Path

from vocr_cli.core.errors import ImageError
from vocr_cli.core.machine.files.input_file import open_input

_PDF_MARK, _PDF_HEAD_BYTES = b"%PDF-", 1024

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
"""What counts as an image inside a folder or archive. A file that is named itself is opened anyway."""

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")

MAX_FILE_BYTES = 128 << 20
"""Larger files and members are not taken into memory: no line image needs them."""

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header: no text line needs them, and decoding could exhaust memory."""


def is_image_name(name: str) -> bool:
    """Whether a name in a folder, an archive or a list counts as that of an image, or of a page of one."""
    suffix = os.path.splitext(name)[1].lower()
    if "#" in suffix:
        suffix, _, page = suffix.partition("#")
        return page.isdecimal() and suffix in IMAGE_SUFFIXES
    return suffix in IMAGE_SUFFIXES


def is_tar(path: Path) -> bool:
    """Whether a file counts as an archive, by its name."""
    return path.name.lower().endswith(TAR_SUFFIXES)


def begins_as_pdf(source: str | Path | bytes) -> bool:
    """Whether a file, or its bytes, begins as a PDF, maybe after some other bytes, as readers allow."""
    if isinstance(source, bytes):
        return _PDF_MARK in source[:_PDF_HEAD_BYTES]
    try:
        with open_input(Path(source), pipes=False) as file:  # a pipe has been read already
            return _PDF_MARK in file.read(_PDF_HEAD_BYTES)
    except OSError:
        return False


def too_many_bytes(name: str, count: int) -> ImageError:
    """The error of a file or member larger than `MAX_FILE_BYTES`."""
    return ImageError(
        f"{name}: {count:,} bytes are too many for a line image.", "Crop the text lines out of it."
    )


def too_many_pixels(name: str, size: tuple[int, int] | None) -> ImageError:
    """The error of an image with more than `MAX_PIXELS`; `size` is its width and height, where known."""
    shown = f"{size[0]:,} × {size[1]:,} px" if size else "its size"
    return ImageError(
        f"{name}: {shown} is beyond the limit of {MAX_PIXELS // 1_000_000} million pixels.",
        "Crop the text lines out of it, or scale it down.",
    )
