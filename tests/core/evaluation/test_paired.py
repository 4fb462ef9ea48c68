"""The difference of two CERs on the same lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.errors import DataError
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.evaluation.paired import Difference, cer_difference

words = st.text("abcd ", min_size=1, max_size=8)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=12))
def test_the_difference_is_that_of_the_cers_and_lies_in_its_interval(
    rows: list[tuple[str, str, str]],
) -> None:
    labels, first, second = map(list, zip(*rows, strict=True))
    found = cer_difference(labels, first, second, resamples=50)
    cers = [score(labels, side, resamples=2).cer.value for side in (first, second)]
    if any(label.strip() for label in labels):
        assert found.value == pytest.approx(cers[1] - cers[0])
    assert found.low <= found.value <= found.high
    assert cer_difference(labels, first, first, resamples=50) == Difference(0, 0, 0)


def test_pairs_tell_more_than_two_intervals_do() -> None:
    """Every line is read a little worse; how hard the lines are differs far more."""
    labels = ["a" * 20 for _ in range(60)]
    first = ["a" * (20 - index % 15) for index in range(60)]
    second = [text[:-1] for text in first]
    one, other = (score(labels, side).cer for side in (first, second))
    assert one.high > other.low  # the intervals overlap
    found = cer_difference(labels, first, second)
    assert found.low > 0.04 and found.value == pytest.approx(0.05)


def test_no_lines_are_refused() -> None:
    with pytest.raises(DataError):
        cer_difference([], [], [])
