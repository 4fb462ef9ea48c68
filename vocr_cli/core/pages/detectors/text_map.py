"""Lines by a map of text that a network draws: Differentiable Binarization (Liao et al., 2020).

The network is PaddleOCR's, out of the package `rapidocr_onnxruntime` or `rapidocr`, whose wheels hold it. The
package itself is not imported, which would take longer than a page. Legend: h, w px of the map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from vocr_cli.core.errors import DependencyError, reason_of
from vocr_cli.core.pages.detectors.detector import FoundLines, PageImage
from vocr_cli.core.pages.detectors.network import load_network
from vocr_cli.core.pages.lines.join import found_lines
from vocr_cli.core.pages.lines.regions import fitted_boxes

PACKAGES = {"rapidocr_onnxruntime": "models/*det*.onnx", "rapidocr": "models/*det*.onnx"}
"""The packages that hold a network, the faster one first, and where it lies in each."""

REMEDY = "pip install 'vocr-cli[pages]', or name another --detector."
_SYSTEM_REMEDY = (
    "Install the system's library (for libGL.so.1 and libgthread-2.0.so.0 on Debian and Ubuntu: "
    "apt-get install libgl1 libglib2.0-0), or the OpenCV that needs none: pip uninstall -y opencv-python, "
    "then pip install opencv-python-headless; or name another --detector."
)
_BROKEN_REMEDY = "pip install --force-reinstall opencv-python-headless, or name another --detector."

_TEXT = 0.3  # of the map: text from here on
_SURE = 0.5  # mean of the map over a line
_LONG_PX, _SHORT_PX = 960, 600  # of the first map's sides: one of them at least is so long
_MOST_PIXELS = 6_000_000  # of a map
_LOW_PX = 8.0  # lines lower than this on the map are looked for once more, on a larger one
_WANTED_PX = 11.0
_WORTH_IT = 1.15  # so many times as large
_LARGEST = 2.0  # px of the map for one of the page
_MULTIPLE = 32
_TILE_PX, _OVERLAP_PX = 1536, 128  # larger maps are drawn in tiles, which takes less memory


def network_file() -> Path | None:
    """Where the network lies; None: no package that holds one is installed."""
    for package, pattern in PACKAGES.items():
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if files := sorted(Path(folder).glob(pattern)):
                return files[0]
    return None


class TextMapDetector:
    """Finds lines by a network's map of text.

    Args:
        threads: Processors for one page.

    Raises:
        DependencyError: The package, or OpenCV, which comes with it, is not installed or cannot be loaded.
    """

    name = "rapidocr"

    def __init__(self, threads: int = 1) -> None:
        file = network_file()
        if file is None or find_spec("cv2") is None:
            missing = "RapidOCR" if file is None else "OpenCV (cv2)"
            raise DependencyError(f"--detector rapidocr needs {missing}, which is not installed.", REMEDY)
        _load_opencv()
        self._network = load_network(file, threads)

    def find(self, page: PageImage) -> FoundLines:
        """Finds the lines of a page; small print is looked for on a larger map."""
        long, short = max(page.width, page.height), min(page.width, page.height)
        ratio = min(1.0, max(_LONG_PX / long, _SHORT_PX / short))
        most = math.sqrt(_MOST_PIXELS / (page.width * page.height))
        ratio = min(ratio, most)
        contours, scale = self._contours(page, ratio)
        if contours:
            low = float(np.median([_height(contour) for contour in contours]))
            wanted = min(_LARGEST, most, ratio * _WANTED_PX / low)
            if low < _LOW_PX and wanted > _WORTH_IT * ratio:
                contours, scale = self._contours(page, wanted)
        boxes = fitted_boxes([contour * scale for contour in contours], (page.width, page.height))
        return found_lines(page, boxes)

    def _contours(self, page: PageImage, ratio: float) -> tuple[list[np.ndarray], np.ndarray]:
        """Finds the outlines of text.

        Args:
            page: The page.
            ratio: Px of the map for one of the page.

        Returns:
            The outlines, (N, 2) float64 each, px of the map; and px of the page for one of the map, (2,).
        """
        import cv2

        sides = (page.width, page.height)
        w, h = (max(_MULTIPLE, round(part * ratio / _MULTIPLE) * _MULTIPLE) for part in sides)
        text = self._map(page.pixels, w, h)
        inked = (text > _TEXT).astype(np.uint8)
        outlines, _ = cv2.findContours(inked, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        contours = []
        for outline in outlines:
            x, y, width, height = cv2.boundingRect(outline)
            if min(width, height) < 2:
                continue
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [outline - (x, y)], 1)
            if cv2.mean(text[y : y + height, x : x + width], mask)[0] >= _SURE:
                contours.append(outline[:, 0].astype(np.float64) + 0.5)
        return contours, np.array([page.width / w, page.height / h])

    def _map(self, pixels: np.ndarray, w: int, h: int) -> np.ndarray:
        """How much text there is, (h, w) float32 0..1."""
        image = Image.fromarray(pixels)
        by = min(image.width // w, image.height // h)
        small = image.reduce(by) if by > 1 else image
        pixels = np.asarray(small.resize((w, h), Image.Resampling.BILINEAR))
        if max(w, h) <= _TILE_PX:
            return self._tile(pixels)
        drawn = np.zeros((h, w), np.float32)
        for top, bottom, upper, lower in _tiles(h):
            for left, right, begin, end in _tiles(w):
                tile = self._tile(pixels[top:bottom, left:right])
                drawn[upper:lower, begin:end] = tile[upper - top : lower - top, begin - left : end - left]
        return drawn

    def _tile(self, pixels: np.ndarray) -> np.ndarray:
        """The map of (h, w) or (h, w, 3) uint8; (h, w) float32."""
        planes = [pixels] * 3 if pixels.ndim == 2 else [pixels[:, :, at] for at in (2, 1, 0)]  # blue first
        batch = np.stack(planes)[None].astype(np.float32)
        batch /= 127.5
        batch -= 1.0
        return self._network(batch)[0, 0]


def _load_opencv() -> None:
    """Loads OpenCV, which on servers and in containers often lacks a library of the system.

    Raises:
        DependencyError: It is installed, but cannot be loaded.
    """
    try:
        import cv2  # noqa: F401
    except (ImportError, OSError) as error:
        reason = reason_of(error)
        raise DependencyError(
            f"--detector rapidocr needs OpenCV (cv2), which is installed, but cannot be loaded: {reason}.",
            _SYSTEM_REMEDY if "shared object" in reason else _BROKEN_REMEDY,
        ) from None


def _tiles(size: int) -> Iterator[tuple[int, int, int, int]]:
    """Parts of a side that overlap: begin and end of each, and of what is kept of it."""
    if size <= _TILE_PX:
        yield 0, size, 0, size
        return
    count = -(-(size - _OVERLAP_PX) // (_TILE_PX - _OVERLAP_PX))
    length = -(-(size + (count - 1) * _OVERLAP_PX) // count)
    length += -length % _MULTIPLE
    begins = [min(index * (length - _OVERLAP_PX), size - length) for index in range(count)]
    kept = [0, *((begin + before + length) // 2 for before, begin in pairwise(begins)), size]
    for index, begin in enumerate(begins):
        yield begin, begin + length, kept[index], kept[index + 1]


def _height(contour: np.ndarray) -> float:
    """About how high a line is on the map, px; the network draws it at some 0.45 of its height."""
    width, height = contour.max(axis=0) - contour.min(axis=0) + 1
    return float(min(width, height, math.sqrt(width * height))) / 0.45
