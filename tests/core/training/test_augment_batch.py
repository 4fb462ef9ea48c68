"""Augmentation of batches: what it leaves alone, what it depends on, what it must not break."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocr_cli.core.config.tree import AugmentConfig, Config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.order import SourcePosition
from vocr_cli.core.training.augment import geometry
from vocr_cli.core.training.augment.batch import BatchAugmenter, augmented, line_keys

OPERATIONS = AugmentConfig().operations
HEIGHT = 40


def drawn_lines(widths: list[int], padded: int, channels: int = 1, height: int = HEIGHT) -> Tensor:
    """(B, C, H, W): dark strokes on light paper, padded with the last column."""
    images = torch.full((len(widths), channels, height, padded), 0.9)
    for image, width in zip(images, widths, strict=True):
        image[:, height // 4 : 3 * height // 4, 6 : width - 6 : 9] = 0.1
        image[:, height // 2, 6 : width - 6] = 0.2
        image[:, :, width:] = image[:, :, width - 1 : width]
    return images


def keys(count: int, name: str = "line") -> np.ndarray:
    return line_keys([f"{name} {number}" for number in range(count)])


def changed(images: Tensor, widths: list[int], strength: float = 1.0, name: str = "line") -> Tensor:
    return augmented(images, torch.tensor(widths), strength, OPERATIONS, keys(len(widths), name))


def test_strength_0_gives_the_very_same_pixels() -> None:
    images = drawn_lines([120, 96], 128)
    assert changed(images, [120, 96], strength=0) is images
    assert augmented(images, torch.tensor([120, 96]), 1.0, (), keys(2)) is images


def test_the_caller_s_images_are_left_alone() -> None:
    images = drawn_lines([120] * 16, 128)
    before = images.clone()
    assert not torch.equal(changed(images, [120] * 16), images)
    assert torch.equal(images, before)


def test_chance_comes_from_the_keys_and_not_from_a_shared_state() -> None:
    images = drawn_lines([120] * 16, 128)
    torch.manual_seed(1)
    first, state = changed(images, [120] * 16), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from it
    torch.manual_seed(2)
    assert torch.equal(changed(images, [120] * 16), first)
    assert not torch.equal(changed(images, [120] * 16, name="another epoch"), first)


def test_a_line_does_not_depend_on_its_neighbours() -> None:
    widths = [120, 96, 64, 128] * 6
    images = drawn_lines(widths, 128)
    whole = changed(images, widths)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))[:9]
    part = augmented(images[order], torch.tensor(widths)[order], 1.0, OPERATIONS, keys(24)[order.numpy()])
    assert torch.allclose(part, whole[order], atol=1e-5)


def test_grey_lines_change_alike_in_one_channel_in_three_and_beside_colour() -> None:
    widths = [120, 96, 64, 128] * 6
    grey = drawn_lines(widths, 128)
    expected = changed(grey, widths).expand(-1, 3, -1, -1)
    images = grey.repeat(1, 3, 1, 1)
    assert torch.equal(changed(images, widths), expected)
    images[::3, 0, 3] *= 0.5  # not in the middle row
    result = changed(images, widths)
    colour = torch.arange(24) % 3 == 0
    assert torch.allclose(result[~colour], expected[~colour], atol=1e-5)
    assert (result[colour, 0] != result[colour, 1]).flatten(1).any(1).all()


def test_a_line_hardly_depends_on_its_padding() -> None:
    widths = [120, 96, 64, 100] * 6
    # JPEG's blocks and a resampled edge may hold padding, so that single pixels differ.
    narrow, wide = (changed(drawn_lines(widths, padded), widths) for padded in (128, 192))
    for line, width in enumerate(widths):
        difference = (narrow[line, :, :, :width] - wide[line, :, :, :width]).abs()
        assert difference.median() < 1e-4 and (difference > 0.02).float().mean() < 0.06


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(8, 40).map(lambda columns: 4 * columns), min_size=1, max_size=8),
    extra=st.integers(0, 40),
    channels=st.sampled_from([1, 3]),
    height=st.sampled_from([16, 32, 40]),
    strength=st.floats(0.01, 1),
    name=st.text(max_size=3),
    flat=st.sampled_from([None, 0.0, 1.0]),
)
def test_shape_range_and_padding_are_kept(
    widths: list[int],
    extra: int,
    channels: int,
    height: int,
    strength: float,
    name: str,
    flat: float | None,
) -> None:
    images = drawn_lines(widths, max(widths) + extra, channels, height)
    if flat is not None:
        images.fill_(flat)
    result = changed(images, widths, strength, name)
    assert result.shape == images.shape and result.dtype == images.dtype
    assert torch.isfinite(result).all() and result.min() >= 0 and result.max() <= 1
    for line, width in zip(result, widths, strict=True):
        assert torch.equal(line[:, :, width:], line[:, :, width - 1 : width].expand_as(line[:, :, width:]))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_changes_lines_and_more_of_them_when_stronger(operation: str) -> None:
    images = drawn_lines([120] * 200, 120)
    shares = []
    for strength in (0.2, 1.0):
        result = augmented(images, torch.tensor([120] * 200), strength, (operation,), keys(200))
        shares.append(float((result != images).flatten(1).any(1).float().mean()))
    assert 0 < shares[0] < shares[1] < 0.85


@pytest.mark.parametrize("operation", ["geometry", "elastic"])
def test_geometry_leaves_no_ink_behind(operation: str) -> None:
    """Marks stand at the upper and lower edge of tight crops: what is cut there changes the text."""
    images = torch.full((200, 1, HEIGHT, 160), 0.9)
    for start in range(8, 152, 12):
        images[:, :, 3 : HEIGHT - 3, start : start + 3] = 0.1  # strokes from near edge to near edge
    ink = (0.9 - images).sum((1, 2, 3))
    result = augmented(images, torch.tensor([160] * 200), 1.0, (operation,), keys(200))
    middle = (result[:, 0, HEIGHT // 2] < 0.6).float()  # (B, W)
    assert ((middle[:, 1:] > middle[:, :-1]).sum(1) == 12).all()
    edges = torch.stack((result[:, 0, :, 0], result[:, 0, :, -1]), 1)  # (B, 2, H)
    assert (edges.amin(2) > 0.6).float().mean() > 0.98
    rims = torch.stack((result[:, 0, 0], result[:, 0, -1]), 1)  # (B, 2, W)
    assert (rims.amin(2) > 0.6).float().mean() > 0.9
    assert ((0.9 - result).sum((1, 2, 3)) / ink).min() > 0.55  # shrunk by a quarter each way at most


def test_memory_format_is_kept_and_changes_nothing_else() -> None:
    images = drawn_lines([120] * 8, 128, channels=3)
    images[::3, 0] *= 0.5  # some in colour, some grey
    last = changed(images.contiguous(memory_format=torch.channels_last), [120] * 8)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, changed(images, [120] * 8))


def test_the_longest_line_gets_noise() -> None:
    images = torch.full((20, 1, 2, 600_000), 0.5)
    images[:, :, :, ::2] = 0.1
    noisy = augmented(images, torch.tensor([600_000] * 20), 1.0, ("noise",), keys(20))
    shares = (noisy != images).flatten(1).float().mean(1)
    assert ((shares == 0) | (shares > 0.9)).all() and 0 < (shares > 0.9).sum() < 20


def batch(source: int = 0, epoch: int = 0, names: tuple[str, ...] = ("a", "b")) -> Batch:
    return Batch(
        torch.zeros((2, HEIGHT, 128, 1), dtype=torch.uint8), torch.tensor([120, 120]), torch.ones(2).long(),
        torch.ones(2).long(), ["x", "y"], list(names), source, SourcePosition(0, epoch, 5),
    )  # fmt: skip


def run_config(**augment: object) -> Config:
    tree = {"data": {"train": [{"lmdb": "a"}, {"synth": {}}, {"lmdb": "b"}]}, "augment": augment}
    return parse_config(tree, "test")


def test_rendered_sources_get_their_share_alone() -> None:
    images = drawn_lines([120, 120], 128)
    augmenter = BatchAugmenter(run_config())
    assert augmenter(images, batch(source=1), 1.0) is images
    assert augmenter.strength_of(batch(source=2), 0.5) == 0.5
    assert BatchAugmenter(run_config(rendered_share=0.4)).strength_of(batch(source=1), 0.5) == 0.2


def test_each_epoch_and_line_gets_its_own_distortion() -> None:
    augmenter = BatchAugmenter(run_config())
    images = drawn_lines([120, 120], 128)
    seen = [augmenter(images, batch(epoch=epoch, names=("a", "b")), 1.0) for epoch in range(8)]
    assert torch.equal(seen[3], augmenter(images, batch(epoch=3), 1.0))
    assert len({image.numpy().tobytes() for result in seen for image in result}) > 12
    swapped = augmenter(images, batch(epoch=3, names=("b", "a")), 1.0)
    assert torch.equal(swapped.flip(0), seen[3])


def test_light_ink_is_shown_only_to_models_that_see_it() -> None:
    upright = BatchAugmenter(run_config(operations=["invert"]))
    assert not upright.active and upright(drawn_lines([120, 120], 128), batch(), 1.0).mean() > 0.5
    as_is = run_config(operations=["invert"])
    as_is = as_is.model_copy(update={"image": replace(as_is.image, polarity="as-is")})
    augmenter = BatchAugmenter(as_is)
    images = drawn_lines([120, 120], 128)
    means = [float(line.mean()) for epoch in range(30) for line in augmenter(images, batch(epoch=epoch), 1.0)]
    assert 1 <= sum(mean < 0.5 for mean in means) <= 20


class OnDevice(Tensor):
    """A tensor that says it is on a device, and is in the CPU's memory."""

    @property
    def device(self) -> torch.device:
        return torch.device("mps")


@pytest.mark.parametrize("count", [1, 4, 7, 16])
def test_the_ground_of_a_line_is_found_by_deterministic_algorithms(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """`train.deterministic` refuses CUDA's median. Simulation: pixels that say they are on a device."""
    pixels = torch.rand(3, 2, count, generator=torch.Generator().manual_seed(count))
    expected = pixels.median(dim=-1).values
    monkeypatch.setattr(OnDevice, "median", None, raising=False)
    found = geometry._lower_median(pixels.as_subclass(OnDevice))
    assert torch.equal(found.as_subclass(Tensor), expected)
