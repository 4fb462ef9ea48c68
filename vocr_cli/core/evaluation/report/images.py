"""The line images that a report embeds: small, and of a few lines where there are many."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.core.errors import VocrError
from vocr_cli.core.evaluation.line_scores import LineScore
from vocr_cli.core.evaluation.metrics import worst_first

if TYPE_CHECKING:
    from PIL import Image

    from vocr_cli.core.data.readers.labelled import LabelledSet

MOST_IMAGES = 1000
_MOST_BYTES = 6_000_000
"""Of all images of a page, before they grow by a third as text."""


def pictured_lines(lines: Sequence[LineScore], most: int = MOST_IMAGES) -> list[LineScore]:
    """Chooses the lines whose images are worth a look, the first of them most of all.

    Lines are taken in turns from three orders: most edits, highest CER, lowest confidence.
    """
    doubtful = sorted(
        (line for line in lines if line.confidence is not None), key=lambda line: line.confidence or 0.0
    )
    worst = worst_first(lines)
    orders = worst, sorted(worst, key=lambda line: -line.cer), doubtful
    turns = chain.from_iterable(zip_longest(*orders))
    chosen = {line.index: line for line in turns if line is not None}
    return list(chosen.values())[:most]


def line_images(
    labelled: LabelledSet,
    lines: Sequence[LineScore],
    on_done: Callable[[int], None] = lambda lines: None,
) -> dict[int, bytes]:
    """Returns JPEGs by the indices of lines, until they take 6 MB; images that cannot be read are left out.

    Args:
        labelled: The set that was scored.
        lines: The lines to show, the most important ones first.
        on_done: Told how many more lines are done.
    """
    from vocr_cli.core.data.images.open_image import open_line

    images: dict[int, bytes] = {}
    left = _MOST_BYTES
    for line in lines:
        source = labelled.lines[line.index].image
        on_done(1)
        try:
            image = shrink(open_line(Path(source) if isinstance(source, str) else source[0][source[1]].image))
        except VocrError:
            continue
        left -= len(image)
        if left < 0:
            break
        images[line.index] = image
    return images


def data_address(image: bytes) -> str:
    """Returns a JPEG as an address that holds it (RFC 2397)."""
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode('ascii')}"


def shrink(image: Image.Image, max_height_px: int = 72, max_width_px: int = 1600) -> bytes:
    """Returns a JPEG of a line image, small enough to embed by the hundred; it is never enlarged."""
    from PIL import Image as Pillow

    scale = min(1.0, max_height_px / image.height, max_width_px / image.width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image if image.mode == "L" else image.convert("RGB")
    buffer = io.BytesIO()
    small.resize(size, Pillow.Resampling.LANCZOS).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()
