"""Greedy CTC decoding against its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.decoding.ctc import BestPath, CtcHypothesis, ctc_greedy, is_surer, merge_repeats
from vocr_cli.core.decoding.ctc_torch import ctc_greedy_on_device


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
    logits = np.random.default_rng(seed).normal(0, 3, (lines, width, classes)).astype(np.float32)
    columns = data.draw(st.lists(st.integers(1, width), min_size=lines, max_size=lines))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for line, hypothesis in enumerate(ctc_greedy(logits, np.array(columns))):
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
    logits = np.zeros((1, 4, 3), np.float32)
    logits[0, :, 1] = 9
    logits[0, 1] = [9, 0, 0]
    assert ctc_greedy(logits, np.array([1]))[0].classes == [1]
    assert ctc_greedy(logits)[0].classes == [1, 1]


def test_sizes_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 lines"):
        ctc_greedy(np.zeros((2, 3, 4), np.float32), np.array([1]))


def said(classes):
    """Logits (1, T, 5) whose best classes are these."""
    logits = np.full((1, len(classes), 5), -5, np.float32)
    logits[0, np.arange(len(classes)), classes] = 5
    return logits


def test_a_run_of_one_character_at_the_limit_of_ctc_is_told():
    leader = [3, 0] * 5
    assert ctc_greedy(said([1, 0, 2, 0, *leader, 1]))[0].crowded
    assert ctc_greedy(said(leader))[0].crowded
    assert not ctc_greedy(said([3, 0] * 4 + [2, 0]))[0].crowded
    assert not ctc_greedy(said([3, 0, 0] * 5))[0].crowded
    assert not ctc_greedy(said([1, 0, 2, 0] * 5))[0].crowded


def test_a_character_that_was_passed_over_is_told() -> None:
    logits = said([1, 0, 0, 0, 2])
    assert ctc_greedy(logits)[0].least_blank > 0.99
    logits[0, 2, 3] = 4.0  # nearly as likely as the blank's 5: 0.27 against 0.73
    hypothesis = ctc_greedy(logits)[0]
    assert hypothesis.classes == [1, 2] and min(hypothesis.confidences) > 0.99
    assert hypothesis.least_blank == pytest.approx(0.731, abs=1e-3)
    logits[0, 2, 3], logits[0, 1, 1], logits[0, 3, 2] = -5, 4, 4  # what the neighbours reach into
    assert ctc_greedy(logits)[0].least_blank > 0.99


def spelled(best: list[int], probability: list[float], character: list[int]) -> CtcHypothesis:
    """What `merge_repeats` makes of one line, column by column."""
    classes, confidences, begins = [], [], []
    previous = 0
    for column, (number, value) in enumerate(zip(best, probability, strict=True)):
        if number and number != previous:
            classes.append(number)
            confidences.append(value)
            begins.append(column)
        elif number:
            confidences[-1] = max(confidences[-1], value)
        previous = number
    runs = (range(first, first + 5) for first in range(len(classes) - 4))
    crowded = any(
        len({classes[index] for index in run}) == 1 and begins[run[-1]] - begins[run[0]] <= 10 for run in runs
    )
    least = 1.0
    for column, number in enumerate(best):
        before = next((each for each in reversed(best[:column]) if each), 0)
        behind = next((each for each in best[column:] if each), 0)
        if not number and character[column] not in (before, behind):
            least = min(least, probability[column])
    return CtcHypothesis(classes, confidences, crowded, least)


def path_of(best: np.ndarray) -> BestPath:
    return BestPath(best, np.ones(best.shape), np.maximum(best, 1))


batches = st.integers(1, 24).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0, 0, 1, 1, 2]), min_size=width, max_size=width), min_size=1, max_size=4
    )
)


@given(best=batches, data=st.data())
def test_a_batch_is_merged_as_its_lines_are_column_by_column(best, data):
    lines, width = len(best), len(best[0])
    dice = np.random.default_rng(lines * width)
    probability = dice.random((lines, width))
    character = np.where(best, best, dice.integers(1, 4, (lines, width)))
    columns = data.draw(st.none() | st.lists(st.integers(1, width), min_size=lines, max_size=lines))
    path = BestPath(np.array(best), probability, character)
    batch = merge_repeats(path, None if columns is None else np.array(columns))
    for line, (hypothesis, length) in enumerate(zip(batch, columns or [width] * lines, strict=True)):
        parts = probability[line, :length].tolist(), character[line, :length].tolist()
        assert hypothesis == spelled(best[line][:length], *parts)


@given(
    before=st.lists(st.sampled_from([0, 1, 2]), max_size=6),
    gaps=st.lists(st.integers(1, 3), min_size=3, max_size=8),
    after=st.lists(st.sampled_from([0, 1, 2]), max_size=6),
    others=st.integers(0, 2),
)
def test_crowded_lines_are_told_wherever_they_stand_in_a_batch(before, gaps, after, others):
    leader = [column for gap in gaps for column in [3] + [0] * gap]
    line = [*before, *leader, *after]
    wanted = spelled(line, [1.0] * len(line), line).crowded
    batch = np.array([[0] * len(line)] * others + [line] + [[3] * len(line)] * others)
    told = [hypothesis.crowded for hypothesis in merge_repeats(path_of(batch))]
    assert told == [False] * others + [wanted] + [False] * others


def test_a_leader_that_ends_one_line_is_not_continued_by_the_next():
    batch = np.array([[1, 1, 0, 3, 0, 3, 0, 3, 0], [3, 0, 3, 0, 3, 0, 1, 1, 1]])
    assert [hypothesis.crowded for hypothesis in merge_repeats(path_of(batch))] == [False, False]


@given(
    lines=st.integers(1, 4), width=st.integers(1, 12), classes=st.integers(2, 5), seed=st.integers(0, 10_000)
)
def test_a_batch_reads_as_its_lines_do(lines: int, width: int, classes: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (lines, width, classes)).astype(np.float32)
    assert ctc_greedy(logits) == [ctc_greedy(logits[line : line + 1])[0] for line in range(lines)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_torch_read_as_those_of_numpy(dtype: torch.dtype) -> None:
    logits = (torch.randn(3, 20, 6, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    columns = [20, 7, 1]
    expected = ctc_greedy(logits.float().numpy(), np.array(columns))
    assert ctc_greedy_on_device(logits.requires_grad_(), torch.tensor(columns)) == expected
    assert any(hypothesis.classes for hypothesis in expected)


def test_a_line_read_again_is_surer_by_its_characters_and_never_without_any() -> None:
    assert is_surer([0.9, 0.9], [0.9, 0.5, 0.9]) and not is_surer([0.9, 0.5], [0.8])
    assert is_surer([0.1], []) and not is_surer([], [0.1]) and not is_surer([], [])
