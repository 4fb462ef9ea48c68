"""vocr train, on a tiny model and a few rendered lines."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import FONTS, write_config
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.config.tree import load_config
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.errors import ConfigError, DataError, ModelError
from vocr_cli.core.models.files import load_model
from vocr_cli.core.training.checkpoint import load_checkpoint
from vocr_cli.core.training.loop import train as train_run
from vocr_cli.core.training.run import build_run

TINY = {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.0}
runner = CliRunner()


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty rendered lines."""
    out = tmp_path_factory.mktemp("lines") / "lines.lmdb"
    arguments = ["synth", str(out), "--fonts", str(FONTS), "-n", "30", "--workers", "1", "--strength", "0.3"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out


def config_file(folder: Path, lines: Path, **sections: object) -> Path:
    tree = {
        "model": TINY,
        "data": {"train": [{"lmdb": str(lines)}], "valid": [str(lines)], "workers": 0},
        "batch": {"pixels": 60_000},
        "schedule": {"warmup_steps": 2},
        "train": {"max_steps": 6, "log_every_steps": 2},
        "validate": {"every_steps": 3},
        "precision": {"amp": "off"},
        **sections,
    }
    return write_config(folder, tree)


def train(config: Path, out: Path, *more: str) -> Result:
    return runner.invoke(app, ["train", str(config), "--out", str(out), "--device", "cpu", *more])


def events(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_leaves_config_events_checkpoint_and_model(tmp_path: Path, lines: Path) -> None:
    result = train(config_file(tmp_path, lines), tmp_path / "run")
    assert result.exit_code == 0, result.output
    names = [event["event"] for event in events(tmp_path / "run")]
    assert names[0] == "Started" and names[-1] == "Stopped"
    assert {"StepDone", "Validated", "Saved"} <= set(names)
    validated = [event for event in events(tmp_path / "run") if event["event"] == "Validated"]
    assert all(event["lines"] == 30 and math.isfinite(float(str(event["loss"]))) for event in validated)
    assert load_config(tmp_path / "run" / "config.yaml").train.max_steps == 6
    model = load_model(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert model.provenance["steps"] in (3, 6) and model.scores["valid_lines"] == 30


def test_training_lowers_the_loss(tmp_path: Path, lines: Path) -> None:
    config = config_file(tmp_path, lines, train={"max_steps": 60, "log_every_steps": 20}, data={
        "train": [{"lmdb": str(lines)}], "workers": 0}, optim={"lr": 3e-3})  # fmt: skip
    assert train(config, tmp_path / "run").exit_code == 0
    losses = [float(str(event["loss"])) for event in events(tmp_path / "run") if event["event"] == "StepDone"]
    assert losses[-1] < 0.75 * losses[0]


def test_set_is_stronger_than_an_option_and_that_than_the_file(tmp_path: Path, lines: Path) -> None:
    config = config_file(tmp_path, lines)  # six steps
    assert train(config, tmp_path / "run", "--max-steps", "2").exit_code == 0
    assert load_config(tmp_path / "run" / "config.yaml").train.max_steps == 2
    given = ("--max-steps", "2", "--set", "train.max_steps=1")
    assert train(config, tmp_path / "set", *given).exit_code == 0
    assert load_config(tmp_path / "set" / "config.yaml").train.max_steps == 1


def test_a_resumed_run_goes_on_from_its_step(tmp_path: Path, lines: Path) -> None:
    config = config_file(tmp_path, lines)
    assert train(config, tmp_path / "run", "--max-steps", "3").exit_code == 0
    refused = train(config, tmp_path / "run")
    assert isinstance(refused.exception, ConfigError) and "--resume" in refused.exception.fix
    result = train(config, tmp_path / "run", "--resume")
    assert result.exit_code == 0, result.output
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert state["loop_state"]["step"] == 6
    starts = [event["step"] for event in events(tmp_path / "run") if event["event"] == "Started"]
    assert starts == [0, 3]


def test_a_resumed_run_still_tells_what_it_started_from(tmp_path: Path, lines: Path) -> None:
    # Without validation, the last step's model is kept.
    config = config_file(tmp_path, lines, data={"train": [{"lmdb": str(lines)}], "workers": 0})
    assert train(config, tmp_path / "old", "--max-steps", "1").exit_code == 0
    start = tmp_path / "old" / "checkpoints" / "best.safetensors"
    assert train(config, tmp_path / "run", "--init", str(start), "--max-steps", "1").exit_code == 0
    assert train(config, tmp_path / "run", "--resume", "--max-steps", "2").exit_code == 0
    model = load_model(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert (model.provenance["init"], model.provenance["steps"]) == ("best.safetensors", 2)


def test_rendered_lines_can_be_trained_on_beside_stored_ones(tmp_path: Path, lines: Path) -> None:
    data = {
        "train": [{"lmdb": str(lines), "weight": 1}, {"synth": {"fonts": [str(FONTS)]}, "weight": 2}],
        "workers": 2,
    }
    result = train(config_file(tmp_path, lines, data=data), tmp_path / "run")
    assert result.exit_code == 0, result.output
    positions = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["source_positions"]
    taken = [position[0] for position in positions]
    assert sum(taken) == 6 and min(taken) >= 2  # weights count lines, and batches of either hold others


def test_a_stop_saves_and_says_interrupted(tmp_path: Path, lines: Path) -> None:
    run = build_run(load_config(config_file(tmp_path, lines)), tmp_path / "run", device="cpu")
    stopped = list(train_run(run, stop=lambda: run.state.step >= 2))[-1]
    assert stopped.step == 2 and stopped.resumable and stopped.reason == "interrupted"  # type: ignore[union-attr]
    assert run.checkpoints.last_path.exists()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups")
def test_a_signal_to_the_whole_group_saves_though_workers_read_ahead(tmp_path: Path, lines: Path) -> None:
    endless = {"max_steps": 1_000_000, "log_every_steps": 1}
    rendered = {
        "train": [{"synth": {"fonts": [str(FONTS)]}}],
        "workers": 1,
    }  # so that the trainer waits for it
    config = config_file(tmp_path, lines, train=endless, data=rendered, validate={})
    command = [sys.executable, "-m", "vocr_cli", "train", str(config), "--out", str(tmp_path / "run")]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    seen = tmp_path / "run" / "events.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (seen.exists() and "StepDone" in seen.read_text("utf-8")):
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGTERM)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and "--resume" in errors, errors
    last = events(tmp_path / "run")[-1]
    assert last["reason"] == "interrupted" and last["resumable"]
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["loop_state"]["step"] == last["step"]


def test_trouble_without_end_is_a_failure(tmp_path: Path, lines: Path) -> None:
    optim = {"lr": 1e35, "clip": "off", "ema_decay": 0, "non_finite_limit": 1}
    config = config_file(tmp_path, lines, optim=optim, train={"max_steps": 60})
    result = train(config, tmp_path / "run")
    assert result.exit_code == 1 and "optim.lr" in result.output, result.output
    assert events(tmp_path / "run")[-1]["resumable"]


def test_a_step_that_is_not_finite_leaves_the_weights_alone(tmp_path: Path, lines: Path) -> None:
    run = build_run(load_config(config_file(tmp_path, lines)), tmp_path / "run", device="cpu")
    batch = next(run.batches())
    run.train_step([batch], 1e-3)
    before = {key: value.clone() for key, value in run.module.named_parameters()}
    with torch.no_grad():
        run.module.head.bias[0] = float("nan")
    assert not run.train_step([batch], 1e-3).finite
    for key, value in run.module.named_parameters():
        if key != "head.bias":
            assert torch.equal(value, before[key]), key


def test_unknown_characters_are_named_before_training(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "examples" / "lines"
    png = next((source / "images").glob("*.png")).read_bytes()
    with LineWriter(tmp_path / "odd.lmdb") as writer:
        writer.add(StoredLine(png, "straße", "a.png"), 100, 30)
    config = config_file(tmp_path, tmp_path / "odd.lmdb")
    result = train(config, tmp_path / "run")
    assert isinstance(result.exception, DataError) and "U+00DF" in str(result.exception)
    result = train(config, tmp_path / "run2", "--set", "charset.unknown=extend", "--max-steps", "1")
    assert result.exit_code == 0, result.output
    assert "ß" in load_model(tmp_path / "run2" / "checkpoints" / "best.safetensors").charset


def test_init_matches_rows_by_character(tmp_path: Path, lines: Path) -> None:
    config = config_file(tmp_path, lines)
    assert train(config, tmp_path / "a", "--max-steps", "1").exit_code == 0
    model = tmp_path / "a" / "checkpoints" / "best.safetensors"
    old = load_model(model)
    shuffled = old.charset.characters[::-1] + "ß"
    settings = load_config(config, (f"charset.characters='{shuffled.replace(chr(39), chr(39) * 2)}'",))
    run = build_run(settings, tmp_path / "b", init=str(model), device="cpu")
    for char in "aẵ9":
        new = run.module.head.weight[run.charset.encode(char)[0]]
        assert torch.equal(new, old.module.head.weight[old.charset.encode(char)[0]])  # type: ignore[union-attr]
    assert "ß" in run.notes[-1]


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        (["--set", "optim.learning_rate=1"], ConfigError, "optim.learning_rate"),
        (["--data", "no-such.lmdb"], DataError, "no-such.lmdb"),
        (["--init", "no-such-model"], ModelError, "no-such-model"),
        (["--resume"], ModelError, "No checkpoint"),
        pytest.param(
            ["--device", "cuda"],
            ConfigError,
            "CUDA",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here"),
        ),
    ],
)
def test_bad_input_is_named(tmp_path: Path, lines: Path, more: list[str], error: type, words: str) -> None:
    result = train(config_file(tmp_path, lines), tmp_path / "run", *more)
    assert result.exit_code == 1 and isinstance(result.exception, error) and words in str(result.exception)


def test_a_slow_database_changes_nothing_but_the_time_and_is_told(
    tmp_path: Path,
    lines: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_file(tmp_path, lines, data={"train": [{"lmdb": str(lines)}]})
    assert "waits for its data" not in train(config, tmp_path / "quick", "--set", "data.workers=0").output
    read = LineStore.__getitem__

    def late(store: LineStore, number: int) -> StoredLine:
        time.sleep(0.05)
        return read(store, number)

    monkeypatch.setattr(LineStore, "__getitem__", late)
    result = train(config, tmp_path / "slow", "--set", "data.workers=0")
    assert result.exit_code == 0, result.output
    assert " ".join(result.output.split()).count("Training waits for its data") == 1
    steps = [
        [event for event in events(tmp_path / run) if event["event"] == "StepDone"]
        for run in ("quick", "slow")
    ]
    assert [step["loss"] for step in steps[0]] == [step["loss"] for step in steps[1]]
    assert all(0 < float(str(step["data_wait_share"])) <= 1 for step in steps[1])


def test_lines_that_can_be_no_wider_than_they_must_be_are_not_trained_on(tmp_path: Path, lines: Path) -> None:
    config = config_file(tmp_path, lines, image={"min_width_px": 500, "max_width_px": 64})
    error = train(config, tmp_path / "run").exception
    assert isinstance(error, ConfigError) and "image.min_width_px is 500" in error.problem


def test_one_validation_label_with_a_character_more_stops_no_training(tmp_path: Path, lines: Path) -> None:
    png = next((Path(__file__).parents[2] / "examples" / "lines" / "images").glob("*.png")).read_bytes()
    with LineWriter(tmp_path / "odd.lmdb") as writer:
        writer.add(StoredLine(png, "straße", "a.png"), 100, 30)
        writer.add(StoredLine(png, "phố", "b.png"), 100, 30)
    result = train(config_file(tmp_path, lines), tmp_path / "run", "--valid", str(tmp_path / "odd.lmdb"))
    assert result.exit_code == 0, result.output
