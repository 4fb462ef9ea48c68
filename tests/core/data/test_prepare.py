"""Equal pixels have equal digests; an image changed in any one pixel has another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.data.build.prepare import DIGEST_BYTES, pixel_digest

LARGE = np.random.default_rng(1).integers(0, 256, (96, 1500), np.uint8)  # several parts


@given(st.data())
def test_one_changed_sample_changes_the_digest(data):
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 40), st.sampled_from([1, 3])))
    pixels = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 256, shape, np.uint8)
    changed = pixels.copy()
    index = data.draw(st.integers(0, pixels.size - 1))
    changed.flat[index] ^= data.draw(st.integers(1, 255))
    same, other = (part.squeeze(2) if shape[2] == 1 else part for part in (pixels, changed))
    assert pixel_digest(same) == pixel_digest(same.copy())
    assert len(pixel_digest(same)) == DIGEST_BYTES
    assert pixel_digest(same) != pixel_digest(other)


@given(st.integers(0, LARGE.shape[1] - 1), st.integers(0, LARGE.shape[0] - 1), st.integers(1, 255))
def test_one_changed_sample_of_a_large_image_changes_the_digest(x, y, change):
    changed = LARGE.copy()
    changed[y, x] ^= change
    assert pixel_digest(changed) != pixel_digest(LARGE)


@given(st.permutations(range(6)))
def test_the_order_of_pixels_and_of_parts_counts(order):
    mixed = np.hstack([LARGE[:, 250 * block : 250 * block + 250] for block in order])
    assert (pixel_digest(mixed) == pixel_digest(LARGE)) == (order == sorted(order))


def test_the_same_samples_in_another_shape_or_mode_are_other_pixels():
    samples = np.arange(60, dtype=np.uint8)
    shapes = [(6, 10), (10, 6), (4, 5, 3), (5, 4, 3)]
    assert len({pixel_digest(samples.reshape(shape)) for shape in shapes}) == 4


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 9))
def test_grey_is_the_same_in_one_channel_and_in_three(height, width, seed):
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    assert pixel_digest(np.stack([grey] * 3, axis=2)) == pixel_digest(grey)
