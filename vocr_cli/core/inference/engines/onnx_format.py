"""What ONNX files of vocr's take, and say of themselves. B lines, H and W px."""

from __future__ import annotations

from pathlib import Path

import numpy as np

METADATA_KEY = "vocr"
"""Where an ONNX file keeps the JSON that describes the model."""


BACKBONE = "backbone"
"""What the description of an ONNX file calls its `part` when it holds no more than that."""

MEMORY = "memory"
"""The `part` of a model that writes step by step: all but the decoder, which lies beside it."""

DECODER = "decoder"
"""The `part` of a file with one step of a decoder."""

FINGERPRINT_KEY = "fingerprint"
"""Where a description keeps the digest of the weights that the file, and those that belong to it, hold."""


def decoder_path(path: Path) -> Path:
    """Names the file of the decoder: `NAME.decoder.onnx` beside `NAME.onnx`, and so in int8."""
    return path.with_name(f"{path.stem}.decoder.onnx")


def pad_right(lines: np.ndarray, padding_px: int) -> np.ndarray:
    """Pads (B, H, W, channels) uint8 by so many columns of each line's ground: the median of its last one."""
    if not padding_px:
        return lines
    ground = np.median(lines[:, :, -1:], axis=1, keepdims=True).astype(np.uint8)  # (B, 1, 1, channels)
    shape = (len(lines), lines.shape[1], padding_px, lines.shape[3])
    return np.concatenate([lines, np.broadcast_to(ground, shape)], axis=2)


def to_blocks(lines: np.ndarray) -> np.ndarray:
    """Turns (B, H, W, channels) into blocks of 2×2 px, (B, H/2, W/2, 4 × channels).

    The channels of a block are those of an image, each its upper left, upper right, lower left and lower
    right pixel. H and W are even.
    """
    count, height, width, channels = lines.shape
    blocks = lines.reshape(count, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    return blocks.reshape(count, height // 2, width // 2, 4 * channels)


def to_model_input(lines: np.ndarray) -> np.ndarray:
    """Turns (B, H, W, channels) uint8 into (B, channels, H, W) float32 in 0..1."""
    return np.ascontiguousarray(lines.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
