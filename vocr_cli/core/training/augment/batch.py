"""Augmentation of whole batches where the model trains. B lines, n of them changed, C channels, H and W px.

Whether an operation changes a line, and how much, is drawn from the line's own key: a run that resumes, or
has other workers, ranks or batches, feeds the same pixels. Limits are such that a label stays readable at
strength 1.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.training.augment.geometry import WAVE_ROWS, warped, wave_points
from vocr_cli.core.training.augment.pixels import CHANGES
from vocr_cli.core.training.step.objective import to_device

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


class BatchAugmenter:
    """Augments the batches of a run as its config says.

    Args:
        config: Operations, the share of the strength that rendered sources get, polarity, family.
    """

    def __init__(self, config: Config) -> None:
        settings = config.augment
        as_is = config.image.polarity == "as-is"  # else the model is never shown light ink
        self._operations = tuple(name for name in settings.operations if name != "invert" or as_is)
        self._strength_scales = [
            1.0 if source.synth is None else settings.rendered_share for source in config.data.train
        ]
        self._seed = config.train.seed

    @property
    def active(self) -> bool:
        """Whether any source's lines can be changed at all."""
        return bool(self._operations) and any(self._strength_scales)

    def strength_of(self, batch: Batch, strength: float) -> float:
        """Returns what a batch gets of the run's strength: all of it, or what its source is to get."""
        return strength * self._strength_scales[batch.source] if self._operations else 0.0

    def __call__(self, images: Tensor, batch: Batch, strength: float) -> Tensor:
        """Images (B, C, H, W) of a batch, float in 0..1, augmented by seed, source, epoch and line."""
        where = f"{self._seed} {batch.source} {batch.position.epoch}"
        keys = line_keys([f"{where} {name}" for name in batch.names])
        return augmented(images, batch.widths, self.strength_of(batch, strength), self._operations, keys)


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
    grey = _grey_lines(images)
    result = torch.empty_like(images)
    for lines, channels in ((grey.nonzero(), 1), ((~grey).nonzero(), images.shape[1])):
        if not len(lines := lines.squeeze(1)):
            continue
        whole = len(lines) == len(images)
        part = images[:, :channels] if whole else images[:, :channels].index_select(0, lines)
        # Channels last, a CPU takes a third longer over all of it.
        part = part.clone(memory_format=torch.contiguous_format)
        _change(part, widths[lines], strength, operations, keys[lines.numpy()])
        if whole:
            result.copy_(part.expand_as(images))
        else:
            for channel in range(images.shape[1]):  # sooner than all in one, channels last
                result[:, channel].index_copy_(0, lines, part[:, channel % channels])
    return result


def _grey_lines(images: Tensor) -> Tensor:
    """(B,) bool, lines of several equal channels: one is then changed for all of them, in half the time.

    On a GPU none are told apart, for the answer would have to be waited for.
    """
    grey = torch.zeros(len(images), dtype=torch.bool)
    if images.shape[1] == 1 or images.device.type != "cpu":
        return grey
    for part in (images[:, :, images.shape[2] // 2 :][:, :, :1], images):  # one row tells most in colour
        first, *others = part.unbind(1)
        grey = torch.stack([(first - other).abs_().amax((1, 2)) == 0 for other in others]).all(0)
        if not grey.any():
            break
    return grey


def _change(
    images: Tensor, widths: Tensor, strength: float, operations: tuple[str, ...], keys: np.ndarray
) -> None:
    """What `augmented` does, in place; C may be 1 for lines of equal channels."""
    drawn = dict(zip(operations, _draws(keys, *operations).unbind(1), strict=True))
    _geometry(images, widths, strength, drawn, keys)
    for name, (change, limits) in CHANGES.items():
        if (draws := drawn.get(name)) is None:
            continue
        lines = (draws[:, 0] < _CHANCES[name] * strength).nonzero().squeeze(1)
        if len(lines):
            low, high = torch.tensor(limits, dtype=torch.float32).view(len(limits), 2).unbind(1)
            amounts = torch.lerp(low, high, draws[lines, 1 : 1 + len(limits)])[..., None, None, None]
            there, sizes, amounts = (
                to_device(part, images.device) for part in (lines, widths[lines], amounts)
            )
            changed = change(images.index_select(0, there), sizes, strength, *amounts.unbind(1))
            images.index_copy_(0, there, changed.clamp_(0, 1).to(images.dtype))
    if "noise" in drawn:
        _noise(images, widths, strength, drawn["noise"], keys)
    _pad_again(images, widths)


def _draws(keys: np.ndarray, *names: str, count: int = _DRAWS) -> Tensor:
    """(B, names, count) float, uniform in 0..1, by SplitMix64 (Steele, Lea and Flood, 2014) from each key."""
    streams = np.array([_STREAMS[name] for name in names], np.uint64)
    steps = np.arange(1, count + 1, dtype=np.uint64) + streams[:, None]
    bits = keys[:, None, None] + steps * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return torch.from_numpy((bits >> np.uint64(40)).astype(np.float32) / 2**24)


def _geometry(
    images: Tensor, widths: Tensor, strength: float, drawn: dict[str, Tensor], keys: np.ndarray
) -> None:
    """Homography and elastic displacement, in one resampling of the lines that get either."""
    never = torch.ones((len(images), _DRAWS))
    draws = {name: drawn.get(name, never) for name in ("geometry", "elastic")}
    amounts = torch.stack(
        [(draw[:, 0] < _CHANCES[name] * strength) * strength for name, draw in draws.items()]
    )  # (2, B)
    lines = amounts.sum(0).nonzero().squeeze(1)
    if not len(lines):
        return
    # Point by point, so that a line's are the same however far it is padded.
    points = wave_points(*images.shape[2:])
    waves = 2 * _draws(keys[lines.numpy()], "waves", count=points * 2 * WAVE_ROWS) - 1
    waves = waves.view(-1, points, 2, WAVE_ROWS).permute(0, 2, 3, 1)
    parts = (lines, widths[lines], 2 * draws["geometry"][lines, 1:] - 1, waves, *amounts[:, lines])
    there, *rest = (to_device(part, images.device) for part in parts)
    images.index_copy_(0, there, warped(images.index_select(0, there), *rest))


def _noise(images: Tensor, widths: Tensor, strength: float, draws: Tensor, keys: np.ndarray) -> None:
    """Gaussian noise of brightness, up to a share of the line's own contrast, lest it drown faint ink."""
    height = images.shape[2]
    chosen = (draws[:, 0] < _CHANCES["noise"] * strength).nonzero().squeeze(1)
    sizes, amounts = widths[chosen].tolist(), ((0.02 + 0.28 * draws[chosen, 1]) * strength).tolist()
    for number, size, amount in zip(chosen.tolist(), sizes, amounts, strict=True):
        line = images[number, :, :, :size]  # (C, H, its width)
        grain = _grain(height * size, int(keys[number] >> np.uint64(1)), images.device)
        contrast = line[:, ::4].std()  # every fourth row tells it
        line.addcmul_(grain.view(height, -1), contrast * amount).clamp_(0, 1)


def _grain(count: int, key: int, device: torch.device) -> Tensor:
    """(count,) Gaussian noise of variance 1: from one long row, where the key says; drawing takes longer."""
    row = _noise_row(device)
    if count > len(row):
        row = row.repeat(-(-count // len(row)))
    return row.narrow(0, key % (len(row) - count + 1), count)


@lru_cache(maxsize=8)
def _noise_row(device: torch.device) -> Tensor:
    return torch.randn(1 << 20, generator=torch.Generator().manual_seed(1)).to(device)


def _pad_again(images: Tensor, sizes: Tensor) -> None:
    """Every column behind a line becomes its last one."""
    if images.device.type == "cpu":  # line by line: most of the batch stays as it is
        for line, size in zip(images, sizes.tolist(), strict=True):
            if size < images.shape[-1]:
                line[:, :, size:] = line[:, :, size - 1 : size]
        return
    sizes = to_device(sizes, images.device)
    last = (sizes - 1).view(-1, 1, 1, 1).expand(-1, *images.shape[1:3], 1)
    behind = torch.arange(images.shape[-1], device=images.device) >= sizes[:, None]  # (B, W)
    images.copy_(torch.where(behind[:, None, None], images.gather(3, last), images))
