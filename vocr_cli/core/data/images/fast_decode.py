"""The common case of an image file, decoded at its own size past Pillow's file layer, which can take longer.

Pillow's own decoders, or for PNG libspng where it is installed (extra `png`; it inflates and unfilters in two
thirds of the time), are handed the whole file, so the pixels are the same. A file is plain if nothing in it
could change what is seen: 8 bits, grey or RGB, opaque, upright, a single picture. All others, and damaged
ones, are left to `Image.open`.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.file_kinds import MAX_PIXELS

try:
    from pyspng import load as spng
except ImportError:
    spng = None

_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_HEAD = struct.Struct(">IIBBBBBI")  # width, height, bits, colour, compression, filter, interlace, CRC
_PNG_MODES = {0: "L", 2: "RGB"}  # by colour type
_PNG_SHAPES: dict[str, tuple[int, ...]] = {"L": (), "RGB": (3,)}
_PNG_HARMLESS = {b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"iCCP", b"sBIT", b"bKGD", b"tIME", b"tEXt", b"zTXt"}
_PNG_CHUNK = struct.Struct(">I4s")
_PNG_PIXELS, _PNG_END = b"IDAT", b"IEND"

_JPEG_START = b"\xff\xd8\xff"
_JPEG_MODES = {1: "L", 3: "RGB"}  # by components
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_JPEG_HARMLESS = {0xC4, 0xDB, 0xDD, 0xE0, 0xFE}  # tables, restart interval, JFIF, comment
_JPEG_SCAN = 0xDA
_JPEG_SEGMENT = struct.Struct(">BBH")
_JPEG_FRAME = struct.Struct(">BHHB")  # bits, height, width, components


def plain_image(data: bytes) -> Image.Image | None:
    """Decodes a plain PNG or JPEG to mode RGB or L; None if it is not plain, or cannot be decoded.

    An RGB file that shows only greys may come as L, which is scaled in half the time to the same pixels.

    Args:
        data: The whole file.
    """
    found = _decoded(data)
    return Image.fromarray(_one_channel(found)) if isinstance(found, np.ndarray) else found


def plain_pixels(data: bytes) -> np.ndarray | None:
    """Decodes as `plain_image` does, to (H, W, 3) uint8, of files in L (H, W), where no image is needed."""
    found = _decoded(data)
    return None if found is None else np.asarray(found)


def _one_channel(pixels: np.ndarray) -> np.ndarray:
    """The pixels as (H, W) where their three channels are equal; others as they are."""
    if pixels.ndim == 3:
        for part in (pixels[len(pixels) // 2], pixels):  # one row tells most images in colour
            red, green, blue = part[..., 0], part[..., 1], part[..., 2]
            if not (np.array_equal(red, green) and np.array_equal(red, blue)):
                return pixels
        pixels = np.ascontiguousarray(pixels[..., 0])
    return pixels


def _decoded(data: bytes) -> Image.Image | np.ndarray | None:
    try:
        if data.startswith(_PNG_START):
            return _png(data)
        if data.startswith(_JPEG_START):
            return _jpeg(data)
    except (ValueError, struct.error):  # cut short or damaged
        pass
    return None


def _png(data: bytes) -> Image.Image | np.ndarray | None:
    width, height, bits, colour, _, _, interlace, crc = _PNG_HEAD.unpack_from(data, 16)
    mode = _PNG_MODES.get(colour)
    if mode is None or bits != 8 or interlace or not _sized(width, height) or zlib.crc32(data[12:29]) != crc:
        return None
    parts, offset = [], 33
    while True:
        length, kind = _PNG_CHUNK.unpack_from(data, offset)
        if kind == _PNG_PIXELS:
            parts.append(data[offset + 8 : offset + 8 + length])
        elif kind == _PNG_END:
            break
        elif kind not in _PNG_HARMLESS or data.startswith(b"Raw profile", offset + 8):
            return None
        offset += length + 12
    if spng is not None:
        try:
            pixels: np.ndarray = spng(data).reshape(height, width, *_PNG_SHAPES[mode])
            return pixels
        except RuntimeError:  # damaged: Pillow may take some of it
            pass
    packed = parts[0] if len(parts) == 1 else b"".join(parts)
    return Image.frombytes(mode, (width, height), packed, "zip", mode)


def _jpeg(data: bytes) -> Image.Image | None:
    size, mode, offset = (0, 0), None, 2
    while True:
        start, marker, length = _JPEG_SEGMENT.unpack_from(data, offset)
        if start != 0xFF:
            return None
        if marker == _JPEG_SCAN:
            break
        if marker in _JPEG_FRAMES:
            bits, height, width, components = _JPEG_FRAME.unpack_from(data, offset + 4)
            size, mode = (width, height), _JPEG_MODES.get(components)
            if bits != 8 or mode is None or not _sized(width, height):
                return None
        elif marker not in _JPEG_HARMLESS:
            return None
        offset += length + 2
    return Image.frombytes(mode, size, data, "jpeg", mode, "") if mode else None


def _sized(width: int, height: int) -> bool:
    return 0 < width * height <= MAX_PIXELS
