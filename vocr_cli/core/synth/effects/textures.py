"""Random fields for grounds, noise and bends, cut out of sheets that are made once per process.

Drawing 15,000 normal numbers takes 0.4 ms, cutting them out of a sheet a hundredth of that. Sheets are made
from fixed seeds and the place of the cut from the line's own dice: a line is the same wherever it is made.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image

_HEIGHT_PX, _WIDTH_PX = 320, 3072
CELLS_PX = (2, 4, 8, 16, 32, 64)


@lru_cache(maxsize=1)
def _noise_sheet() -> np.ndarray:
    """(320, 3072) float32, independent standard normal numbers."""
    return np.random.default_rng(20260101).standard_normal((_HEIGHT_PX, _WIDTH_PX), dtype=np.float32)


@lru_cache(maxsize=len(CELLS_PX))
def _cloud_sheet(cell_px: int) -> np.ndarray:
    """(320, 3072) float32, smooth noise of zero mean and unit variance with one knot every cell_px px."""
    knots = np.random.default_rng(cell_px).standard_normal(
        (max(4, _HEIGHT_PX // cell_px + 3), _WIDTH_PX // cell_px + 3), dtype=np.float32
    )
    sheet = Image.fromarray(knots).resize((_WIDTH_PX, _HEIGHT_PX), Image.Resampling.BICUBIC)
    values = np.asarray(sheet)
    return np.ascontiguousarray((values - values.mean()) / values.std())


def _cut(sheet: np.ndarray, height: int, width: int, dice: Random) -> np.ndarray:
    """A window of a sheet, half the time mirrored; larger windows repeat the sheet."""
    rows, columns = sheet.shape
    if height > rows or width > columns:
        sheet = np.tile(sheet, (-(-height // rows), -(-width // columns)))
        rows, columns = sheet.shape
    y, x = int(dice.random() * (rows - height + 1)), int(dice.random() * (columns - width + 1))
    window = sheet[y : y + height, x : x + width]
    return window[:, ::-1] if dice.random() < 0.5 else window


def noise(shape: tuple[int, int], dice: Random) -> np.ndarray:
    """(h, w) float32 of independent standard normal numbers; not to be written to."""
    return _cut(_noise_sheet(), *shape, dice)


def cloud(shape: tuple[int, int], cell_px: float, dice: Random) -> np.ndarray:
    """(h, w) float32 of smooth noise of about unit variance; not to be written to.

    Args:
        shape: h, w.
        cell_px: Size of a blot; the nearest of CELLS_PX is taken.
        dice: Where chance comes from.
    """
    return _cut(_cloud_sheet(min(CELLS_PX, key=lambda cell: abs(cell - cell_px))), *shape, dice)


@lru_cache(maxsize=8)
def _pattern_sheet(name: str) -> np.ndarray:
    """(320, 1536) float32 in -1..1: a printed or woven pattern."""
    y, x = np.mgrid[:_HEIGHT_PX, : _WIDTH_PX // 2].astype(np.float32)
    if name == "guilloche":  # waves on waves, as certificates and banknotes are printed with
        waves = sum(
            np.abs(np.sin((y + amplitude * np.sin(x / length + phase)) / pitch)) < 0.16
            for amplitude, length, phase, pitch in ((9, 23, 0, 3.1), (14, 41, 1, 4.3), (6, 17, 2, 5.2))
        )
        return np.asarray(waves, np.float32) / 1.5 - 0.5
    if name == "halftone":  # a screen of dots at 45 degrees
        return np.cos((x + y) * 1.05) * np.cos((x - y) * 1.05)
    if name == "weave":
        return np.sin(x * 1.3) * np.sin(y * 1.3) + 0.3 * _cloud_sheet(4)[:, : x.shape[1]]
    if name == "wood":  # grain along the line: smooth noise stretched sideways
        grain = _cloud_sheet(4)[:, : _WIDTH_PX // 12]
        wide = Image.fromarray(np.ascontiguousarray(grain)).resize(x.shape[::-1], Image.Resampling.BILINEAR)
        return np.clip(np.asarray(wide) / 2, -1, 1)
    if name == "bricks":
        course = np.floor(y / 26)
        joint = (y % 26 < 2) | ((x + 31 * (course % 2)) % 62 < 2)
        return np.where(joint, 1.0, -0.1 + 0.15 * _cloud_sheet(16)[:, : x.shape[1]]).astype(np.float32)
    return ((x + y) % 14 < 7).astype(np.float32) * 2 - 1  # stripes


PATTERNS = ("guilloche", "halftone", "weave", "wood", "bricks", "stripes")


def pattern(name: str, shape: tuple[int, int], dice: Random) -> np.ndarray:
    """(h, w) float32 in about -1..1; one of PATTERNS; not to be written to."""
    return _cut(_pattern_sheet(name), *shape, dice)
