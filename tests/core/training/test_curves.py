"""What curves.png draws through the points of a run."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.training.record.curves import smoothed


@given(st.integers(0, 300), st.floats(-0.05, 0.05), st.floats(0.1, 100))
def test_a_steady_fall_is_drawn_where_it_is(count: int, rate: float, first: float) -> None:
    points = [(50 * place, first * math.exp(rate * place)) for place in range(count)]
    drawn = smoothed(points, log=True)
    assert [step for step, _ in drawn] == [step for step, _ in points]
    assert [value for _, value in drawn] == pytest.approx([value for _, value in points], rel=1e-6)


def test_noise_becomes_less() -> None:
    noise = random.Random(1)
    drawn = smoothed([(step, 100 + noise.gauss(0, 10)) for step in range(600)])
    assert all(abs(value - 100) < 8 for _, value in drawn) and len(drawn) == 600


def test_a_logarithmic_axis_shows_nothing_at_zero() -> None:
    points = [(step, 0.0 if step == 3 else 0.5) for step in range(9)]
    assert [step for step, _ in smoothed(points, log=True)] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert smoothed([], log=True) == []
