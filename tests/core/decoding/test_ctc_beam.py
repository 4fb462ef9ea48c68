"""CTC prefix beam search against all alignments there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.decoding.ctc import ctc_log_likelihoods, without_idle_columns
from vocr_cli.core.decoding.ctc_beam import aligned_confidences, ctc_beam


def log_probabilities(columns: int, classes: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (columns, classes))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def spelled(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(number for number, _ in itertools.groupby(path) if number)


def all_texts(logs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every text, by going through every alignment."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        text = spelled(path)
        found[text] = found.get(text, 0) + math.exp(sum(logs[t, number] for t, number in enumerate(path)))
    return found


cases = given(columns=st.integers(1, 5), classes=st.integers(2, 4), seed=st.integers(0, 10_000))


@settings(max_examples=40, deadline=None)
@cases
def test_a_beam_without_limits_is_exact(columns: int, classes: int, seed: int) -> None:
    logs = log_probabilities(columns, classes, seed)
    found = ctc_beam(logs, beam=10_000, classes_per_column=classes, least=-math.inf)
    expected = all_texts(logs)
    assert {item.classes: math.exp(item.score) for item in found} == pytest.approx(expected)
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=40, deadline=None)
@cases
def test_the_likelihood_of_a_text_is_the_sum_over_its_alignments(
    columns: int, classes: int, seed: int
) -> None:
    logs = log_probabilities(columns, classes, seed)
    expected = all_texts(logs)
    texts = [text for n in range(columns + 2) for text in itertools.product(range(1, classes), repeat=n)]
    shorter = logs[: (columns + 1) // 2]
    found = np.exp(ctc_log_likelihoods([logs, shorter], texts))
    for said, columns_say in zip(found, (expected, all_texts(shorter)), strict=True):
        assert said == pytest.approx([columns_say.get(text, 0) for text in texts])


def test_the_likelihood_of_a_long_line_is_that_of_torch() -> None:
    logs = log_probabilities(600, 90, 3)  # of which a text's probability is far below what a float holds
    texts = [tuple(np.random.default_rng(n).integers(1, 90, n).tolist()) for n in (0, 1, 50, 290)]
    losses = torch.nn.functional.ctc_loss(
        torch.from_numpy(logs)[:, None].expand(-1, len(texts), -1),
        torch.tensor([number for text in texts for number in text]),
        torch.full((len(texts),), 600),
        torch.tensor([len(text) for text in texts]),
        reduction="none",
    )
    assert ctc_log_likelihoods([logs], texts)[0] == pytest.approx(-losses.numpy(), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(repeats=st.lists(st.integers(1, 4), min_size=1, max_size=6), seed=st.integers(0, 10_000))
def test_blanks_behind_blanks_change_no_probability(repeats: list[int], seed: int) -> None:
    """A column of each kind in turn: such a blank, and one that may say anything."""
    logs = log_probabilities(2 * len(repeats), 4, seed)
    logs[::2] = np.log([1 - 3e-5, 1e-5, 1e-5, 1e-5])
    repeated = np.repeat(logs, [n for repeat in repeats for n in (repeat, 1)], axis=0)
    texts = [text for n in range(4) for text in itertools.product(range(1, 4), repeat=n)]
    kept = without_idle_columns(repeated)
    assert len(kept) == len(logs)
    whole, less = np.exp(ctc_log_likelihoods([repeated, kept], texts))
    assert np.abs(whole - less).max() <= 1e-4 * (len(repeated) - len(kept))


@settings(max_examples=40, deadline=None)
@cases
def test_a_narrow_beam_never_claims_too_much(columns: int, classes: int, seed: int) -> None:
    logs = log_probabilities(columns, classes, seed)
    expected = all_texts(logs)
    for item in ctc_beam(logs, beam=2, classes_per_column=2):
        assert math.exp(item.score) <= expected[item.classes] * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@cases
def test_confidences_come_from_the_likeliest_alignment(columns: int, classes: int, seed: int) -> None:
    logs = log_probabilities(columns, classes, seed)
    text = ctc_beam(logs, beam=4)[0].classes
    best = max(
        (path for path in itertools.product(range(classes), repeat=columns) if spelled(path) == text),
        key=lambda path: sum(logs[t, number] for t, number in enumerate(path)),
    )
    runs = [
        [t for t, _ in group]
        for number, group in itertools.groupby(enumerate(best), lambda x: x[1])
        if number
    ]
    expected = [max(math.exp(logs[t, best[t]]) for t in run) for run in runs]
    assert aligned_confidences(logs, text) == pytest.approx(expected)


def test_texts_are_summed_over_alignments_where_greedy_is_not() -> None:
    """The textbook case: the likeliest alignment is empty, the likeliest text is not."""
    logs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    found = ctc_beam(logs, beam=4)
    assert [item.classes for item in found] == [(1,), ()]
    assert math.exp(found[0].score) == pytest.approx(0.64)


def test_denied_classes_are_never_spelled() -> None:
    logs = log_probabilities(6, 4, 1)
    logs[:, 2] = -math.inf
    for item in ctc_beam(logs, beam=50, classes_per_column=4, least=-math.inf):
        assert 2 not in item.classes and item.score > -math.inf
