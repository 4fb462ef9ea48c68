"""Strength that follows the gap between training and validation, on made-up histories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.config.tree import AugmentConfig, parse_config
from vocr_cli.core.training.augment.strength import AdaptiveStrength, smoothed_floor, strength_of_run
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import StepDone
from vocr_cli.core.training.run import build_run


def told(strength: AdaptiveStrength, history: Iterable[tuple[float, float]], steps: int = 60) -> list[float]:
    """The strength after each of some (training loss, validation loss)."""
    values = []
    for training, validation in history:
        for _ in range(steps):
            strength.trained(training)
        strength.validated(validation)
        values.append(strength.value)
    return values


def test_it_rises_while_lines_are_learnt_by_heart() -> None:
    values = told(AdaptiveStrength(AugmentConfig()), [(0.5 / n, 0.5) for n in range(2, 12)])
    assert values == sorted(values) and values[0] == 0.6 and values[-1] == 1.0


def test_it_falls_when_the_model_cannot_fit() -> None:
    values = told(AdaptiveStrength(AugmentConfig()), [(1.0, 0.8)] * 20)
    assert values == sorted(values, reverse=True) and values[0] == 0.5 and values[-1] == 0.1


def test_it_stays_while_training_learns_and_keeps_up() -> None:
    history = [(2.0 * 0.9**n, 1.9 * 0.9**n) for n in range(20)] + [(0.3, 0.33)] * 5
    assert set(told(AdaptiveStrength(AugmentConfig()), history)) == {0.5}


def test_it_does_not_swing_where_the_loss_answers_to_it() -> None:
    """Training's loss grows with the strength, as it does in a run: the rule must come to rest."""
    strength, values = AdaptiveStrength(AugmentConfig()), []
    for _ in range(30):
        values += told(strength, [(0.2 + 0.3 * strength.value, 0.5)])
    assert len(set(values[10:])) == 1


def test_tiny_losses_and_short_windows_move_nothing() -> None:
    assert told(AdaptiveStrength(AugmentConfig()), [(0.001, 0.005)] * 5) == [0.5] * 5
    short = AdaptiveStrength(AugmentConfig())
    assert told(short, [(0.1, 0.5)], steps=49) == [0.5]
    assert told(short, [(0.1, 0.5)], steps=1) == [0.6]  # what was heard before counts


def test_losses_that_are_not_finite_count_for_nothing() -> None:
    strength = AdaptiveStrength(AugmentConfig())
    strength.trained(float("nan"))
    strength.trained(float("inf"))
    assert told(strength, [(0.1, float("inf")), (0.1, float("nan")), (0.1, 0.5)]) == [0.5, 0.5, 0.6]


def test_off_and_fixed_stay_as_they_are() -> None:
    wide = [(0.1, 1.0)] * 3
    assert told(AdaptiveStrength(AugmentConfig(strength=0)), wide) == [0, 0, 0]
    assert told(AdaptiveStrength(AugmentConfig(adaptive=False)), wide) == [0.5] * 3
    assert told(AdaptiveStrength(AugmentConfig(), able=False), wide) == [0.5] * 3


def test_a_start_outside_of_the_bounds_is_where_it_may_return_to() -> None:
    strength = AdaptiveStrength(AugmentConfig(strength=0.05, max_strength=0.2))
    assert told(strength, [(0.1, 1.0)] * 3) == [0.15, 0.2, 0.2]
    assert min(told(strength, [(1.0, 0.5)] * 8)) == 0.05


def test_smoothed_labels_do_not_hide_the_gap() -> None:
    config = parse_config(
        {"model": {"family": "vietocr"}, "data": {"train": [{"lmdb": "a"}], "valid": ["b"]}}, "test"
    )
    strength = strength_of_run(config, True, 229)
    floor = smoothed_floor(0.1, 231)
    assert 0.8 < floor < 0.9
    assert told(strength, [(floor + 0.05, floor + 0.2)]) == [0.6]
    alone = config.model_copy(update={"data": config.data.model_copy(update={"valid": ()})})
    assert not strength_of_run(alone, True, 229).moves and not strength_of_run(config, False, 229).moves


HISTORIES = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=12)


@given(HISTORIES, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_it_never_leaves_its_bounds(
    history: list[tuple[float, float]], start: float, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    config = AugmentConfig(strength=start, min_strength=low, max_strength=high)
    for value in told(AdaptiveStrength(config), history, steps=50):
        assert min(low, start) <= value <= max(high, start)


@given(HISTORIES, st.integers(0, 12))
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(history: list[tuple[float, float]], cut: int) -> None:
    whole = AdaptiveStrength(AugmentConfig())
    expected = told(whole, history, steps=50)
    first, second = AdaptiveStrength(AugmentConfig()), AdaptiveStrength(AugmentConfig())
    before = told(first, history[:cut], steps=50)
    second.load_state_dict(first.state_dict())
    assert before + told(second, history[cut:], steps=50) == expected
    assert second.state_dict() == whole.state_dict()


LINES = Path(__file__).parents[3] / "examples" / "lines" / "labels.tsv"


def test_a_run_shows_its_strength_and_keeps_it_in_the_checkpoint(tmp_path: Path) -> None:
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "data": {"train": [{"annotations": str(LINES)}], "valid": [str(LINES)], "workers": 0},
        "batch": {"pixels": 40_000},
        "train": {"max_steps": 2, "log_every_steps": 1},
        "validate": {"every_steps": 2, "max_lines": 4},
        "precision": {"amp": "off"},
    }
    config = parse_config(tree, "test")
    run = build_run(config, tmp_path, device="cpu")
    strength = run.augmentation.strength
    strength.load_state_dict({**strength.state_dict(), "value": 0.7})
    shown = [event.strength for event in train(run) if isinstance(event, StepDone)]
    assert shown == [0.7, 0.7]
    again = build_run(config, tmp_path, device="cpu")
    again.checkpoints.restore(again)
    resumed = again.augmentation.strength
    assert resumed.state_dict() == strength.state_dict()
    assert resumed.value == 0.7 and resumed.state_dict()["batches"] == 2
