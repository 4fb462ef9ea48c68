"""One line on its way into a database: its image decoded, checked, scaled, its label cleaned."""

from __future__ import annotations

import unicodedata
import zlib
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from vocr_cli.core.config.tree import ImageConfig
from vocr_cli.core.data.images.fast_decode import plain_pixels
from vocr_cli.core.data.images.images import fit_size, is_plain, open_line
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
_ENCODERS: dict[Encoding, tuple[str, dict[str, int], int]] = {  # format, options, greatest width in px
    "png": ("PNG", {"compress_level": 3}, 1 << 30),
    "webp": ("WEBP", {"quality": 90, "method": 4}, 16_383),
    "jpeg": ("JPEG", {"quality": 85, "subsampling": 0, "optimize": True}, 65_535),
}


class Storage(NamedTuple):
    """At which size images are stored, and how those are encoded that change.

    Attributes:
        height_px: Proportions are kept; None: so is the height.
        fit: Images are given the size, and grey if it reads grey, that a model has them in: loading then only
            decodes them, where scaling would take longer than that. Its stretch is left to the model.
        encoding: None: JPEG for what is scaled, which a model reads as well as PNG, in a third of the bytes
            and of the decoding time (`benchmarks/encodings.py`); PNG for what keeps its size, so that no
            pixel changes.
    """

    height_px: int | None = None
    fit: ImageConfig | None = None
    encoding: Encoding | None = None


class Prepared(NamedTuple):
    """A line as a database takes it.

    Attributes:
        image: Encoded.
        text: The cleaned label, NFC.
        pixels: Digest of size and pixels of the image as it is stored, `DIGEST_BYTES` bytes.
        normalised: Whether the label was not NFC.
        unknown: The label's characters that the default charset lacks.
    """

    image: bytes
    width_px: int
    height_px: int
    text: str
    pixels: bytes
    normalised: bool
    unknown: str


def prepare(storage: Storage, entry: Entry) -> Prepared | str:
    """Decodes an entry's image in full and checks its label.

    An image is stored byte for byte as it is, unless it is to be scaled, or other readers would see it
    differently (rotated by EXIF, 16 bits, transparent, …).

    Returns:
        The line, or why it cannot be used.
    """
    text = clean(entry.label)
    fault = entry.fault or label_fault(text)
    if fault:
        return fault
    try:
        encoded, pixels = _stored(_content(entry), entry.name, storage)
    except ImageError as error:
        return error.problem.removeprefix(f"{entry.name}: ")
    return Prepared(
        encoded,
        pixels.shape[1],
        pixels.shape[0],
        text,
        pixel_digest(pixels),
        not unicodedata.is_normalized("NFC", entry.label),
        "" if _KNOWN.issuperset(text) else "".join(char for char in text if char not in _KNOWN),
    )


def pixel_digest(pixels: np.ndarray) -> bytes:
    """Names the pixels of an image, (H, W, 3) or (H, W) uint8: equal pixels in equal shape, equal digest.

    A multilinear hash: words of 4 bytes times random odd numbers of 8, summed modulo 2^64. CRC-32 with
    Adler-32 takes nearly three times as long. A chance meeting of different images would only be reported; no
    line is dropped for it.

    Returns:
        `DIGEST_BYTES` bytes.
    """
    height, width = pixels.shape[:2]
    name = zlib.crc32(f"{'RGB' if pixels.ndim == 3 else 'L'} {(width, height)}".encode())
    flat = np.ascontiguousarray(pixels).reshape(-1)
    words = flat[: len(flat) // 4 * 4].view("<u4")
    for start in range(0, len(words), len(_FACTORS)):
        part = words[start : start + len(_FACTORS)]
        name = (name * _NEXT_PART + int(part @ _FACTORS[: len(part)])) & _MOST
    rest = int.from_bytes(flat[4 * len(words) :].tobytes(), "little")
    return ((name * _NEXT_PART + rest) & _MOST).to_bytes(DIGEST_BYTES, "little")


def encode(image: Image.Image, encoding: Encoding) -> bytes:
    """An image, RGB or L, as a file; one too wide for its encoding becomes PNG."""
    kind, options, widest = _ENCODERS[encoding]
    if image.width > widest:
        kind, options, _ = _ENCODERS["png"]
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def resized(image: Image.Image, storage: Storage) -> Image.Image | None:
    """An image, RGB or L, at the size to store; None: it has that size. Grey pixels make a grey image."""
    if storage.fit is not None:
        image = image.convert("L") if storage.fit.channels == 1 else image
        fitted = fit_size(image, storage.fit)
        return None if fitted is image else _grey_if_grey(fitted)
    height = storage.height_px
    if height is None or height == image.height:
        return None
    width = max(1, round(image.width * height / image.height))
    return _grey_if_grey(image).resize((width, height), Image.Resampling.LANCZOS)


def _content(entry: Entry) -> bytes:
    if isinstance(entry.image, bytes):
        return entry.image
    try:
        with open(entry.image, "rb") as stream:
            return stream.read()
    except (OSError, ValueError):
        open_line(Path(entry.image), entry.name)  # says what is wrong
        raise ImageError(f"{entry.name}: could not be read at first.", "Build again.") from None


def _stored(content: bytes, name: str, storage: Storage) -> tuple[bytes, np.ndarray]:
    """An image as it is stored, and its pixels."""
    plain = plain_pixels(content)
    if plain is not None and storage.fit is None and storage.height_px in (None, len(plain)):
        return content, plain
    image = open_line(content, name) if plain is None else Image.fromarray(plain)
    usual: Encoding = "png"
    smaller = resized(image, storage)
    if smaller is not None:
        image, usual = smaller, "jpeg"
    elif plain is not None or is_plain(content):
        return content, np.asarray(image)
    else:
        image = _grey_if_grey(image)
    encoded = encode(image, storage.encoding or usual)
    with Image.open(BytesIO(encoded)) as stored:
        return encoded, np.asarray(stored)


def _grey_if_grey(image: Image.Image) -> Image.Image:
    """One channel instead of three equal ones."""
    if image.mode == "L":
        return image
    red, green, blue = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else image
