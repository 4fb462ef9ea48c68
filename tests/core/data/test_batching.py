"""Batches: nothing dropped, nothing over budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.config.tree import BatchConfig
from vocr_cli.core.data.loader.batching import (
    batches_of_one_width,
    lines_that_fit,
    padded_width,
    plan_epoch,
    plan_unpadded_epoch,
)

WIDTHS = st.lists(st.integers(8, 2400), max_size=200)
LINES = st.lists(st.tuples(st.integers(8, 600), st.integers(1, 90)), max_size=80)
CONFIGS = st.builds(
    BatchConfig,
    pixels=st.integers(1_000, 300_000),
    max_lines=st.integers(1, 40),
    bucket_px=st.sampled_from([1, 8, 32]),
)
HEIGHT = 40


def within_budget(widths: list[int], config: BatchConfig) -> bool:
    padded = padded_width(max(widths), config.bucket_px)
    fits = len(widths) * padded * HEIGHT <= config.pixels or len(widths) == 1
    return fits and len(widths) <= config.max_lines


@given(widths=WIDTHS, config=CONFIGS, epoch=st.integers(0, 3))
def test_an_epoch_is_a_permutation_under_the_budget(
    widths: list[int], config: BatchConfig, epoch: int
) -> None:
    batches = plan_epoch(np.array(widths, np.int64), HEIGHT, config, (7, epoch))
    assert sorted(number for batch in batches for number in batch.tolist()) == list(range(len(widths)))
    assert all(within_budget([widths[number] for number in batch], config) for batch in batches)


def test_epochs_differ_and_repeat_by_seed() -> None:
    widths = np.full(500, 100)
    first, again = (plan_epoch(widths, HEIGHT, BatchConfig(), (0, 0)) for _ in range(2))
    other = plan_epoch(widths, HEIGHT, BatchConfig(), (0, 1))
    assert np.array_equal(np.concatenate(first), np.concatenate(again))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))


@given(lines=LINES, config=CONFIGS, budget=st.integers(1, 400), exact=st.booleans())
def test_token_budgets_are_kept_and_drop_nothing(
    lines: list[tuple[int, int]], config: BatchConfig, budget: int, exact: bool
) -> None:
    widths, tokens = np.array(lines, np.int64).reshape(-1, 2).T
    config = config.model_copy(update={"tokens": budget, "bucket_px": 1 if exact else config.bucket_px})
    batches = (plan_unpadded_epoch if exact else plan_epoch)(widths, HEIGHT, config, (1, 2), tokens)
    assert sorted(number for batch in batches for number in batch.tolist()) == list(range(len(lines)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * tokens[batch].max() <= budget
        assert within_budget(widths[batch].tolist(), config)


@given(widths=WIDTHS)
def test_batches_of_one_width_pad_nothing_and_drop_nothing(widths: list[int]) -> None:
    batches = list(batches_of_one_width(widths, HEIGHT, 50_000, 16))
    assert sorted(number for batch in batches for number in batch) == list(range(len(widths)))
    assert all(len({widths[number] for number in batch}) == 1 for batch in batches)


def test_a_line_wider_than_the_budget_is_still_read() -> None:
    assert lines_that_fit(2400, HEIGHT, BatchConfig(pixels=1_000)) == 1
