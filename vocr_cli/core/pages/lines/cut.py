"""Lines cut out of a page, with room for the marks above and below, fitted to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.line_crop import crop_quad, quad_size
from vocr_cli.core.pages.detectors.detector import PageImage, TextBox

_MARGIN = 0.05  # of a line's height
_LEAST_PX = 3.0


@dataclass(frozen=True)
class CutLine:
    """A line that waits to be read.

    Attributes:
        quad: (4, 2) float64, px of the page.
        pixels: (H, W, channels) uint8, as the model takes it.
        block: That of its box.
        source: That of its box.
    """

    quad: np.ndarray
    pixels: np.ndarray
    block: int
    source: str


def cut_lines(page: PageImage, boxes: Sequence[TextBox], image: ImageConfig) -> list[CutLine]:
    """Cuts out and fits the lines of a page."""
    pixels = page.pixels
    if image.channels == 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    lines = []
    for box in boxes:
        quad = box.quad
        if min(quad_size(quad)) < _LEAST_PX:
            continue
        up = (quad[0] - quad[3]) * _MARGIN
        quad = quad + np.array([up, up, -up, -up])
        lines.append(
            CutLine(quad, fit_line(Image.fromarray(crop_quad(pixels, quad)), image), box.block, box.source)
        )
    return lines
