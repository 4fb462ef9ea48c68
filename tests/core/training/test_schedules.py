"""The learning rate over a run, by what every schedule must keep."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.config.tree import ScheduleConfig, parse_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.optim.schedule import check_schedule, lr_multiplier

NAMES = ["cosine", "onecycle", "wsd", "plateau", "constant"]
STEPS = 10_000


def schedule(**values: object) -> ScheduleConfig:
    return ScheduleConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["sqrt", "linear"])
def test_no_schedule_jumps_or_leaves_its_bounds(name: str, shape: str) -> None:
    config = schedule(name=name, decay_shape=shape, final_lr_share=0.01)
    rates = [lr_multiplier(config, step, step / STEPS) for step in range(STEPS + 1)]
    largest = max(abs(right - left) for left, right in pairwise(rates))
    steepest = 1 / math.sqrt(config.decay_share * STEPS)  # the root's first step
    assert largest <= steepest + 1e-9 and 0 < min(rates) and max(rates) <= 1
    assert max(rates) == pytest.approx(1, abs=1e-2)


@given(
    st.sampled_from(["cosine", "onecycle", "wsd"]),
    st.floats(0, 1),
    st.floats(0.05, 1),
    st.sampled_from(["sqrt", "linear"]),
)
def test_a_decaying_schedule_ends_at_its_final_share(
    name: str, final: float, decay_share: float, shape: str
) -> None:
    config = schedule(name=name, final_lr_share=final, decay_share=decay_share, decay_shape=shape)
    assert lr_multiplier(config, STEPS, 1.0) == pytest.approx(final, abs=1e-9)


@pytest.mark.parametrize("name", ["wsd", "plateau", "constant"])
def test_warm_up_rises_at_every_step_and_then_stays(name: str) -> None:
    config = schedule(name=name, warmup_steps=300)
    rates = [lr_multiplier(config, step, step / STEPS) for step in range(600)]
    assert all(left < right for left, right in pairwise(rates[:301]))
    assert set(rates[300:]) == {1.0}


def test_wsd_decays_only_at_the_end_and_never_rises() -> None:
    config = schedule(name="wsd", warmup_steps=0, decay_share=0.25, final_lr_share=0)
    rates = [lr_multiplier(config, step, step / 100) for step in range(101)]
    assert set(rates[:76]) == {1.0}
    assert all(left > right for left, right in pairwise(rates[75:]))
    assert rates[81] == pytest.approx(1 - math.sqrt(6 / 25))


def test_a_plateau_lowers_the_rate_after_its_patience_and_not_below_the_final_share() -> None:
    config = schedule(
        name="plateau", warmup_steps=0, plateau_patience=2, plateau_factor=0.5, final_lr_share=0.2
    )
    state = LoopState()
    multipliers = []
    for better in [True, False, True, False, False, False, False, False, False]:
        state.update_plateau(config, better)
        multipliers.append(lr_multiplier(config, 10, 0.5, state.plateau_multiplier))
    assert multipliers == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2]


def test_other_schedules_do_not_go_by_validations() -> None:
    config, state = schedule(plateau_patience=1), LoopState()
    state.update_plateau(config, False)
    assert state.plateau_multiplier == 1


def test_a_plateau_without_validation_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.valid"):
        check_schedule(parse_config({"schedule": {"name": "plateau"}}, "test"))
