"""A picture of what a model is fed: lines after augmentation, with labels and strength."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vocr_cli.core.data.images.contact_sheet import contact_sheet
from vocr_cli.core.data.images.save_picture import save_picture
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.fonts.fonts import caption_font
from vocr_cli.core.training.augment.augmentation import Augmentation

_CAPTION_PX = 14
_MOST_LINES = 60
_BATCHES = 6


@dataclass(frozen=True)
class AugmentedBatch:
    """A batch as the model gets it: (B, C, H, W) float in 0..1, and the strength it was augmented with."""

    images: Tensor
    batch: Batch
    strength: float


def preview_batches(
    batches: Iterator[Batch], augmentation: Augmentation, *, exact_widths: bool = False
) -> list[AugmentedBatch]:
    """Returns what the model is given in the first of some steps to come: each width by itself, if so."""
    first = itertools.islice(batches, _BATCHES)
    pieces = (piece for batch in first for piece in (batch.of_one_width() if exact_widths else [batch]))
    return [
        AugmentedBatch(augmentation(piece), piece, augmentation.strength_of(piece))
        for piece in itertools.islice(pieces, _MOST_LINES)
    ]


def save_preview(path: Path, batches: Sequence[AugmentedBatch], columns: int = 2, width_px: int = 760) -> int:
    """Writes the lines of some batches, padding included, in columns; long ones are cut at the right.

    Args:
        path: The picture; its suffix names the format.
        batches: Each gives an equal part of at most 60 lines.
        columns: How many are side by side.
        width_px: Of a column.

    Returns:
        How many lines are shown.

    Raises:
        DataError: The picture cannot be written.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder.", f"Name a picture, such as {path / 'preview.png'}.")
    lines_each = max(1, _MOST_LINES // len(batches))
    shown = [cell for batch in batches for cell in _cells(batch, lines_each, width_px)]
    save_picture(contact_sheet(shown, columns, width_px), path)
    return len(shown)


def _cells(augmented: AugmentedBatch, most: int, width_px: int) -> list[Image.Image]:
    """Draws each line above its label."""
    file = caption_font()
    font = ImageFont.load_default(_CAPTION_PX) if file is None else ImageFont.truetype(str(file), _CAPTION_PX)
    pixels = (
        (augmented.images[:most].permute(0, 2, 3, 1).float().cpu().numpy() * 255).round().astype(np.uint8)
    )
    cells = []
    for line, text in zip(pixels, augmented.batch.texts, strict=False):
        image = Image.fromarray(line[:, :, 0] if line.shape[2] == 1 else line)
        cell = Image.new("RGB", (width_px, image.height + _CAPTION_PX + 6), "slategrey")
        cell.paste(image.crop((0, 0, min(image.width, width_px), image.height)))
        caption = f"{augmented.strength:.2f}  {text}"
        ImageDraw.Draw(cell).text((2, image.height), caption, "white", font)
        cells.append(cell)
    return cells
