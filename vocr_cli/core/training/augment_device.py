"""Augmentation of whole batches where the model trains. B lines, n of them changed, C channels, H and W px.

Whether an operation changes a line, and how much, is drawn from the line's own key: a run that resumes, or
has other workers, ranks or batches, feeds the same pixels. Limits are such that a label stays readable at
strength 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vocr_cli.core.config import COLUMN_PX, Config
from vocr_cli.core.data.dataset import Batch
from vocr_cli.core.training.augment_geometry import ground_of, warped

_CHANCES = {
    "geometry": 0.7,
    "elastic": 0.5,
    "thickness": 0.3,
    "cutout": 0.2,
    "blur": 0.3,
    "light": 0.5,
    "invert": 0.15,
    "noise": 0.3,
    "jpeg": 0.2,
}
"""Share of the lines that each operation changes at strength 1."""

_STREAMS = {name: number << 20 for number, name in enumerate((*_CHANCES, "waves"))}
_DRAWS = 8  # of each line and operation; the first says whether
_WAVES = (2, 5, 256)  # control points of the displacement

# Luminance quantisation, ITU-T T.81 (1992), table K.1.
_QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


class BatchAugmenter:
    """Augments the batches of a run as its config says.

    Args:
        config: Operations, the share of the strength that rendered sources get, polarity, family.
    """

    def __init__(self, config: Config) -> None:
        settings = config.augment
        seen_as_is = config.image.polarity == "as-is"  # else the model is never shown light ink
        self._operations = tuple(name for name in settings.operations if name != "invert" or seen_as_is)
        self._shares = [
            1.0 if source.synth is None else settings.rendered_share for source in config.data.train
        ]
        self._exact = config.model.EXACT_WIDTHS
        self._seed = config.train.seed

    @property
    def active(self) -> bool:
        """Whether any source's lines can be changed at all."""
        return bool(self._operations) and any(self._shares)

    def strength_of(self, batch: Batch, strength: float) -> float:
        """What a batch gets of the run's strength: all, or its source's share."""
        return strength * self._shares[batch.source] if self._operations else 0.0

    def __call__(self, images: Tensor, batch: Batch, strength: float) -> Tensor:
        """Images (B, C, H, W) of a batch, float in 0..1, augmented by seed, source, epoch and line."""
        padded = images.shape[-1]
        widths = torch.full_like(batch.columns, padded) if self._exact else batch.columns * COLUMN_PX
        where = f"{self._seed} {batch.source} {batch.place.epoch}"
        keys = line_keys([f"{where} {name}" for name in batch.names])
        return augmented(images, widths, self.strength_of(batch, strength), self._operations, keys)


def line_keys(names: list[str]) -> np.ndarray:
    """(B,) uint64, one for each name."""
    digests = b"".join(
        blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def augmented(
    images: Tensor, widths: Tensor, strength: float, operations: tuple[str, ...], keys: np.ndarray
) -> Tensor:
    """A batch with some of its lines distorted and degraded; what happens to one depends on its key alone.

    Args:
        images: (B, C, H, W) float in 0..1, each line padded with its own last column.
        widths: (B,) int64 on the CPU, px of each line before padding, 1..W.
        strength: 0..1; scales how often and how much. 0: the images as they are.
        operations: Those allowed, of `AugmentConfig.operations`.
        keys: (B,) uint64 of the lines.

    Returns:
        A tensor like `images`, in 0..1, padded likewise.
    """
    if strength <= 0 or not operations:
        return images
    grey = _all_grey(images)
    # Channels last, a CPU takes a third longer over all of it.
    result = (images[:, :1] if grey else images).clone(memory_format=torch.contiguous_format)
    _change(result, widths, strength, operations, keys)
    if grey or not images.is_contiguous():
        return torch.empty_like(images).copy_(result.expand_as(images))
    return result


def _all_grey(images: Tensor) -> bool:
    """Whether no line has any colour: one channel is then changed for all of them, in half the time.

    On a GPU it is not asked, for the answer would have to be waited for.
    """
    if images.shape[1] == 1 or images.device.type != "cpu":
        return False
    middle = images[:, :, images.shape[2] // 2]  # shows the colour of most lines that have any
    return all(bool((part[:, :1] == part[:, 1:]).all()) for part in (middle, images))


def _change(
    images: Tensor, widths: Tensor, strength: float, operations: tuple[str, ...], keys: np.ndarray
) -> None:
    """What `augmented` does, in place; C may be 1 for lines of equal channels."""
    _geometry(images, widths, strength, operations, keys)
    for name, change in _CHANGES.items():
        if name not in operations:
            continue
        draws = _draws(keys, name)
        lines = (draws[:, 0] < _CHANCES[name] * strength).nonzero().squeeze(1)
        if len(lines):
            there, sizes, draw = (
                part.to(images.device, non_blocking=True) for part in (lines, widths[lines], draws[lines, 1:])
            )
            changed = change(images[there], sizes, draw, strength).clamp_(0, 1)
            images[there] = changed.to(images.dtype)
    if "noise" in operations:
        _noise(images, widths, strength, keys)
    _pad_again(images, widths)


def _draws(keys: np.ndarray, name: str, count: int = _DRAWS) -> Tensor:
    """(B, count) float, uniform in 0..1, by SplitMix64 (Steele, Lea and Flood, 2014) from each key."""
    steps = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(_STREAMS[name])
    bits = keys[:, None] + steps * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return torch.from_numpy((bits >> np.uint64(40)).astype(np.float32) / 2**24)


def _geometry(
    images: Tensor, widths: Tensor, strength: float, operations: tuple[str, ...], keys: np.ndarray
) -> None:
    """Homography and elastic displacement, in one resampling of the lines that get either."""
    draws = {name: _draws(keys, name) for name in ("geometry", "elastic")}
    amounts = torch.stack(
        [
            (draw[:, 0] < (_CHANCES[name] * strength if name in operations else 0)) * strength
            for name, draw in draws.items()
        ]
    )  # (2, B)
    lines = amounts.sum(0).nonzero().squeeze(1)
    if not len(lines):
        return
    waves = _draws(keys[lines.numpy()], "waves", math.prod(_WAVES)).view(-1, *_WAVES)
    parts = (lines, widths[lines], 2 * draws["geometry"][lines, 1:] - 1, 2 * waves - 1, *amounts[:, lines])
    there, *rest = (part.to(images.device, non_blocking=True) for part in parts)
    images[there] = warped(images[there], *rest)


def _noise(images: Tensor, widths: Tensor, strength: float, keys: np.ndarray) -> None:
    """Gaussian noise of brightness, up to a share of the line's own contrast, lest it drown faint ink."""
    draws = _draws(keys, "noise")
    height = images.shape[2]
    for number in (draws[:, 0] < _CHANCES["noise"] * strength).nonzero().squeeze(1).tolist():
        line = images[number, :, :, : int(widths[number])]  # (C, H, its width)
        generator = torch.Generator(images.device).manual_seed(int(keys[number] >> np.uint64(1)))
        grain = torch.randn(height * line.shape[2], generator=generator, device=images.device)
        amount = (0.02 + 0.28 * float(draws[number, 1])) * strength
        line.add_(grain.view(height, -1) * line.std() * amount).clamp_(0, 1)


def _pad_again(images: Tensor, sizes: Tensor) -> None:
    """Every column behind a line becomes its last one."""
    if images.device.type == "cpu":  # line by line: most of the batch stays as it is
        for line, size in zip(images, sizes.tolist(), strict=True):
            line[:, :, size:] = line[:, :, size - 1 : size]
        return
    sizes = sizes.to(images.device, non_blocking=True)
    last = (sizes - 1).view(-1, 1, 1, 1).expand(-1, *images.shape[1:3], 1)
    behind = torch.arange(images.shape[-1], device=images.device) >= sizes[:, None]  # (B, W)
    images.copy_(torch.where(behind[:, None, None], images.gather(3, last), images))


def _column(draws: Tensor, number: int, low: float, high: float) -> Tensor:
    """(n, 1, 1, 1) of one draw, from low to high."""
    return (low + (high - low) * draws[:, number]).view(-1, 1, 1, 1)


def _thickness(x: Tensor, sizes: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Grey dilation (of dark ink) or erosion by 3 × 3, laid over in part: strokes are about 3 px wide."""
    amount = _column(draws, 0, -0.6, 0.4) * strength
    sign = torch.where(amount < 0, -1.0, 1.0)
    return x + amount.abs() * (sign * _greatest_of_three(_greatest_of_three(sign * x, 3), 2) - x)


def _greatest_of_three(x: Tensor, axis: int) -> Tensor:
    """The greatest of each value and its two neighbours; torch's pooling takes ten times as long on a CPU."""
    count = x.shape[axis] - 1
    if not count:
        return x
    pairs = torch.maximum(x.narrow(axis, 0, count), x.narrow(axis, 1, count))
    inner = torch.maximum(pairs.narrow(axis, 0, count - 1), pairs.narrow(axis, 1, count - 1))
    return torch.cat((pairs.narrow(axis, 0, 1), inner, pairs.narrow(axis, count - 1, 1)), axis)


def _cutout(x: Tensor, sizes: Tensor, draws: Tensor, strength: float) -> Tensor:
    """An upright stripe and a small patch fade, narrower than a letter; neither hides a mark wholly.

    After Cutout (DeVries and Taylor, 2017).
    """
    height, width = x.shape[2:]
    across = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    down = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    line = sizes.view(-1, 1, 1, 1)
    stripe = (across - _column(draws, 0, 0, 1) * line).abs() < _column(draws, 1, 0.5, 0.04 * height)
    size = _column(draws, 2, 0.03, 0.1) * height / 2
    patch = (across - _column(draws, 3, 0, 1) * line).abs() < size
    patch = patch & ((down - _column(draws, 4, 0.1, 0.9) * height).abs() < size)
    return torch.lerp(x, ground_of(x, sizes), (stripe | patch) * _column(draws, 5, 0.4, 0.85) * strength)


def _blur(x: Tensor, sizes: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Gaussian, of one width along the line and another across it; up to a fortieth of the height."""
    lines, channels, height, width = x.shape
    reach = max(1, round(2.5 * strength * height / 40))
    taps = torch.arange(-reach, reach + 1, device=x.device)
    sigma = (0.2 + draws[:, :2] * 0.9 * strength) * height / 40  # (n, 2)
    kernels = torch.exp(-0.5 * (taps / sigma[..., None]) ** 2)
    kernels = (kernels / kernels.sum(-1, keepdim=True)).repeat_interleave(channels, 0)  # (n C, 2, taps)
    flat = F.pad(x.reshape(1, lines * channels, height, width), (reach,) * 4, "replicate")
    flat = F.conv2d(flat, kernels[:, 0, None, None, :], groups=lines * channels)
    flat = F.conv2d(flat, kernels[:, 1, None, :, None], groups=lines * channels)
    return flat.view(lines, channels, height, width)


def _light(x: Tensor, sizes: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Gamma, contrast, brightness, and light that falls off across the line and down it."""
    height, width = x.shape[2:]
    along = torch.arange(width, device=x.device) / sizes.view(-1, 1, 1, 1) - 0.5  # (n, 1, 1, W)
    down = (torch.arange(height, device=x.device) / height - 0.5).view(1, 1, -1, 1)
    contrast = torch.exp(_column(draws, 0, -0.5, 0.3) * strength)
    gamma = torch.exp(_column(draws, 1, -0.4, 0.5) * strength)
    fall = (
        1 + _column(draws, 2, -0.3, 0.3) * strength * along + _column(draws, 3, -0.2, 0.2) * strength * down
    )
    x = torch.lerp(ground_of(x, sizes), x, contrast).clamp_(0, 1)
    x = x.log_().mul_(gamma).exp_()  # sooner than a power
    return x.mul_(fall).add_(_column(draws, 4, -0.12, 0.12) * strength)


def _invert(x: Tensor, sizes: Tensor, draws: Tensor, strength: float) -> Tensor:
    return 1 - x


def _jpeg(x: Tensor, sizes: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Rounds the cosine transform of 8 × 8 blocks, as JPEG of quality 90 to 25 does; channels apart."""
    lines, channels, height, width = x.shape
    place = torch.arange(8, device=x.device, dtype=x.dtype)
    cosines = torch.cos((2 * place + 1) * place[:, None] * torch.pi / 16) / 2
    cosines[0] /= 2**0.5
    x = F.pad(x, (0, -width % 8, 0, -height % 8), "replicate") - 0.5
    tall, wide = x.shape[2:]
    # Down all blocks of a column in one product, then along them: 8 × 8 products alone are slow.
    down = torch.block_diag(*[cosines] * (tall // 8))  # (tall, tall)
    blocks = (down @ x).view(lines, channels, tall // 8, 8, wide // 8, 8) @ cosines.T
    quality = 90 - 65 * draws[:, 0] * strength
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(-1, 1, 1, 1, 1, 1)
    table = torch.tensor(_QUANTA, device=x.device)[:, None]  # (8, 1, 8)
    quanta = (table * scale).clamp(min=1) / 255  # (n, 1, 1, 8, 1, 8)
    blocks = blocks.div_(quanta).round_().mul_(quanta) @ cosines
    return (down.T @ blocks.view(lines, channels, tall, wide) + 0.5)[:, :, :height, :width]


_CHANGES: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "thickness": _thickness,
    "cutout": _cutout,
    "blur": _blur,
    "light": _light,
    "invert": _invert,
    "jpeg": _jpeg,
}
"""In the order in which ink, camera and file would do them; (n, C, H, W) in and out."""
