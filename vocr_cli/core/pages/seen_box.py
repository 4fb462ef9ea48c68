"""Which part of a PDF's page is seen."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in points, y upwards."""


def seen_box(medium: Sequence[float], crop: Sequence[float]) -> Box:
    """What the crop box has of the media box, as PDFium draws it; the medium where they do not meet.

    Args:
        medium: The media box, any two opposite corners.
        crop: The crop box, the same.
    """
    (left, bottom, right, top), (of, at, to, up) = _sorted(medium), _sorted(crop)
    both = max(left, of), max(bottom, at), min(right, to), min(top, up)
    return both if both[0] < both[2] and both[1] < both[3] else (left, bottom, right, top)


def _sorted(box: Sequence[float]) -> Box:
    left, bottom, right, top = map(float, box)
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)
