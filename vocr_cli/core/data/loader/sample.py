"""One line as models are given it: pixels at model height, classes, label. H and W px, C channels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vocr_cli.core.config.tree import COLUMN_PX, Config
from vocr_cli.core.data.images.fit import fit_line, fitted_width
from vocr_cli.core.text import Charset


@dataclass(frozen=True)
class Sample:
    """One line at model height.

    Attributes:
        pixels: (H, W, C) uint8.
        classes: Of the text; none where the model cannot write it.
        text: The label.
        name: Where it is from.
        alignable: Whether a loss can be computed: the model can write the text, in so many columns.
    """

    pixels: np.ndarray
    classes: list[int]
    text: str
    name: str
    alignable: bool = True

    @property
    def width_px(self) -> int:
        """The width W in px."""
        return int(self.pixels.shape[1])


def needed_columns(classes: Sequence[int] | str) -> int:
    """The least number of columns that CTC needs: one a character, one more between equal neighbours."""
    return len(classes) + sum(left == right for left, right in itertools.pairwise(classes))


def make_sample(
    image: Image.Image, text: str, name: str, charset: Charset, config: Config, *, width: int | None = None
) -> Sample:
    """Makes a sample; for CTC, a line too narrow for its label is stretched until it can be aligned.

    Args:
        image: Any size, mode RGB or L.
        text: Its label, of characters of the charset.
        name: What errors call it.
        charset: Gives the classes.
        config: Image settings, and the family.
        width: W; None: what the image's size gives.
    """
    classes = charset.encode(text)
    if width is None:
        width = fitted_width(image.width, image.height, config.image)
    least = 0 if config.model.EXACT_WIDTHS else needed_columns(classes) * COLUMN_PX
    if width < least:
        multiple = config.image.width_multiple_px
        width = -(-least // multiple) * multiple
    return Sample(fit_line(image, config.image, width), classes, text, name)


def make_sample_as_read(
    image: Image.Image, label: str, text: str | None, name: str, charset: Charset, config: Config
) -> Sample:
    """Makes a sample of a line as a recogniser sees it: its label neither widens nor changes it.

    Args:
        image: Any size, mode RGB or L.
        label: What stands in it, cleaned; it may hold characters that the charset lacks.
        text: What the model can be asked to write instead; None: nothing.
        name: What errors call it.
        charset: Gives the classes.
        config: Image settings, and the family.
    """
    pixels, classes = fit_line(image, config.image), charset.encode(text or "")
    least = 0 if config.model.EXACT_WIDTHS else needed_columns(classes) * COLUMN_PX
    return Sample(pixels, classes, label, name, text is not None and pixels.shape[1] >= least)
