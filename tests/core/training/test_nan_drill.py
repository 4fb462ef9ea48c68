"""The NaN drill: whatever is poisoned, a run goes on, or stops with the reason and its last good model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import line_png
from torch import Tensor, nn
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import parse_config
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import DataError
from vocr_cli.core.models.files import load_model
from vocr_cli.core.training.checkpoint import load_checkpoint
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import Event, RolledBack, Skipped, StepDone, Stopped, Validated
from vocr_cli.core.training.run import Run, build_run
from vocr_cli.core.training.step.objective import Objective
from vocr_cli.core.training.step.step import TrainStep

TINY = {
    "channels": [8, 8, 8],
    "blocks": [0, 0, 0],
    "hidden": 16,
    "column_blocks": 1,
    "heads": 2,
    "dropout": 0,
}
LINES = 6
runner = CliRunner()


def written(path: Path, image: Callable[[int], bytes], label: str = "abc") -> Path:
    with LineWriter(path) as writer:
        for number in range(LINES):
            writer.add(StoredLine(image(number), label, f"{number}.png"), 60, 30)
    return path


def png(number: int) -> bytes:
    return line_png(number, 60)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return written(tmp_path / "good.lmdb", png)


def tree_of(lines: Path, valid_lines: Path, **sections: object) -> dict[str, object]:
    return {
        "model": TINY,
        "charset": {"characters": "abcd "},
        "data": {"train": [{"lmdb": str(lines)}], "valid": [str(valid_lines)], "workers": 0},
        "augment": {"strength": 0},
        "batch": {"max_lines": 2},
        "schedule": {"name": "constant", "warmup_steps": 0},
        "train": {"max_steps": 8, "log_every_steps": 1},
        "validate": {"every_steps": 4},
        "precision": {"amp": "off"},
        **sections,
    }


def run_of(folder: Path, lines: Path, **sections: object) -> Run:
    return build_run(parse_config(tree_of(lines, lines, **sections), "test"), folder / "run", device="cpu")


class Poisoned:
    """An objective whose loss is NaN whenever `poison` says so of a call's number, from 1 on."""

    def __init__(self, inner: Objective, poison: Callable[[int], bool]) -> None:
        self.inner, self.poison, self.calls = inner, poison, 0
        self.batch_evaluator, self.count = inner.batch_evaluator, inner.count

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        self.calls += 1
        total, parts = self.inner.loss(module, images, batch)
        return total * (math.nan if self.poison(self.calls) else 1.0), parts


def poisoned(run: Run, when: Callable[[int], bool]) -> Run:
    objective = Poisoned(run.objective, when)
    return replace(run, train_step=TrainStep(run.train_state, objective, run.augmentation))


def of(kind: type, events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def stop_of(events: list[Event]) -> Stopped:
    assert isinstance(events[-1], Stopped)
    return events[-1]


def assert_good_model(run: Run) -> None:
    model = load_model(run.checkpoints.best_path)
    assert all(value.isfinite().all() for value in model.module.state_dict().values())
    state = load_checkpoint(run.checkpoints.last_path)
    assert all(value.isfinite().all() for value in state["module"].values())


def test_one_poisoned_batch_costs_one_step_and_its_lines_are_named(tmp_path: Path, good: Path) -> None:
    run = poisoned(run_of(tmp_path, good), lambda call: call == 3)
    events = list(train(run))
    (skipped,) = of(Skipped, events)
    assert isinstance(skipped, Skipped) and (skipped.step, skipped.reason) == (3, "loss not finite")
    assert len(skipped.lines) == 2 and all(str(good) in name for name in skipped.lines)
    assert stop_of(events).reason == "8 steps done" and run.state.skipped_steps == 1
    assert all(math.isfinite(event.loss) for event in of(Validated, events))  # type: ignore[union-attr]
    assert_good_model(run)


def test_a_poisoned_image_does_not_spoil_the_statistics(tmp_path: Path, good: Path) -> None:
    run, calls = run_of(tmp_path, good), iter(range(100))

    def augmentation(batch: Batch) -> Tensor:
        return run.augmentation(batch) * (math.nan if next(calls) == 2 else 1.0)

    run = replace(run, train_step=TrainStep(run.train_state, run.objective, augmentation))
    events = list(train(run))
    assert len(of(Skipped, events)) == 1
    assert all(math.isfinite(event.loss) for event in of(Validated, events))  # type: ignore[union-attr]
    assert_good_model(run)


def test_trouble_that_a_lower_rate_cures_sends_the_run_back_and_on(tmp_path: Path, good: Path) -> None:
    whole = run_of(tmp_path, good, optim={"lr": 1e-2, "non_finite_limit": 2})
    start = {key: value.clone() for key, value in whole.module.state_dict().items()}
    optimizer = whole.train_state.optimizer
    run = poisoned(whole, lambda call: call > 1 and optimizer.param_groups[0]["lr"] > 0.3e-2)
    events, returned = [], None
    for event in train(run):
        events.append(event)
        if isinstance(event, RolledBack):
            returned = {key: value.clone() for key, value in run.module.state_dict().items()}
    assert returned is not None and all(torch.equal(value, start[key]) for key, value in returned.items())
    backs = of(RolledBack, events)
    assert backs == [RolledBack(3, 0, 0.5e-2), RolledBack(5, 0, 0.25e-2)]
    assert stop_of(events).reason == "8 steps done" and not stop_of(events).resumable
    (*_, last) = of(StepDone, events)
    assert isinstance(last, StepDone) and last.learning_rate == 0.25e-2
    state = load_checkpoint(run.checkpoints.last_path)["loop_state"]
    assert (state["lr_backoff"], state["rollbacks"], state["skipped_steps"]) == (0.25, 2, 4)
    assert_good_model(run)


def test_trouble_without_end_stops_with_reason_remedy_and_the_last_good_model(
    tmp_path: Path, good: Path
) -> None:
    whole = run_of(tmp_path, good, optim={"non_finite_limit": 2}, train={"max_steps": 500})
    run = poisoned(whole, lambda call: call > 5)
    events = list(train(run))
    stopped = stop_of(events)
    assert stopped.step == 5 + 5 * 2 and "not finite" in stopped.reason and "optim.lr" in stopped.reason
    assert len(of(RolledBack, events)) == 5
    assert_good_model(run)


@pytest.mark.parametrize("rate", [1e6, 1e35])
def test_an_exploding_rate_leaves_a_finite_model(tmp_path: Path, good: Path, rate: float) -> None:
    optim = {"lr": rate, "clip": "off", "ema_decay": 0, "non_finite_limit": 2}
    run = run_of(tmp_path, good, optim=optim, train={"max_steps": 60, "log_every_steps": 1})
    events = list(train(run))
    stopped = stop_of(events)
    assert stopped.reason == "60 steps done" or "optim.lr" in stopped.reason
    assert of(RolledBack, events)
    for event in of(Validated, events):
        assert isinstance(event, Validated) and not math.isnan(event.loss) and math.isfinite(event.cer)
    assert_good_model(run)


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [(lambda number: b"not an image", "abc", "bad.lmdb"), (png, "ß", "U+00DF")],
    ids=["unreadable images", "unusable labels"],
)
def test_an_all_bad_validation_set_is_named_before_training(
    tmp_path: Path, good: Path, image: Callable[[int], bytes], label: str, words: str
) -> None:
    bad = written(tmp_path / "bad.lmdb", image, label)
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(tree_of(good, bad)), encoding="utf-8")
    result = runner.invoke(app, ["train", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"])
    assert result.exit_code == 1 and isinstance(result.exception, DataError)
    assert words in str(result.exception) and result.exception.fix
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_empty_validation_set_is_named_before_training(tmp_path: Path, good: Path) -> None:
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    config = tmp_path / "config.yaml"
    tree = tree_of(good, tmp_path / "empty.txt")
    config.write_text(json.dumps(tree), encoding="utf-8")
    result = runner.invoke(app, ["train", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"])
    assert result.exit_code == 1 and isinstance(result.exception, DataError)
    assert "empty.txt" in str(result.exception) and result.exception.fix
