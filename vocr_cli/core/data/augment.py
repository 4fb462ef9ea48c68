"""Changes to stored lines while training, so that a model does not learn their exact pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from vocr_cli.core.config import AugmentConfig


def augment(image: Image.Image, config: AugmentConfig, rng: np.random.Generator) -> Image.Image:
    """Slant, stretch, margins, blur, contrast and noise, each by chance.

    Args:
        image: Mode RGB or L.
        config: Strength 0..1 scales how often and how much.
        rng: Where chance comes from.
    """
    s = config.strength
    if s == 0:
        return image
    width, height = image.size
    if rng.random() < 0.5 * s:
        slant = float(rng.normal(0, 0.1 * s))
        turn = float(rng.normal(0, 0.01 * s))
        fill = tuple(int(v) for v in np.median(np.asarray(image.convert("RGB"))[:, 0], axis=0))
        image = image.convert("RGB").transform(
            (width, height),
            Image.Transform.AFFINE,
            (1, slant, -slant * height / 2, turn, 1, -turn * width / 2),
            Image.Resampling.BILINEAR,
            fillcolor=fill,
        )
    if rng.random() < 0.5 * s:
        image = image.resize((max(4, round(width * float(np.exp(rng.normal(0, 0.12 * s))))), height))
    if rng.random() < 0.3 * s:
        top, bottom = rng.integers(0, 1 + round(0.12 * s * height), 2).tolist()
        image = image.crop((0, top, image.width, max(top + 4, height - bottom)))
    if rng.random() < 0.3 * s:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.2 * s)) * height / 32))
    pixels: np.ndarray = np.asarray(image, np.float32)
    if rng.random() < 0.6 * s:
        mean = pixels.mean()
        pixels = (pixels - mean) * np.exp(rng.normal(0, 0.3 * s)) + mean + rng.normal(0, 25 * s)
    if rng.random() < 0.3 * s:
        pixels = pixels + rng.normal(0, rng.uniform(1, 14 * s), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
