"""Many pictures of lines on one sheet, to be looked over at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

_GAP_PX = 6


def contact_sheet(pictures: Sequence[Image.Image], columns: int = 2, width_px: int = 800) -> Image.Image:
    """Lays pictures out in rows, each row as high as its highest picture; wide ones are cut at the right.

    Args:
        pictures: Of any mode and size, at least one.
        columns: How many are side by side.
        width_px: Of a column.

    Returns:
        An RGB picture.
    """
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) + _GAP_PX for row in rows]
    sheet = Image.new("RGB", (columns * (width_px + _GAP_PX), sum(heights)), "slategrey")
    top = _GAP_PX // 2
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            cell = picture.crop((0, 0, min(picture.width, width_px), picture.height))
            sheet.paste(cell, (column * (width_px + _GAP_PX) + _GAP_PX // 2, top))
        top += height
    return sheet
