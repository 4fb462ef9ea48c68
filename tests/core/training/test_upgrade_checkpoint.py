"""Checkpoints of the version before: their keys, and a run that goes on from one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import line_image

from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.training.checkpoint import load_checkpoint, save_checkpoint
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.record.events import StepDone
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.upgrade_checkpoint import FORMAT, upgrade_checkpoint

NEW_PROGRESS = (
    "language_model",
    *("best_step", "best_line_accuracy", "most_lines_right", "last_cer", "init_cer"),
    *("fitting_steps", "merge_after_steps"),
    *("left_out", "marks_of", "best_of_other_kind"),
)
"""Counters that the version before did not have."""

OLD_PROGRESS = {
    "init": "vi-small",
    "step": 12,
    "lines": 480,
    "minutes": 1.5,
    "best_cer": 0.25,
    "without_better": 2,
    "lowest": 0.125,
    "validations": 5,
    "full_step": 10,
    "validated_minutes": 1.25,
    "validation_line_s": 0.002,
    "skipped": 3,
    "bad_in_a_row": 1,
    "returns": 1,
    "rate_scale": 0.5,
    "plateau": 0.75,
    "plateau_waited": 4,
    "split": 2,
}
OLD_KEYS = {"ema": "average", "ema_steps": "average_steps", "source_positions": "places"}


def old_checkpoint() -> dict[str, Any]:
    """One of format 2, as two ranks saved it."""
    weights = {"head.weight": torch.ones(2, 3)}
    groups = [{"params": [0], "lr": 1e-3, "rate_share": 0.25, "muon": True, "weight_decay": 0.1}]
    rank = {"places": [[7, 1, 3, []]], "random": {"torch": torch.get_rng_state()}}
    return {
        "format": 2,
        "module": weights,
        "average": weights,
        "average_steps": 12,
        "optimizer": {"state": {0: {"momentum": torch.ones(2, 3)}}, "param_groups": groups},
        "scaler": {},
        "clipper": {"norms": [1.0, 2.0]},
        "strength": {"value": 0.5, "sum": 1.0, "batches": 2, "lowest": None},
        "progress": dict(OLD_PROGRESS),
        "charset": "abc",
        **rank,
        "other_ranks": [rank],
    }


def test_every_key_of_the_old_format_gets_its_new_name() -> None:
    old = old_checkpoint()
    new = upgrade_checkpoint(old)
    assert new["format"] == FORMAT == 3
    assert not {"average", "average_steps", "progress", "places"} & new.keys()
    assert new["ema"] is old["average"] and new["ema_steps"] == 12
    assert new["module"] is old["module"] and new["strength"] is old["strength"]
    (group,) = new["optimizer"]["param_groups"]
    assert group == {"params": [0], "lr": 1e-3, "lr_scale": 0.25, "muon": True, "weight_decay": 0.1}
    assert new["optimizer"]["state"] is old["optimizer"]["state"]
    assert new["source_positions"] == [[7, 1, 3, []]]
    assert [rank["source_positions"] for rank in new["other_ranks"]] == [[[7, 1, 3, []]]]
    assert new["other_ranks"][0]["random"] is old["other_ranks"][0]["random"]


def test_counters_of_the_old_format_are_those_of_the_loop() -> None:
    state = LoopState()
    state.load(upgrade_checkpoint(old_checkpoint())["loop_state"], [])
    assert state == LoopState(
        init="vi-small",
        step=12,
        lines=480,
        minutes=1.5,
        best_cer=0.25,
        evals_without_improvement=2,
        best_monitored=0.125,
        validations=5,
        last_full_validation_step=10,
        last_validation_minutes=1.25,
        validation_s_per_line=0.002,
        skipped_steps=3,
        consecutive_skips=1,
        rollbacks=1,
        lr_backoff=0.5,
        plateau_multiplier=0.75,
        plateau_bad_evals=4,
        micro_batches=2,
    )
    assert state.counters().keys() == LoopState().counters().keys()


def test_the_old_checkpoint_is_left_as_it_is_and_others_pass_through() -> None:
    old = old_checkpoint()
    keys, groups = list(old), copy.deepcopy(old["optimizer"]["param_groups"])
    upgrade_checkpoint(old)
    assert list(old) == keys and old["progress"] == OLD_PROGRESS
    assert old["optimizer"]["param_groups"] == groups and "places" in old["other_ranks"][0]
    for other in ({"format": 1, "progress": {}}, {"format": FORMAT, "loop_state": {}}, {"weight": 1}):
        assert upgrade_checkpoint(other) is other


def config_of(folder: Path, optimizer: str) -> Config:
    for number in range(8):
        line_image(number, 50 + 15 * (number % 4)).save(folder / f"{number}.png")
    rows = [f"{number}.png\t{'abcde'[: 1 + number % 5]}\n" for number in range(8)]
    (folder / "train.txt").write_text("".join(rows), encoding="utf-8")
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "data": {"train": [{"annotations": str(folder / "train.txt")}], "workers": 0},
        "batch": {"max_lines": 3},
        "optim": {"ema_decay": 0.9, "layer_decay": 0.8, "name": optimizer},
        "train": {"max_steps": 6, "log_every_steps": 1, "checkpoint_every_steps": 3},
        "precision": {"amp": "off"},
    }
    return parse_config(tree, "test")


def as_format_2(state: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint in the words of the version before."""
    names = dict(
        zip(
            (key for key in LoopState().counters() if key not in (*OLD_PROGRESS, *NEW_PROGRESS)),
            (key for key in OLD_PROGRESS if key not in LoopState().counters()),
            strict=True,
        )
    )
    old = {OLD_KEYS.get(key, key): value for key, value in state.items() if key != "loop_state"}
    groups = [
        {"rate_share" if key == "lr_scale" else key: value for key, value in group.items()}
        for group in state["optimizer"]["param_groups"]
    ]
    progress = {names.get(key, key): value for key, value in state["loop_state"].items()}
    optimizer = {**state["optimizer"], "param_groups": groups}
    return {**old, "format": 2, "progress": progress, "optimizer": optimizer}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_of_the_version_before_goes_on_bit_for_bit(tmp_path: Path, optimizer: str) -> None:
    config = config_of(tmp_path, optimizer)
    list(train(build_run(config, tmp_path / "straight", device="cpu")))
    for event in train(build_run(config, tmp_path / "cut", device="cpu")):
        if isinstance(event, StepDone) and event.step == 4:
            break
    last = tmp_path / "cut" / "checkpoints" / "last.pt"
    old = as_format_2(load_checkpoint(last))
    assert old["progress"]["step"] == 3 and old["optimizer"]["param_groups"][0]["rate_share"] < 1
    save_checkpoint(last, old)
    run = build_run(config, tmp_path / "cut", device="cpu")
    run.checkpoints.restore(run)
    list(train(run))
    straight, cut = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("straight", "cut")
    )
    assert cut["format"] == FORMAT and cut["loop_state"]["step"] == straight["loop_state"]["step"] == 6
    for part in ("module", "ema"):
        assert all(torch.equal(cut[part][key], value) for key, value in straight[part].items())
    assert cut["optimizer"]["param_groups"] == straight["optimizer"]["param_groups"]
