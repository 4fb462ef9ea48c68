"""Greedy CTC decoding against its definition."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.decoding.ctc import ctc_greedy


@given(
    lines=st.integers(1, 4),
    width=st.integers(1, 12),
    classes=st.integers(2, 5),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_agrees_with_the_definition(
    lines: int, width: int, classes: int, seed: int, data: st.DataObject
) -> None:
    logits = torch.randn(lines, width, classes, generator=torch.Generator().manual_seed(seed)) * 3
    columns = data.draw(st.lists(st.integers(1, width), min_size=lines, max_size=lines))
    probabilities = logits.softmax(-1)
    for line, hypothesis in enumerate(ctc_greedy(logits, torch.tensor(columns))):
        best = logits[line].argmax(-1).tolist()[: columns[line]]
        runs = [
            (index, [t for t, _ in group])
            for index, group in itertools.groupby(enumerate(best), lambda x: x[1])
        ]
        expected = [
            (index, max(float(probabilities[line, t, index]) for t in times))
            for index, times in runs
            if index
        ]
        assert hypothesis.classes == [index for index, _ in expected]
        assert hypothesis.confidences == pytest.approx([value for _, value in expected], abs=1e-5)


def test_padding_columns_say_nothing() -> None:
    logits = torch.zeros(1, 4, 3)
    logits[0, :, 1] = 9
    logits[0, 1] = torch.tensor([9.0, 0, 0])
    assert ctc_greedy(logits, torch.tensor([1]))[0].classes == [1]
    assert ctc_greedy(logits)[0].classes == [1, 1]


def test_sizes_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 lines"):
        ctc_greedy(torch.zeros(2, 3, 4), torch.tensor([1]))


def said(classes):
    """Logits (1, T, 5) whose best classes are these."""
    logits = torch.full((1, len(classes), 5), -5.0)
    logits[0, torch.arange(len(classes)), torch.tensor(classes)] = 5.0
    return logits


def test_a_run_of_one_character_at_the_limit_of_ctc_is_told():
    leader = [3, 0] * 5
    assert ctc_greedy(said([1, 0, 2, 0, *leader, 1]))[0].crowded
    assert ctc_greedy(said(leader))[0].crowded
    assert not ctc_greedy(said([3, 0] * 4 + [2, 0]))[0].crowded
    assert not ctc_greedy(said([3, 0, 0] * 5))[0].crowded
    assert not ctc_greedy(said([1, 0, 2, 0] * 5))[0].crowded
