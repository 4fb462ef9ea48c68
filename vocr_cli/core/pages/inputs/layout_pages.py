"""Pages whose lines a file gives: PAGE XML, ALTO, hOCR, or a file of boxes; their images lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vocr_cli.core.data.images.cut_line import LineShape, slope_of
from vocr_cli.core.data.images.polyline import direction
from vocr_cli.core.data.readers.layout.alto import read_alto
from vocr_cli.core.data.readers.layout.hocr import read_hocr
from vocr_cli.core.data.readers.layout.line_shapes import line_shapes
from vocr_cli.core.data.readers.layout.page_image import PageImages, open_page
from vocr_cli.core.data.readers.layout.page_model import LayoutLine, LayoutPage
from vocr_cli.core.data.readers.layout.page_xml import read_page_xml
from vocr_cli.core.data.readers.layout.parse_xml import parse_layout
from vocr_cli.core.errors import DataError, ImageError, VocrError
from vocr_cli.core.pages.detectors.detector import FoundLines, PageImage, TextBox
from vocr_cli.core.pages.inputs.box_files import read_boxes

_READERS = {"PAGE XML": read_page_xml, "ALTO": read_alto, "hOCR": read_hocr}
_LEAST_PX = 2.0


class LayoutPages:
    """A file that gives the lines of pages.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read, or describes no page.
        DependencyError: It is XML, and lxml is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        boxes = read_boxes(path)
        self._ordered = boxes is None
        self._pages = _described(path) if boxes is None else boxes
        self._images = PageImages()
        if not self._pages:
            raise DataError(f"{path} describes no page.", "Name a file that gives the lines of some.")

    def __len__(self) -> int:
        """The number of pages."""
        return len(self._pages)

    def page(self, index: int) -> PageImage:
        """Opens a page's image, with the lines that the file gives.

        Raises:
            ImageError: The image is missing, damaged, or has another size than the file says.
        """
        page = self._pages[index]
        name = str(self._path) if len(self) == 1 else f"{self._path}, page {index + 1}"
        try:
            source = self._images.find(self._path, page)
            image, placement = open_page(source, page)
        except VocrError as error:
            problem = error.problem.removesuffix(".")
            raise ImageError(f"{name}: {problem}.", error.fix) from None
        usable = [line for line in page.lines if not line.fault]
        faults = [f"{name}, line {line.key}: {line.fault}." for line in page.lines if line.fault]
        boxes = []
        for line, shape in zip(usable, line_shapes(usable, placement), strict=True):
            found = _text_box(line, shape, image.size)
            if isinstance(found, str):
                faults.append(f"{name}, line {line.key}: {found}.")
            else:
                boxes.append(found)
        dpi = float(image.info.get("dpi", (0, 0))[0] or 0)
        found_lines = FoundLines(tuple(boxes), self._ordered, tuple(faults))
        return PageImage(name, np.asarray(image), dpi, found=found_lines, image=str(source))

    def close(self) -> None:
        """Does nothing: the file was read as a whole."""


def _described(path: Path) -> Sequence[LayoutPage]:
    kind, root = parse_layout(path)
    try:
        return _READERS[kind](root)
    except VocrError as error:
        raise DataError(f"{path} cannot be used: {error.problem}.", error.fix or "Write it anew.") from None


def _text_box(line: LayoutLine, shape: LineShape, size: tuple[int, int]) -> TextBox | str:
    """A line with the quad around it, or why it has none."""
    points = [part for part in (shape.outline, shape.baseline) if part is not None and len(part) > 1]
    if not points:
        return "it has neither an outline with an area nor a baseline with a length"
    every = np.concatenate(points)
    (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0)
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        return f"it lies outside the page, which is {size[0]:,} × {size[1]:,} px"
    outline = shape.outline
    if outline is not None and np.ptp(outline, axis=0).min() < _LEAST_PX and shape.baseline is None:
        return "its outline has no area"
    return TextBox(_quad(shape).clip((0, 0), size), source=line.key, shape=shape)


def _quad(shape: LineShape) -> np.ndarray:
    """The rectangle around a line in its direction of writing, (4, 2)."""
    outline = shape.outline
    if outline is None:
        assert shape.baseline is not None
        height = max(4.0, 0.7 * (shape.pitch_px or 40.0))
        above = np.array([0.0, -height])
        outline = np.concatenate([shape.baseline + above, shape.baseline - 0.3 * above])
    if shape.baseline is not None:
        angle = np.radians(direction(shape.baseline))
    elif shape.angle is not None:
        angle = np.radians(shape.angle)
    else:
        angle = 0.0 if shape.is_box else np.arctan(slope_of(outline))
    along = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-along[1], along[0]])
    u, v = outline @ along, outline @ down
    corners = ((u.min(), v.min()), (u.max(), v.min()), (u.max(), v.max()), (u.min(), v.max()))
    return np.array([along * a + down * b for a, b in corners])
