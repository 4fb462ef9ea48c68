"""core.bench.measure."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.bench.measure import alternate, percentile, pinned


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_agrees_with_numpy(values: list[float], fraction: float) -> None:
    expected = np.percentile(values, 100 * fraction)
    assert percentile(values, fraction) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_pinned_holds_and_lets_go() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1) as held:
        assert held and len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(len(before) + 1) as held:
        assert not held and os.sched_getaffinity(0) == before


def test_what_is_compared_is_measured_in_turns() -> None:
    calls: list[str] = []
    said: list[str] = []

    def measure(name: str) -> int:
        calls.append(name)
        return len(calls)

    measured = alternate([lambda: measure("a"), lambda: measure("b")], 3, said.append, "reading, ")
    assert calls == ["a", "b"] * 3 and measured == [[1, 3, 5], [2, 4, 6]]
    assert said == [f"reading, round {index} of 3" for index in (1, 2, 3)]
