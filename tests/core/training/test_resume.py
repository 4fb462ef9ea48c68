"""A run that was cut off goes on as if it had not been: bit for bit, from whatever checkpoint is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FONTS, assert_same, write_annotations

from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.errors import ModelError
from vocr_cli.core.training.checkpoint import load_checkpoint, save_checkpoint
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.event_log import recorded
from vocr_cli.core.training.record.events import Started, StepDone
from vocr_cli.core.training.run import Run, build_run

CLOCK = {"minutes", "last_validation_minutes", "validation_s_per_line"}


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ["abcde"[: 1 + number % 5] for number in range(14)]
    return write_annotations(tmp_path_factory.mktemp("lines"), labels, range(50, 110, 15))


def config_of(annotations: Path, sources: tuple[str, ...] = ("stored",), **sections: Any) -> Config:
    known = {
        "stored": {"annotations": str(annotations)},
        "rendered": {"synth": {"fonts": [str(FONTS)], "strength": 0}},
    }
    limits = {"max_steps": 8, "log_every_steps": 1, "checkpoint_every_steps": 3}
    tree = {
        "model": {
            "channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.1,
        },
        "data": {"train": [known[kind] for kind in sources], "valid": [str(annotations)], "workers": 0},
        "batch": {"pixels": 20_000, "max_lines": 3},
        "augment": {"strength": 0.5},
        "schedule": {"warmup_steps": 2},
        "optim": {"ema_decay": 0.9},
        "validate": {"every_steps": 2, "patience": 99},
        "precision": {"amp": "off"},
        **sections,
        "train": {**limits, **sections.get("train", {})},
    }  # fmt: skip
    return parse_config(tree, "test")


def resumed(config: Config, folder: Path) -> Run:
    run = build_run(config, folder, device="cpu")
    if note := run.checkpoints.restore(run):
        run.notes.append(note)
    return run


def run_until(run: Run, step: int | None) -> None:
    """Records events as the command does; after that step, leaves the run as a kill would."""
    events = recorded(train(run), run.folder / "events.jsonl")
    for event in events:
        if isinstance(event, StepDone) and event.step == step:
            break


@pytest.mark.parametrize(
    ("sources", "workers", "optimizer"),
    [
        (("stored",), 0, "adamw"),
        (("stored",), 0, "muon"),
        (("stored",), 2, "muon"),
        (("rendered",), 0, "adamw"),
        (("stored", "rendered"), 2, "adamw"),
    ],
)
def test_a_resumed_run_ends_like_one_that_was_not_cut_off(
    tmp_path: Path, annotations: Path, sources: tuple[str, ...], workers: int, optimizer: str
) -> None:
    config = config_of(annotations, sources, optim={"ema_decay": 0.9, "name": optimizer})
    run_until(build_run(config, tmp_path / "straight", device="cpu"), None)
    config = config.model_copy(update={"data": config.data.model_copy(update={"workers": workers})})
    run_until(build_run(config, tmp_path / "cut", device="cpu"), 5)
    torch.manual_seed(99)
    again = resumed(config, tmp_path / "cut")
    assert again.state.step == 3
    run_until(again, None)
    straight, cut = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("straight", "cut")
    )
    assert straight["loop_state"]["step"] == 8
    assert_same(straight, cut, but=CLOCK)


@pytest.mark.parametrize("told_of_saving", [True, False])
def test_curves_of_a_resumed_run_tell_every_step_once(
    tmp_path: Path, annotations: Path, told_of_saving: bool
) -> None:
    config = config_of(annotations)
    run_until(build_run(config, tmp_path, device="cpu"), 5)
    if not told_of_saving:  # as when it is killed right behind its checkpoint
        whole = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in whole if "last.pt" not in line]
        (tmp_path / "events.jsonl").write_text("".join(kept), encoding="utf-8")
    with open(tmp_path / "events.jsonl", "a", encoding="utf-8") as file:
        file.write('{"event": "StepDo')  # half written when the run was killed
    again = resumed(config, tmp_path)
    run_until(again, None)
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["step"] for event in told if event["event"] == "StepDone"] == list(range(1, 9))
    assert [event["step"] for event in told if event["event"] == "Validated"] == [2, 4, 6, 8]
    assert [event["step"] for event in told if event["event"] == "Started"] == [0, 3]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, annotations: Path) -> None:
    config = config_of(annotations, train={"keep_checkpoints": 3, "checkpoint_every_steps": 2})
    run_until(build_run(config, tmp_path, device="cpu"), None)
    folder = tmp_path / "checkpoints"
    assert {path.name for path in folder.glob("*.pt")} == {"last.pt", "step-00000004.pt", "step-00000006.pt"}
    whole = load_checkpoint(folder / "last.pt")
    with open(folder / "last.pt", "r+b") as file:
        file.truncate(1_000)
    again = resumed(config, tmp_path)
    assert again.state.step == 6
    started = next(event for event in train(again) if isinstance(event, Started))
    assert any("step-00000006.pt" in note and "damaged" in note for note in started.notes)
    again = resumed(config, tmp_path)
    run_until(again, None)
    assert_same(whole, load_checkpoint(folder / "last.pt"), but=CLOCK)
    assert {path.name for path in folder.glob("*.pt")} >= {"last.pt", "step-00000006.pt"}


def test_one_checkpoint_is_kept_by_default(tmp_path: Path, annotations: Path) -> None:
    run_until(build_run(config_of(annotations), tmp_path, device="cpu"), None)
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.pt*")] == ["last.pt"]


def test_a_checkpoint_of_another_version_is_refused_not_passed_over(
    tmp_path: Path, annotations: Path
) -> None:
    run = build_run(config_of(annotations), tmp_path, device="cpu")
    path = run.checkpoints.save(run).path
    save_checkpoint(path, {**load_checkpoint(path), "format": 1})
    with pytest.raises(ModelError, match="another version") as refused:
        run.checkpoints.restore(run)
    assert "--init" in refused.value.fix


def test_numbers_too_small_to_be_normal_are_zero_unless_told_otherwise(
    tmp_path: Path, annotations: Path
) -> None:
    for flushed in (True, False):
        precision = {"amp": "off", "flush_denormals": flushed}
        build_run(config_of(annotations, precision=precision), tmp_path / str(flushed), device="cpu")
        small = torch.full((4,), 1e-38) * 0.01
        assert bool((small == 0).all()) is flushed
