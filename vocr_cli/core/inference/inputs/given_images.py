"""Images as programs hand them to a recogniser: paths, Pillow's images, arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.open_image import open_line, plain_line
from vocr_cli.core.errors import ImageError

GivenImage = str | Path | Image.Image | np.ndarray
"""A path, an image of any mode, or an array: (H, W), (H, W, 1) or (H, W, 3), uint8, RGB."""

_TAKEN = (
    "Give paths, images of Pillow's, or numpy arrays, uint8 and RGB or grey: (H, W), (H, W, 1) or (H, W, 3)."
)


def line_images(given: Iterable[GivenImage]) -> list[Image.Image]:
    """Opens and converts images to mode RGB or L.

    Raises:
        ImageError: An item cannot be read or is none of these; or a single item was given in place of a list.
    """
    if isinstance(given, GivenImage):
        raise ImageError(f"Images are read from a list, not from {_described(given)}.", "Write [image].")
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise ImageError(f"Images are read from a list, not from {_described(given)}.", _TAKEN)
    return [_line_image(item, index) for index, item in enumerate(given)]


def _line_image(item: GivenImage, index: int) -> Image.Image:
    if isinstance(item, str | Path):
        return open_line(Path(item))
    if isinstance(item, Image.Image):
        if not item.width * item.height:
            raise ImageError(f"Image {index} of the list is empty: {_described(item)}.", "Leave it out.")
        return plain_line(item)
    is_image = isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.size > 0
    if not is_image or not (item.ndim == 2 or (item.ndim == 3 and item.shape[2] in (1, 3))):
        raise ImageError(f"Item {index} of the list is {_described(item)}.", _TAKEN)
    return Image.fromarray(item[:, :, 0] if item.ndim == 3 and item.shape[2] == 1 else item)


def _described(item: object) -> str:
    if isinstance(item, np.ndarray):
        return f"an array of shape {item.shape}, {item.dtype}"
    if isinstance(item, Image.Image):
        return f"an image of {item.width} × {item.height} px"
    return (
        f"the path {str(item)!r}"
        if isinstance(item, str | Path)
        else f"an object of type {type(item).__name__}"
    )
