"""Prepares a line for a database: decodes, checks and scales its image, cleans its label."""

from __future__ import annotations

import unicodedata
import zlib
from io import BytesIO
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fast_decode import plain_pixels
from vocr_cli.core.data.images.file_kinds import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    too_many_bytes,
    too_many_pixels,
)
from vocr_cli.core.data.images.fit import fit_size
from vocr_cli.core.data.images.open_image import (
    first_page,
    is_page_like,
    is_plain,
    open_line,
    read_image_file,
)
from vocr_cli.core.data.readers.annotations import label_fault
from vocr_cli.core.data.readers.entries import Entry
from vocr_cli.core.errors import ImageError
from vocr_cli.core.text import VIETNAMESE_CHARSET, clean

Encoding = Literal["png", "webp", "jpeg"]

DIGEST_BYTES = 8
_FACTORS = np.random.PCG64(1).random_raw(1 << 14) | 1  # uint64, odd: no change of one word is lost
_NEXT_PART = 0x9E3779B97F4A7C15  # odd, of no pattern
_MOST = (1 << 64) - 1
_KNOWN = frozenset(VIETNAMESE_CHARSET)
_ENCODERS: dict[Encoding, tuple[str, dict[str, int], int]] = {  # format, options, greatest side in px
    "png": ("PNG", {"compress_level": 3}, 1 << 30),
    "webp": ("WEBP", {"quality": 90, "method": 4}, 16_383),
    "jpeg": ("JPEG", {"quality": 80, "subsampling": 0, "optimize": True}, 65_535),
}


class Storage(NamedTuple):
    """The size at which images are stored, and how those that change are encoded.

    Attributes:
        height_px: The height of all images, their proportions kept; None: each keeps its own.
        fit: Image settings of a model: images are stored at its size, and grey if it reads grey, so that
            loading only decodes them. The model's stretch is left to loading.
        encoding: None: JPEG for what is scaled, which a model reads as well as PNG, in a third of the bytes
            and of the decoding time (`benchmarks/encodings.py`); PNG for what keeps its size, so that no
            pixel changes.
        first_page: Of images of several pages, the first is stored.
    """

    height_px: int | None = None
    fit: ImageConfig | None = None
    encoding: Encoding | None = None
    first_page: bool = False


class PreparedLine(NamedTuple):
    """A line as a database takes it.

    Attributes:
        image: Encoded.
        text: The cleaned label, NFC.
        pixels: Digest of size and pixels of the image as it is stored, `DIGEST_BYTES` bytes.
        normalised: Whether the label had to be brought into NFC.
        unknown: Those characters of the label that the default charset lacks.
        page_like: Whether the image looks like a page rather than a line.
    """

    image: bytes
    width_px: int
    height_px: int
    text: str
    pixels: bytes
    normalised: bool
    unknown: str
    page_like: bool


class Unusable(NamedTuple):
    """Why a line cannot be used, and what helps; no remedy: to correct the line."""

    reason: str
    remedy: str = ""


def prepare(storage: Storage, entry: Entry) -> PreparedLine | Unusable:
    """Decodes an entry's image in full and checks its label.

    An image is stored byte for byte as it is, unless it is to be scaled, or other readers would see it
    differently (rotated by EXIF, 16 bits, transparent, …).

    Returns:
        The line, or why it cannot be used.
    """
    text = clean(entry.label)
    fault = entry.fault or label_fault(text) or name_fault(entry.name)
    if fault:
        return Unusable(fault, entry.remedy)
    try:
        content = entry.image
        if not isinstance(content, bytes):
            content = read_image_file(content, entry.name)
        elif len(content) > MAX_FILE_BYTES:
            raise too_many_bytes(entry.name, len(content))
        if storage.first_page:
            content = first_page(content, entry.name)
        encoded, pixels, page_like = _stored(content, entry.name, storage)
    except ImageError as error:
        return Unusable(error.problem.removeprefix(f"{entry.name}: "), error.fix)
    return PreparedLine(
        image=encoded,
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
        text=text,
        pixels=pixel_digest(pixels),
        normalised=not unicodedata.is_normalized("NFC", entry.label),
        unknown="" if _KNOWN.issuperset(text) else "".join(char for char in text if char not in _KNOWN),
        page_like=page_like,
    )


def name_fault(name: str) -> str:
    """Why an image cannot have such a name, or nothing."""
    try:
        name.encode("utf-8", "surrogateescape")  # bytes that are no UTF-8 may stand in names
    except UnicodeEncodeError:
        return "its name holds half a character (a lone surrogate)"
    return ""


def pixel_digest(pixels: np.ndarray) -> bytes:
    """Hashes the pixels of an image, (H, W, 3) or (H, W) uint8: equal pixels in equal shape, equal digest.

    A multilinear hash: words of 4 bytes times random odd numbers of 8, summed modulo 2^64. CRC-32 with
    Adler-32 takes nearly three times as long. A chance meeting of different images would only be reported; no
    line is dropped for it.

    Returns:
        `DIGEST_BYTES` bytes; of three equal channels, those of one.
    """
    if pixels.ndim == 3 and _is_grey(pixels[:1]) and _is_grey(pixels):
        pixels = pixels[..., 0]
    height, width = pixels.shape[:2]
    digest = zlib.crc32(f"{'RGB' if pixels.ndim == 3 else 'L'} {(width, height)}".encode())
    flat = np.ascontiguousarray(pixels).reshape(-1)
    words = flat[: len(flat) // 4 * 4].view("<u4")
    for start in range(0, len(words), len(_FACTORS)):
        part = words[start : start + len(_FACTORS)]
        digest = (digest * _NEXT_PART + int(part @ _FACTORS[: len(part)])) & _MOST
    rest = int.from_bytes(flat[4 * len(words) :].tobytes(), "little")
    return ((digest * _NEXT_PART + rest) & _MOST).to_bytes(DIGEST_BYTES, "little")


def _is_grey(pixels: np.ndarray) -> bool:
    return np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2])


def encode(image: Image.Image, encoding: Encoding) -> bytes:
    """Encodes an image, RGB or L, as a file; one too large for its encoding becomes PNG."""
    kind, options, widest = _ENCODERS[encoding]
    if max(image.size) > widest:
        kind, options, _ = _ENCODERS["png"]
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def resized(image: Image.Image, storage: Storage, name: str = "The image") -> Image.Image | None:
    """Scales an image, RGB or L, to the size to store; None: it has that size. Grey pixels give mode L.

    Raises:
        ImageError: It would have more than `MAX_PIXELS`; `name` is what the error calls it.
    """
    if storage.fit is not None:
        image = image.convert("L") if storage.fit.channels == 1 else image
        fitted = fit_size(image, storage.fit)
        return None if fitted is image else _grey_if_grey(fitted)
    height = storage.height_px
    if height is None or height == image.height:
        return None
    width = max(1, round(image.width * height / image.height))
    if width * height > MAX_PIXELS:
        raise too_many_pixels(name, (width, height))
    return _grey_if_grey(image).resize((width, height), Image.Resampling.LANCZOS)


def _stored(content: bytes, name: str, storage: Storage) -> tuple[bytes, np.ndarray, bool]:
    """An image as it is stored, its pixels, and whether it looks like a page."""
    plain = plain_pixels(content)
    if plain is not None and storage.fit is None and storage.height_px in (None, len(plain)):
        return content, plain, is_page_like(Image.fromarray(plain))
    image = open_line(content, name) if plain is None else Image.fromarray(plain)
    page_like = is_page_like(image)
    usual: Encoding = "png"
    scaled = resized(image, storage, name)
    if scaled is not None:
        image, usual = scaled, "jpeg"
    elif plain is not None or is_plain(content):
        return content, np.asarray(image), page_like
    else:
        image = _grey_if_grey(image)
    encoded = encode(image, storage.encoding or usual)
    with Image.open(BytesIO(encoded)) as stored:
        return encoded, np.asarray(stored), page_like


def _grey_if_grey(image: Image.Image) -> Image.Image:
    """The image with one channel where its three are equal; others as they are."""
    if image.mode == "L":
        return image
    red, green, blue = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else image
