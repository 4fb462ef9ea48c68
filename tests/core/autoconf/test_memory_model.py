"""Sizes as people write them, and the model of memory that plans rest on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.autoconf.memory_model import (
    LineShapes,
    MemoryModel,
    StepPeak,
    fit_memory,
    largest_budget,
    peak_under,
)
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.sizes import parse_size

shapes = st.builds(
    lambda pairs: LineShapes(
        np.array([width for width, _ in pairs]), np.array([tokens for _, tokens in pairs]), 32, 128
    ),
    st.lists(st.tuples(st.integers(8, 3_000), st.integers(0, 300)), min_size=1, max_size=20),
)
models = st.builds(MemoryModel, st.floats(0, 1e9), st.floats(1, 1e5), st.floats(0, 1e6))


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("8", 8 * 10**9), ("7.5GiB", 7.5 * 2**30), ("800mb", 8 * 10**8),
     (" .5 G ", 10**9 // 2), ("512 MiB", 2**29), ("1TB", 10**12), ("1000B", 1_000)],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "8 GBit", "-1GB", "0", "1e3", "8,5GB", "much"])
def test_what_is_no_size_is_refused_with_examples(text):
    with pytest.raises(ConfigError) as caught:
        parse_size(text)
    assert "8GB" in caught.value.fix


@given(fixed=st.floats(0, 1e9), pixel=st.floats(10, 1e4), token=st.floats(0, 1e6))
def test_exact_measurements_give_the_model_back(fixed, pixel, token):
    truth = MemoryModel(fixed, pixel, token)
    steps = [(100_000, 300), (400_000, 1_200), (100_000, 2_000), (200_000, 100)]
    measured = [StepPeak(px, n, round(fixed + pixel * px + token * n)) for px, n in steps]
    model = fit_memory(measured)
    for px, n in [*steps, (800_000, 3_000)]:
        assert model.peak(px, n) == pytest.approx(truth.peak(px, n), rel=0.02, abs=1e6)


@given(
    st.lists(
        st.builds(StepPeak, st.integers(1_000, 10**6), st.integers(0, 9_999), st.integers(1, 10**10)),
        min_size=1,
        max_size=8,
    )
)
def test_no_measured_step_lies_above_the_model_and_nothing_costs_less_than_none(steps):
    model = fit_memory(steps)
    assert min(model.fixed_bytes, model.pixel_bytes, model.token_bytes) >= 0
    for step in steps:
        assert model.peak(step.pixels, step.tokens) >= step.peak_bytes


def test_one_step_alone_does_not_make_pixels_free():
    model = fit_memory([StepPeak(100_000, 0, 10**9)])
    assert model.peak(400_000, 0) > 4 * 10**9


@given(model=models, lines=shapes, limit=st.integers(0, 10**11), most=st.integers(1_000, 10**7))
def test_the_largest_budget_fits_and_the_next_one_does_not(model, lines, limit, most):
    budget = largest_budget(model, lines, limit, most)
    assert budget <= most
    if budget:
        assert peak_under(model, lines, budget) <= limit
    if budget + 1_000 <= most:
        assert peak_under(model, lines, budget + 1_000) > limit


@given(lines=shapes, pixels=st.integers(1_000, 10**6))
def test_a_line_wider_than_the_budget_counts_whole(lines, pixels):
    most, tokens = lines.largest_step(pixels)
    assert most >= int(lines.widths_px.max()) * 32
    assert tokens >= int(lines.tokens.max())
