"""Line images opened safely: whatever a file holds, it is an upright picture, or refused with a reason."""

from __future__ import annotations

import os
import stat
import warnings
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fast_decode import plain_image
from vocr_cli.core.data.images.file_kinds import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    begins_as_pdf,
    too_many_bytes,
    too_many_pixels,
)
from vocr_cli.core.data.images.pages import frames_of, load_page, page_count, page_named, several_pages
from vocr_cli.core.errors import ImageError
from vocr_cli.core.machine.files.input_file import SpecialFileError, open_input

_ORIENTATION = 0x0112  # EXIF tag
_PAGE_HEIGHT_PX = 200  # lower images are never pages
_WHOLE_BYTES = 1 << 24  # larger files are opened piece by piece: their header may be reason to refuse them

# `open_line` refuses large images itself; Pillow's warning would only be said twice.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def open_line(source: Path | bytes, name: str = "", *, pipes: bool = False) -> Image.Image:
    """Opens a line image whatever its kind, as RGB; a plain grey one stays grey, which is half the work.

    EXIF rotation is applied, transparency laid over white, 16-bit samples are scaled by their bit depth. Of a
    file of several pages, one must be named: `a.tif#2`.

    Args:
        source: A file, a page of one, or the bytes of one.
        name: What errors call the image; a file's path by default.
        pipes: Whether the file may be a pipe, which is waited for.

    Returns:
        A loaded image, mode RGB or L, any size up to `MAX_PIXELS` from a file of up to `MAX_FILE_BYTES`.

    Raises:
        ImageError: The image is missing, empty, truncated, too large, or no image that can be decoded; or it
            has several pages, and none is named.
    """
    name = name or (str(source) if isinstance(source, Path) else "The image")
    if isinstance(source, Path) and (page := page_named(source)) is not None:
        return plain_line(load_page(*page, name))
    try:
        data = source if isinstance(source, bytes) else _bytes_within(source, _WHOLE_BYTES, name, pipes)
        if data is not None and len(data) > MAX_FILE_BYTES:
            raise too_many_bytes(name, len(data))
        if data is not None and (plain := plain_image(data)) is not None:
            return plain
        with Image.open(source if data is None else BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise too_many_pixels(name, image.size)
            if image.format == "EPS":  # decoding would start Ghostscript on a file nobody has vetted
                raise ImageError(f"{name}: EPS is a drawing, not pixels.", "Export it as PNG.")
            if len(pages := frames_of(image, source if data is None else data, name)) > 1:
                raise several_pages(name, len(pages))
            if pages[0]:
                image.seek(pages[0])
            image.load()
            return plain_line(image)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise too_many_pixels(name, None) from None
    except Exception as error:  # decoders raise anything on damaged files: each of it means "cannot be read"
        raise _unreadable(source, name, error) from None


def read_image_file(file: str | Path, name: str = "", *, pipes: bool = False) -> bytes:
    """Reads the bytes of an image's file as they are; a page of one as a PNG of its own.

    Args:
        file: Where it lies, or `a.tif#2`.
        name: What errors call it; its path by default.
        pipes: As for `open_line`.

    Raises:
        ImageError: It cannot be read, or is larger than `MAX_FILE_BYTES`.
    """
    name = name or str(file)
    if (page := page_named(file)) is not None:
        return read_page(*page, name)
    try:
        data = _bytes_within(file, MAX_FILE_BYTES, name, pipes)
    except (OSError, ValueError) as error:
        raise _unreadable(Path(file), name, error) from None
    if data is None:  # a pipe, whose size nobody knows before it is read
        raise too_many_bytes(name, MAX_FILE_BYTES + 1)
    return data


def read_page(source: str | Path | bytes, number: int, name: str) -> bytes:
    """Reads one page of a file, or of the bytes of one, as a PNG of its own, upright, RGB or L.

    Args:
        source: The file or its bytes.
        number: Of the page, from 1.
        name: What errors call it.

    Raises:
        ImageError: There is no such page, or it cannot be decoded.
    """
    buffer = BytesIO()
    plain_line(load_page(source, number, name)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def first_page(data: bytes, name: str) -> bytes:
    """The bytes of an image, or where they hold several pages those of the first as a PNG.

    Raises:
        ImageError: It cannot be decoded.
    """
    return read_page(data, 1, name) if page_count(data, name) > 1 else data


def is_plain(data: bytes) -> bool:
    """Whether every reader sees the image `open_line` shows: a common kind, 8 bits, opaque, upright."""
    with Image.open(BytesIO(data)) as image:
        return (
            image.format in {"PNG", "JPEG", "BMP", "WEBP"}
            and image.mode in {"RGB", "L", "1"}
            and "transparency" not in image.info
            and getattr(image, "n_frames", 1) == 1
            and _upright(image) is image
        )


def line_flags(image: Image.Image, config: ImageConfig) -> tuple[str, ...]:
    """Names what makes an image doubtful as a text line.

    Returns:
        Any of "page-like" (tall, and large or with several rows of text) and "squeezed" (at model height it
        would be wider than `config.max_width_px`).
    """
    flags = ["page-like"] if is_page_like(image) else []
    width, height = image.size
    if width * config.height_px * config.stretch / height > config.max_width_px:
        flags.append("squeezed")
    return tuple(flags)


def is_page_like(image: Image.Image) -> bool:
    """Whether an image is tall, and large or with several rows of text: a page rather than a line."""
    width, height = image.size
    if height < _PAGE_HEIGHT_PX or height <= width / 2:
        return False
    return min(width, height) >= 600 or _ink_bands(image) > 3


def _bytes_within(file: str | Path, limit: int, name: str, pipes: bool) -> bytes | None:
    """A file's content; None: it is larger than `limit`, which `MAX_FILE_BYTES` bounds."""
    with open_input(file, pipes=pipes) as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode):
            with BufferedReader(cast(RawIOBase, stream)) as pipe:
                data = pipe.read(limit + 1)
                return data if len(data) <= limit else None
        if facts.st_size > MAX_FILE_BYTES:
            raise too_many_bytes(name, facts.st_size)
        return stream.read() if facts.st_size <= limit else None


def _upright(image: Image.Image) -> Image.Image:
    """Applies EXIF rotation; asks for EXIF only where there can be some, for asking costs time."""
    info = image.info
    if ("exif" in info or "xmp" in info or "Raw profile type exif" in info) and image.getexif().get(
        _ORIENTATION, 1
    ) != 1:
        from PIL import ImageOps  # loads much, and hardly any line needs it

        return ImageOps.exif_transpose(image)
    return image


def plain_line(image: Image.Image) -> Image.Image:
    """Turns an image upright by its EXIF, and converts it to mode RGB or L, opaque, 8 bits a sample."""
    image = _upright(image)
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _scaled(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Scales grey of more than 8 bits by the smallest usual bit depth that holds its largest sample."""
    samples = np.nan_to_num(np.asarray(image).astype(np.float32))  # (H, W)
    largest = float(samples.max())
    depths = [1.0] if image.mode == "F" else []
    depths += [2.0**bits - 1 for bits in (8, 10, 12, 14, 16)]
    white = next((depth for depth in depths if largest <= depth), largest)
    return Image.fromarray((samples * (255 / white)).clip(0, 255).round().astype(np.uint8))


def _ink_bands(image: Image.Image) -> int:
    """Counts rows of text: runs of pixel rows with contrast, between runs without."""
    small = image.convert("L").resize((64, min(image.height, 256)), Image.Resampling.BOX)
    contrast = np.asarray(small, dtype=np.float32).std(axis=1)  # (rows,)
    inked = contrast > 0.25 * contrast.max()
    return int(np.count_nonzero(inked[1:] & ~inked[:-1]) + inked[0])


def _unreadable(source: Path | bytes, name: str, error: Exception) -> ImageError:
    if isinstance(error, SpecialFileError) or (isinstance(error, FileNotFoundError) and _is_link(source)):
        return ImageError(
            f"{name}: {str(error.strerror).removeprefix('it is ')}.",
            "Leave it out, or put the image's file in its place.",
        )
    if isinstance(error, FileNotFoundError):
        return ImageError(
            f"{name}: no such file.",
            "Check the path; those in a list of labels start at its folder, or where --images says.",
        )
    if isinstance(error, IsADirectoryError) or (isinstance(source, Path) and os.path.isdir(source)):
        return ImageError(f"{name}: a folder, not an image.", "Name the image files in it.")
    if isinstance(error, PermissionError):
        return ImageError(f"{name}: no permission to read it.", "Give yourself the right to read the file.")
    if _size_bytes(source) == 0:
        return ImageError(f"{name}: empty, 0 bytes.", "Export or copy the image again, or leave it out.")
    if isinstance(error, UnidentifiedImageError) and begins_as_pdf(source):
        return ImageError(
            f"{name}: a PDF, not an image.",
            "Read PDFs with `vocr read`, which draws their pages and finds the lines.",
        )
    if isinstance(error, UnidentifiedImageError):
        return ImageError(f"{name}: not an image, or of a kind unknown here.", "Save it as PNG or JPEG.")
    reason = str(error).split("\n")[0] or type(error).__name__
    return ImageError(f"{name}: damaged ({reason}).", "Export or copy the image again, or leave it out.")


def _is_link(source: Path | bytes) -> bool:
    return isinstance(source, Path) and source.is_symlink()


def _size_bytes(source: Path | bytes) -> int | None:
    try:
        if isinstance(source, bytes):
            return len(source)
        facts = source.stat()
        return facts.st_size if stat.S_ISREG(facts.st_mode) else None  # a pipe has no size
    except (OSError, ValueError):
        return None
