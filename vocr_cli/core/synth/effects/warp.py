"""Bends drawings: one look-up per pixel of where it is read from. Legend: h, w px of the drawing."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from vocr_cli.core.synth.effects.textures import cloud
from vocr_cli.core.synth.layout import Layout


def bent(ink: np.ndarray, layout: Layout, baseline: int, dice: Random) -> np.ndarray:
    """Rotation, slant, perspective, arc, wandering baseline, swell and stray of a layout in one step.

    Small rotations are drawn as shears: at a text line's few degrees the two differ by less than a pixel.

    Args:
        ink: (h, w) uint8.
        layout: What happens to it.
        baseline: The row of the baseline.
        dice: Where chance comes from.

    Returns:
        (h, w) uint8; what moves over an edge is lost.
    """
    h, w = ink.shape
    em = layout.master_px
    x = np.arange(w, dtype=np.float32)
    y = np.arange(h, dtype=np.float32)[:, None]
    down = np.zeros(w, np.float32)
    if layout.angle_rad:
        down += np.float32(math.tan(layout.angle_rad)) * (x - np.float32(w / 2))
    if layout.curve_em:
        down += np.float32(layout.curve_em * em) * np.sin(np.float32(math.pi / w) * x)
    if layout.waves_em:
        length, phase = dice.uniform(6, 20) * em, dice.uniform(0, 6.3)
        down += np.float32(layout.waves_em * em) * np.sin(x * np.float32(6.28 / length) + np.float32(phase))
    aside = np.float32(layout.slant) * (y - baseline)
    if not (
        layout.perspective or layout.bend_em or layout.swell
    ):  # whole rows and columns move: whole numbers do
        at = np.rint(down).astype(np.int32) + np.arange(h, dtype=np.int32)[:, None]
        np.clip(at, 0, h - 1, out=at)
        at *= w
        at += np.clip(np.rint(aside).astype(np.int32) + np.arange(w, dtype=np.int32), 0, w - 1)
        return ink.ravel().take(at)
    rows = y + down
    if layout.perspective:
        scale = 1 + np.float32(layout.perspective / w) * (x - np.float32(w / 2))
        rows = (rows - baseline) / scale + baseline
    if layout.swell:
        length, phase = dice.uniform(1.5, 5) * em, dice.uniform(0, 6.3)
        size = 1 + np.float32(layout.swell) * np.sin(x * np.float32(6.28 / length) + np.float32(phase))
        rows = (rows - baseline) * size + baseline
    columns = x + aside
    if layout.bend_em:
        stray = np.float32(layout.bend_em * em)
        cell = dice.uniform(0.35, 1.0) * em
        rows = rows + stray * cloud((h, w), cell, dice)
        columns = columns + stray * cloud((h, w), cell, dice)
    # Rounding, and back into the drawing: its edges hold no ink.
    at = np.clip(rows + np.float32(0.5), 0, h - 1).astype(np.int32)
    at *= w
    at += np.clip(columns + np.float32(0.5), 0, w - 1).astype(np.int32)
    return ink.ravel().take(at)


def weighed(ink: np.ndarray, weight_px: int) -> np.ndarray:
    """Strokes grown (> 0) or shrunk (< 0) by whole px, across and along the line in turn; (h, w) uint8."""
    change = np.maximum if weight_px > 0 else np.minimum
    ink = ink.copy()
    for step in range(abs(weight_px)):
        if step % 2:
            ink[:, 1:] = change(ink[:, 1:], ink[:, :-1])
        else:
            ink[1:] = change(ink[1:], ink[:-1])
    return ink


def filtered(wide: np.ndarray) -> np.ndarray:
    """(h, 3 w) ink of thirds of pixels to (h, w, 3), each spread over five thirds as ClearType does."""
    padded = np.pad(wide, ((0, 0), (2, 2))).astype(np.uint16)
    spread = (
        padded[:, :-4] + 2 * padded[:, 1:-3] + 3 * padded[:, 2:-2] + 2 * padded[:, 3:-1] + padded[:, 4:]
    ) // 9
    return spread.astype(np.uint8).reshape(len(wide), -1, 3)
