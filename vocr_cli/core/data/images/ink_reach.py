"""How high a line is of which only the baseline is known: told by its ink, row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.polyline import Points, length_of

_USUAL_PITCH_PX = 120
_ABOVE, _BELOW = 1.05, 0.45  # of the pitch: where ink of the line can be
_GAP_ABOVE, _GAP_BELOW = 0.16, 0.1  # of the pitch: free rows under a diacritic, and over a dot below
_LETTERS = 0.35  # of the pitch above the baseline: where every line has ink
_CONTRAST = 0.3  # of the greatest: what counts as ink


def reach_of_ink(
    band: Callable[[float, float], Image.Image], baseline: Points, pitch_px: float
) -> tuple[float, float]:
    """Finds how far a line reaches above and below its baseline.

    Args:
        band: Gives the picture along the baseline from so many px above to so many px below it.
        baseline: (M, 2).
        pitch_px: Distance to the next line; 0: unknown.

    Returns:
        px above and below the baseline, those of a usual line where there is no ink.
    """
    pitch = pitch_px or min(_USUAL_PITCH_PX, 8 + 0.4 * length_of(baseline))
    above, below = _ABOVE * pitch, _BELOW * pitch
    window = np.asarray(band(above, below).convert("L")).astype(np.int16)  # (h, w)
    apart = np.abs(window - np.median(window))
    inked = np.count_nonzero(apart > max(24.0, _CONTRAST * apart.max()), axis=1) > 0
    foot = min(round(above), len(inked) - 1)
    letters = np.flatnonzero(inked[max(0, foot - round(_LETTERS * pitch)) : foot + 1])
    if not len(letters):
        return 0.75 * pitch, 0.25 * pitch
    start = max(0, foot - round(_LETTERS * pitch)) + int(letters[-1])
    top = _end_of_run(inked, start, -1, _GAP_ABOVE * pitch)
    bottom = _end_of_run(inked, start, 1, _GAP_BELOW * pitch)
    return max(foot - top + 1.0, 0.3 * pitch), max(bottom - foot + 1.0, 0.08 * pitch)


def _end_of_run(inked: np.ndarray, start: int, step: int, gap: float) -> int:
    """The last inked row in one direction, before more than `gap` rows without ink."""
    last = row = start
    while 0 <= row < len(inked) and abs(row - last) <= gap + 1:
        last = row if inked[row] else last
        row += step
    return last
