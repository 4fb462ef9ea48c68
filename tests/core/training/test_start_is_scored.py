"""A run from given weights: they are scored before the first step, and what is kept is never worse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import assert_same, write_annotations, write_config
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.models.files import load_model, save_model

runner = CliRunner()


def vocr(*arguments: object) -> Result:
    result = runner.invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ["abcde"[: 1 + number % 5] for number in range(12)]
    return write_annotations(tmp_path_factory.mktemp("lines"), labels, range(50, 110, 15))


def config_file(folder: Path, annotations: Path, model: Path, **sections: object) -> Path:
    found = load_model(model)
    tree = {
        "model": found.config.model_dump(mode="json"),
        "image": found.image.to_dict(),
        "data": {"train": [{"annotations": str(annotations)}], "valid": [str(annotations)], "workers": 0},
        "batch": {"max_lines": 4},
        "train": {"max_steps": 4, "log_every_steps": 2},
        "validate": {"every_steps": 2},
        "precision": {"amp": "off"},
        "schedule": {"warmup_steps": 0},
        **sections,
    }
    return write_config(folder, tree)


def logged(run: Path, name: str) -> list[dict]:
    found = map(json.loads, (run / "events.jsonl").read_text(encoding="utf-8").splitlines())
    return [event for event in found if event["event"] == name]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sums are taken in another order by another number of threads, which earlier tests may have set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of processes that are started
    yield
    torch.set_num_threads(threads)


def test_training_that_harms_leaves_the_start_as_the_best_and_says_so(
    tmp_path: Path, annotations: Path, tiny_model: Path
) -> None:
    good = tmp_path / "good"
    good.mkdir()
    learn = config_file(
        good,
        annotations,
        tiny_model,
        train={"max_steps": 60},
        validate={"every_steps": 20},
        optim={"lr": 3e-3, "ema_decay": 0},
    )
    vocr("train", learn, "--out", good / "run", "--init", tiny_model, "--device", "cpu")
    start = good / "run" / "checkpoints" / "best.safetensors"
    learned = logged(good / "run", "Stopped")[0]
    assert learned["best_cer"] < learned["init_cer"] and learned["best_step"] > 0

    harm = config_file(tmp_path, annotations, tiny_model, optim={"lr": 1.0, "clip": "off", "ema_decay": 0})
    result = vocr("train", harm, "--out", tmp_path / "run", "--init", start, "--device", "cpu")
    first, *later = logged(tmp_path / "run", "Validated")
    assert first["step"] == 0 and first["best"] and not any(event["best"] for event in later)
    assert "Training did not help" in result.output
    best = load_model(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert_same(best.module.state_dict(), load_model(start).module.state_dict())
    assert best.scores["valid_cer"] == first["cer"] == learned["best_cer"]


def test_random_weights_are_not_scored(tmp_path: Path, annotations: Path, tiny_model: Path) -> None:
    config = config_file(tmp_path, annotations, tiny_model)
    vocr("train", config, "--out", tmp_path / "run", "--device", "cpu")
    assert [event["step"] for event in logged(tmp_path / "run", "Validated")] == [2, 4]


def test_validation_and_eval_agree_though_readings_end_in_spaces(
    tmp_path: Path, annotations: Path, tiny_model: Path
) -> None:
    model = load_model(tiny_model)
    space, last = (model.charset.encode(char)[0] for char in " Ỷ")  # it ends what this model reads
    with torch.no_grad():
        model.module.head.weight[space] = model.module.head.weight[last]
        model.module.head.bias[space] = model.module.head.bias[last] + 1e-3
    spaced = tmp_path / "spaced.safetensors"
    save_model(spaced, model)
    config = config_file(tmp_path, annotations, tiny_model, train={"max_steps": 1}, optim={"lr": 1e-9})
    vocr("train", config, "--out", tmp_path / "run", "--init", spaced, "--device", "cpu")
    best = tmp_path / "run" / "checkpoints" / "best.safetensors"
    validated = load_model(best).scores["valid_cer"]
    vocr("eval", annotations, "--model", best, "--precision", "fp32", "--json", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["cer"]["value"] == pytest.approx(validated, abs=1e-9)


@pytest.mark.parametrize("width", [640, 2400])
def test_the_widest_line_is_no_matter_of_the_weights(
    tmp_path: Path, annotations: Path, tiny_model: Path, width: int
) -> None:
    config = config_file(tmp_path, annotations, tiny_model)
    vocr(
        "train", config, "--out", tmp_path / "run", "--init", tiny_model, "--device", "cpu",
        "--set", f"image.max_width_px={width}", "--max-steps", "1",
    )  # fmt: skip
    model = load_model(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert model.image.max_width_px == width
