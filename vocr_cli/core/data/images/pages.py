"""Image files of several pages: TIFF, and animated GIF, WebP, PNG and AVIF. Page n of `a.tif` is `a.tif#n`.

A page is a picture of its own; the thumbnails and masks that a TIFF may hold besides are none, nor is the
second picture of a photo in MPO.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from vocr_cli.core.data.images.file_kinds import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    begins_as_pdf,
    is_image_name,
    too_many_bytes,
    too_many_pixels,
)
from vocr_cli.core.errors import ImageError

PAGE_SUFFIXES = frozenset({".tif", ".tiff", ".gif", ".webp", ".avif"})
"""Of files that may hold several pages. A PNG may too, but so rarely that it is found out when it is read."""

MAX_PAGES = 10_000
_HEAD_BYTES = 1 << 16
_MAX_FRAMES, _MAX_FRAME_PIXELS = 1_000, 1_000_000_000  # of animations, of all frames together
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_PAGE_NAME = re.compile(r"(.+)#([1-9]\d{0,8})", re.DOTALL)
_SPLIT = "Split the file, or read its first page alone with --first-page."
_REDUCED, _MASK = 1, 4  # bits of TIFF's NewSubfileType
_OLD_REDUCED = 2  # a value of its SubfileType

# Pillow warns of a file that is cut off, and raises as well: it would be said twice.
warnings.filterwarnings("ignore", message="Truncated File Read", category=UserWarning)


class SeveralPagesError(ImageError):
    """A file holds several pages, or too many of them, where one picture is wanted."""


def page_named(name: str | os.PathLike[str]) -> tuple[str, int] | None:
    """The file and the page that a name such as `a.tif#2` stands for; None: it is no page's name."""
    text = os.fspath(name)
    if "#" not in text or (found := _PAGE_NAME.fullmatch(text)) is None:
        return None
    return (found[1], int(found[2])) if not os.path.exists(text) and os.path.isfile(found[1]) else None


def image_exists(name: str | os.PathLike[str]) -> bool:
    """Whether there is a file of an image's name, or one that holds the page it names."""
    return os.path.exists(name) or page_named(name) is not None


def may_hold_pages(name: str) -> bool:
    """Whether a file may hold several pages, by its name."""
    return os.path.splitext(name)[1].lower() in PAGE_SUFFIXES


def page_count(source: str | Path | bytes, name: str = "") -> int:
    """How many pages an image file has; 1 for what is no image, or is damaged: reading it says why.

    Raises:
        ImageError: It has, or says it has, more pages than any file of lines.
    """
    name = name or ("The image" if isinstance(source, bytes) else str(source))
    try:
        with _opened(source) as stream:
            return len(_pages(stream, name))
    except ImageError:
        raise
    except Exception:  # decoders raise anything on damaged files
        return 1


def pages_to_expect(path: str | Path) -> int:
    """How many pages a file seems to have, by its name and its header; 1 where that does not tell."""
    try:
        return page_count(path) if may_hold_pages(str(path)) else 1
    except ImageError:
        return 1


def several_pages(name: str, count: int) -> SeveralPagesError:
    """The error of several pages where one picture is wanted."""
    last = f" to {name}#{count}" if count > 2 else f" and {name}#{count}"
    way = f"Name its pages, {name}#1{last}" if is_image_name(name) else "Store each as a picture of its own"
    return SeveralPagesError(
        f"{name}: {count:,} pages, and nothing says which is meant.",
        f"{way}, or take the first alone with --first-page.",
    )


def load_page(source: str | Path | bytes, number: int, name: str = "") -> Image.Image:
    """Decodes one page.

    Args:
        source: The file, or its bytes.
        number: Of the page, from 1.
        name: What errors call it.

    Returns:
        A loaded image in the file's own mode.

    Raises:
        ImageError: There is no such page, it is too large, or damaged.
    """
    name = name or ("The image" if isinstance(source, bytes) else f"{source}#{number}")
    try:
        with _opened(source) as stream:
            pages = _pages(stream, name)
            if number > len(pages):
                held = "one page" if len(pages) == 1 else f"{len(pages):,} pages"
                raise ImageError(f"{name}: the file has {held}.", "Correct the number after the #.")
            stream.seek(0)
            with Image.open(stream) as image:
                if image.format == "EPS":  # decoding would start Ghostscript on a file nobody has vetted
                    raise ImageError(f"{name}: EPS is a drawing, not pixels.", "Export it as PNG.")
                if pages[number - 1]:
                    image.seek(pages[number - 1])
                if image.width * image.height > MAX_PIXELS:
                    raise too_many_pixels(name, image.size)
                image.load()
                return image.copy()
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise too_many_pixels(name, None) from None
    except Exception as error:  # decoders raise anything on damaged files
        if begins_as_pdf(source):
            remedy = "`vocr read --format alto` or `page` leaves pictures of its pages beside what it writes."
            raise ImageError(f"{name}: a PDF, not an image.", remedy) from None
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ImageError(f"{name}: damaged ({reason}).", "Export or copy the file again.") from None


def frame_indices(source: str | Path | bytes, name: str) -> list[int]:
    """Which of the frames of a file, as Pillow counts them, are pages.

    Args:
        source: The file, or its bytes.
        name: What errors call it.

    Raises:
        ImageError: They are too many.
        OSError: It cannot be read, or is no image.
    """
    with _opened(source) as stream:
        return _pages(stream, name)


def frames_of(image: Image.Image, source: str | Path | bytes, name: str) -> list[int]:
    """As `frame_indices`, of an image that Pillow has opened, and loaded nothing of.

    Raises:
        ImageError: They are too many.
    """
    return (
        frame_indices(source, name) if image.format == "TIFF" else list(range(_animation_frames(image, name)))
    )


def is_one_page(image: Image.Image, source: BinaryIO) -> bool:
    """Whether an image that Pillow has opened, and loaded nothing of, is its file's only page."""
    if image.format not in _ANIMATED | {"TIFF"}:
        return True
    position = source.tell()
    try:
        return _pages(source, "") == [0]
    except (ImageError, OSError, ValueError, struct.error):
        return False
    finally:
        source.seek(position)


def _opened(source: str | Path | bytes) -> BinaryIO:
    """A stream of a file's bytes.

    Raises:
        ImageError: They are too many to be taken into memory, which all but TIFF need.
        OSError: It cannot be read, or is no file.
    """
    if isinstance(source, bytes):
        return BytesIO(source)
    facts = os.stat(source)
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe may wait for ever, and it can be read but once
        raise OSError("no regular file")
    stream = open(source, "rb")
    if facts.st_size > MAX_FILE_BYTES and not _is_tiff(stream):
        stream.close()
        raise too_many_bytes(str(source), facts.st_size)
    return stream


def _pages(stream: BinaryIO, name: str) -> list[int]:
    """The indices of the pages among the frames of a stream."""
    if _is_tiff(stream):
        flags = list(_tiff_flags(stream, name))
        return [index for index, is_page in enumerate(flags) if is_page] or [0]
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    if not _may_be_animated(head):
        return [0]
    with Image.open(stream) as image:
        return list(range(_animation_frames(image, name)))


def _may_be_animated(head: bytes) -> bool:
    """Whether a file that begins so may hold several pictures; looked at for each image of a folder."""
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head[: head.find(b"IDAT") if b"IDAT" in head else None]
    return head.startswith((b"GIF8", b"RIFF")) or head[4:8] == b"ftyp"


def _animation_frames(image: Image.Image, name: str) -> int:
    """How many pictures an animation has; 1 for files of other kinds."""
    count = int(getattr(image, "n_frames", 1)) if image.format in _ANIMATED else 1
    if count > _MAX_FRAMES or (count > 1 and count * image.width * image.height > _MAX_FRAME_PIXELS):
        raise SeveralPagesError(f"{name}: {count:,} frames are too many.", _SPLIT)
    return count


def _is_tiff(stream: BinaryIO) -> bool:
    stream.seek(0)
    head = stream.read(4)
    stream.seek(0)
    return head[:2] in (b"II", b"MM") and head[2:] in (b"*\0", b"\0*", b"+\0", b"\0+")


def _tiff_flags(stream: BinaryIO, name: str) -> Iterator[bool]:
    """Goes through the directories of a TIFF (of BigTIFF, too): whether each is a page of its own.

    Raises:
        ImageError: They are too many.
    """
    order = "<" if stream.read(2) == b"II" else ">"
    is_big = struct.unpack(order + "H", stream.read(2))[0] == 43
    count_format, entry_bytes, offset_format = ("Q", 20, "Q") if is_big else ("H", 12, "I")
    if is_big:
        stream.read(4)

    def number(form: str) -> int:
        data = stream.read(struct.calcsize(order + form))
        return int(struct.unpack(order + form, data)[0])

    seen: set[int] = set()
    offset = number(offset_format)
    while offset:
        if offset in seen:
            return
        seen.add(offset)
        if len(seen) > MAX_PAGES:
            raise SeveralPagesError(f"{name}: more than {MAX_PAGES:,} pages.", _SPLIT)
        stream.seek(offset)
        try:
            entries = stream.read(min(number(count_format), 4096) * entry_bytes)
            following = number(offset_format)
        except struct.error:  # cut off: reading will call this page damaged
            yield True
            return
        yield not _is_lesser(entries, entry_bytes, order)
        offset = following


def _is_lesser(entries: bytes, entry_bytes: int, order: str) -> bool:
    """Whether a directory is that of a thumbnail or a mask."""
    value_at = 12 if entry_bytes == 20 else 8
    for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
        tag, kind = struct.unpack_from(order + "HH", entries, start)
        if tag not in (254, 255):
            continue
        value = struct.unpack_from(order + ("H" if kind == 3 else "I"), entries, start + value_at)[0]
        if value & (_REDUCED | _MASK) if tag == 254 else value == _OLD_REDUCED:
            return True
    return False
