"""Lines cut out of a page, with room for the marks above and below, fitted to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.cut_line import cut_line
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.line_crop import crop_quad, quad_size
from vocr_cli.core.errors import ImageError
from vocr_cli.core.pages.detectors.detector import PageImage, TextBox
from vocr_cli.core.pages.lines.bends import shape_of

_MARGIN = 0.05  # of a line's height
_LEAST_PX = 3.0
_NO_PIXELS = np.zeros((0, 0, 1), np.uint8)


@dataclass(frozen=True)
class CutLine:
    """A line that waits to be read.

    Attributes:
        quad: (4, 2) float64, px of the page.
        pixels: (H, W, channels) uint8, as the model takes it; empty where the text is known.
        inset: How far within the pixels the quad begins and ends, as a fraction of their width.
        source: That of its box.
        text: That of its box.
        box: The index of its box.
        course: That of its box.
    """

    quad: np.ndarray
    pixels: np.ndarray
    inset: float
    source: str
    text: str = ""
    box: int = -1
    course: np.ndarray | None = None


def cut_lines(
    page: PageImage, boxes: Sequence[TextBox], image: ImageConfig
) -> tuple[list[CutLine], list[str]]:
    """Cuts out and fits the lines of a page.

    Returns:
        The lines, and why others could not be cut out.
    """
    pixels, whole = page.pixels, Image.fromarray(page.pixels)
    if image.channels == 1 and pixels.ndim == 3:
        whole = whole.convert("L")
        pixels = np.asarray(whole)
    lines, faults = [], []
    for index, box in enumerate(boxes):
        quad = box.quad
        if box.text:
            lines.append(CutLine(quad, _NO_PIXELS, 0.0, box.source, box.text, index))
            continue
        shape, margin = box.shape, None
        if box.course is not None:
            shape, margin = shape_of(box.course, quad_size(quad)[1]), _MARGIN
        if shape is None:
            if min(quad_size(quad)) < _LEAST_PX:  # a speck that a detector took for a line
                continue
            up = (quad[0] - quad[3]) * _MARGIN
            quad = np.round(quad + np.array([up, up, -up, -up]))
        try:
            line = (
                Image.fromarray(crop_quad(pixels, quad)) if shape is None else cut_line(whole, shape, margin)
            )
        except ImageError as error:
            faults.append(f"{page.name}, line {box.source or index + 1}: {error.problem}.")
            continue
        inset = 0.0 if shape is None else max(0.0, (1 - quad_size(quad)[0] / line.width) / 2)
        lines.append(CutLine(quad, fit_line(line, image), inset, box.source, "", index, box.course))
    return lines, faults
