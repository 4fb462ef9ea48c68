"""How far confidences can be believed, and the map that makes them so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.evaluation.calibration import ConfidenceMap, fit_confidence_map, measure_reliability

factors = st.floats(0, 20)
maps = st.builds(ConfidenceMap, factors, factors, st.floats(-20, 20))


@given(maps, st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_no_map_falls_or_leaves_0_to_1(confidence_map: ConfidenceMap, probabilities: list[float]) -> None:
    mapped = [confidence_map(probability) for probability in sorted(probabilities)]
    assert mapped == sorted(mapped)
    assert all(0 <= confidence <= 1 for confidence in mapped)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_whatever_the_lines_a_map_is_fitted_that_does_not_fall(lines: list[tuple[float, bool]]) -> None:
    fitted = fit_confidence_map(*zip(*lines, strict=True))
    mapped = [fitted(step / 20) for step in range(21)]
    assert mapped == sorted(mapped)


@given(st.floats(0.001, 0.999))
def test_the_map_of_ones_changes_nothing(probability: float) -> None:
    assert ConfidenceMap(1, 1, 0)(probability) == pytest.approx(probability, rel=1e-9)


@pytest.mark.parametrize("values", [(-0.1, 1, 0), (1, -2, 0), (1, 1, math.inf), (math.nan, 1, 0)])
def test_a_map_that_falls_or_is_no_number_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="maps no confidence"):
        ConfidenceMap(*values)


def test_a_map_is_found_again_from_the_lines_that_it_gave() -> None:
    dice = np.random.default_rng(0)
    true = ConfidenceMap(2.0, 0.5, 0.7)
    probabilities = dice.random(40_000)
    right = dice.random(40_000) < [true(probability) for probability in probabilities]
    fitted = fit_confidence_map(probabilities.tolist(), right.tolist())
    assert (fitted.of_right, fitted.of_wrong, fitted.offset) == pytest.approx((2.0, 0.5, 0.7), abs=0.1)


def test_lines_that_a_threshold_parts_have_a_finite_map() -> None:
    fitted = fit_confidence_map([0.2] * 50 + [0.8] * 50, [False] * 50 + [True] * 50)
    assert fitted(0.2) < 0.05 and fitted(0.8) > 0.95


def test_the_error_of_confidences_that_are_right_goes_to_nothing_with_the_lines() -> None:
    dice = np.random.default_rng(1)
    errors = []
    for lines in (100, 10_000, 1_000_000):
        confidences = dice.random(lines)
        reliability = measure_reliability(confidences.tolist(), (dice.random(lines) < confidences).tolist())
        assert reliability.error == pytest.approx(reliability.chance, rel=1, abs=1e-4)
        errors.append(reliability.error)
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.002


def test_the_error_is_the_distance_between_what_is_said_and_what_is_so() -> None:
    reliability = measure_reliability([0.95] * 80 + [0.25] * 20, [True] * 72 + [False] * 8 + [True] * 20)
    assert reliability.error == pytest.approx(0.8 * 0.05 + 0.2 * 0.75)
    assert reliability.low <= reliability.error <= reliability.high
    assert [(each.lines, round(each.right, 3)) for each in reliability.bins] == [(20, 1.0), (80, 0.9)]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_every_line_is_in_one_bin_and_errors_are_within_bounds(lines: list[tuple[float, bool]]) -> None:
    reliability = measure_reliability(*zip(*lines, strict=True), resamples=50)
    assert sum(each.lines for each in reliability.bins) == reliability.lines == len(lines)
    assert 0 <= reliability.low <= reliability.error <= reliability.high <= 1


def test_no_line_and_a_verdict_too_few_are_refused() -> None:
    for arguments in (([], []), ([0.5, 0.6], [True])):
        with pytest.raises(ValueError):
            measure_reliability(*arguments)
        with pytest.raises(ValueError):
            fit_confidence_map(*arguments)
