"""When runs are validated, and when they stop."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.config.tree import ValidateConfig, load_config, parse_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.record.events import Validated
from vocr_cli.core.training.validation.cadence import Cadence


def validated(step: int, cer: float, lines: int = 100, full: bool = True, **values: float) -> Validated:
    made = {"loss": 1.0, "seconds": 1.0, "best": False, "line_accuracy": 0.0, **values}
    return Validated(step, lines, cer=cer, samples=(), full=full, **made)


def looks(
    config: ValidateConfig, steps: int, step_s: float, line_s: float, full: int, quick: int
) -> tuple[LoopState, float]:
    """A run on a clock of its own that spends `line_s` on each line of a validation; and what it spent."""
    cadence, state = Cadence(config, full, quick), LoopState()
    spent = 0.0
    for step in range(1, steps + 1):
        state.add_step(lines=40, minutes=state.minutes + step_s / 60, positions={})
        if cadence.due(state):
            whole = cadence.full(state)
            lines = full if whole else quick
            spent += lines * line_s
            state.add_validation(validated(step, 0.5, lines, whole, seconds=lines * line_s), config)
    return state, spent


@given(
    st.floats(0.01, 0.5),
    st.floats(0.01, 3.0),
    st.integers(1, 5_000),
    st.integers(0, 500),
    st.integers(50, 1_000),
)
def test_validating_takes_no_more_than_its_share(
    share: float, step_s: float, full: int, quick: int, steps: int
) -> None:
    line_s = step_s / 120  # a third of what it costs to train on a line
    quick = quick if quick < full else 0
    ran, spent = looks(ValidateConfig(time_share=share), steps, step_s, line_s, full, quick)
    assert spent <= share * 60 * ran.minutes + 1e-6


def test_a_share_is_used_up_over_a_long_run() -> None:
    ran, spent = looks(ValidateConfig(), steps=10_000, step_s=1.0, line_s=0.002, full=2_000, quick=0)
    assert 0.04 < spent / (60 * ran.minutes) <= 0.05


def test_steps_alone_decide_where_steps_are_named() -> None:
    slow, fast = (
        looks(ValidateConfig(every_steps=7), 100, step_s=step_s, line_s=line_s, full=1_000, quick=0)
        for step_s, line_s in ((10.0, 1e-6), (1e-6, 10.0))
    )
    assert slow[0].validations == fast[0].validations == 14


def test_minutes_are_kept() -> None:
    ran, _ = looks(ValidateConfig(every_minutes=2), 610, step_s=1.0, line_s=1e-9, full=10, quick=0)
    assert ran.validations == 5


def test_every_nth_look_is_full() -> None:
    cadence = Cadence(ValidateConfig(every_steps=1, quick_lines=10, full_every=3), 100, 10)
    state = LoopState()
    kinds = []
    for step in range(6):
        kinds.append(cadence.full(state))
        state.add_validation(validated(step, 0.5, full=kinds[-1]), cadence.config)
    assert kinds == [False, False, True] * 2


def test_an_easy_subset_neither_sets_the_mark_nor_uses_up_patience() -> None:
    cadence, state = Cadence(ValidateConfig(patience=1, quick_lines=10), 100, 10), LoopState()
    state.add_validation(validated(1, 0.001, lines=10, full=False), cadence.config)
    assert math.isinf(state.best_monitored) and cadence.finished(state) is None
    state.add_validation(validated(2, 0.5), cadence.config)
    state.add_validation(validated(3, 0.9, lines=10, full=False), cadence.config)
    assert state.best_monitored == 0.5 and cadence.finished(state) is None


def test_a_gain_below_min_delta_is_none() -> None:
    cadence, state = Cadence(ValidateConfig(patience=2, min_delta=0.01), 100), LoopState()
    for step, cer in enumerate((0.500, 0.495, 0.491)):
        state.add_validation(validated(step, cer), cadence.config)
    assert "no better CER for 2" in str(cadence.finished(state))
    state.add_validation(validated(4, 0.48), cadence.config)
    assert cadence.finished(state) is None


def test_a_full_look_at_the_target_ends_the_run() -> None:
    cadence, state = Cadence(ValidateConfig(target_cer=0.02, quick_lines=10), 100, 10), LoopState()
    state.add_validation(validated(1, 0.01, lines=10, full=False), cadence.config)
    assert cadence.finished(state) is None
    state.add_validation(validated(2, 0.0201, best=True), cadence.config)
    assert cadence.finished(state) is None
    state.add_validation(validated(3, 0.02, best=True), cadence.config)
    assert "target of 2.00%" in str(cadence.finished(state))


def test_patience_can_go_by_the_loss() -> None:
    cadence, state = Cadence(ValidateConfig(patience=1, metric="loss"), 100), LoopState()
    state.add_validation(validated(1, 0.5, loss=2.0), cadence.config)
    state.add_validation(validated(2, 0.1, loss=math.inf), cadence.config)
    assert "no better loss" in str(cadence.finished(state))


def test_line_accuracy_chooses_the_best_model_and_ends_patience_and_the_target_stays_a_cer() -> None:
    cadence, state = (
        Cadence(ValidateConfig(patience=1, metric="line_accuracy", target_cer=0.05), 100),
        LoopState(),
    )
    scores = [(0.10, 0.80), (0.16, 0.90), (0.15, 0.90), (0.06, 0.89)]  # a few lines without end, most right
    kept = []
    for step, (cer, line_accuracy) in enumerate(scores, start=1):
        best = state.is_best(cer, line_accuracy, cadence.config)
        state.add_validation(validated(step, cer, best=best, line_accuracy=line_accuracy), cadence.config)
        kept.append(state.best_step)
    assert kept == [1, 2, 3, 3]
    assert (state.best_cer, state.best_line_accuracy) == (0.15, 0.90)
    assert "no better line accuracy for 2" in str(cadence.finished(state))
    state.add_validation(validated(5, 0.05, line_accuracy=0.5), cadence.config)
    assert "target of 5.00%" in str(cadence.finished(state))


def test_the_lowest_cer_is_best_whatever_patience_goes_by() -> None:
    for metric in ("cer", "loss"):
        state, config = LoopState(), ValidateConfig(metric=metric)
        assert state.is_best(0.10, 0.8, config)
        state.add_validation(validated(1, 0.10, best=True, line_accuracy=0.8), config)
        assert not state.is_best(0.16, 0.9, config) and state.is_best(0.09, 0.7, config)


def test_a_set_that_cannot_be_read_says_nothing_about_the_model() -> None:
    cadence, state = Cadence(ValidateConfig(patience=1), 100), LoopState()
    state.add_validation(validated(1, 1.0, lines=0, loss=math.inf), cadence.config)
    assert cadence.finished(state) is None


def test_two_rhythms_are_refused_and_one_can_be_set_over_another(tmp_path) -> None:
    with pytest.raises(ConfigError, match="choose one of"):
        parse_config({"validate": {"every_steps": 500, "time_share": 0.1}}, "test")
    file = tmp_path / "config.yaml"
    file.write_text("validate: {every_steps: 500}\n", encoding="utf-8")
    config = load_config(file, ("validate.every_steps=null", "validate.time_share=0.1"))
    assert config.validate_.time_share == 0.1
