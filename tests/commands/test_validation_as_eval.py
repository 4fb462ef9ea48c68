"""Validation in training and `vocr eval` give one CER for the same weights and lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import line_image, write_config, write_database
from typer.testing import CliRunner

from vocr_cli.app import app

pytest.importorskip("torch")

runner = CliRunner()

CTC = {"channels": [8, 8, 16], "blocks": [0, 1, 1], "hidden": 32, "column_blocks": 1, "heads": 2}
"""The sizes of `tiny_model`."""

LINES = (
    ("đường", 150),
    ("số  12 ", 90),
    ("nha\u0303n", 120),  # decomposed
    ("dài hơn nhiều so với bề ngang của ảnh", 32),
    ("ooooooooooo", 40),  # each needs a blank between it and the next
    ("tiếng ☃ lạ", 130),
    ("☃", 60),
)
"""Labels, and widths of their images in px: some too narrow for CTC, some with characters no model has."""


def write_lines(folder: Path) -> Path:
    """These lines, one more whose image is cut short, and one that is no image at all."""
    folder.mkdir()
    labels = [label for label, _ in LINES] + ["cắt giữa chừng", "không phải ảnh"]
    for index in range(len(labels)):
        line_image(index, LINES[index][1] if index < len(LINES) else 100).save(folder / f"{index}.png")
    cut = folder / f"{len(LINES)}.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    (folder / f"{len(LINES) + 1}.png").write_bytes(b"no image")
    rows = "".join(f"{index}.png\t{label}\n" for index, label in enumerate(labels))
    (folder / "labels.tsv").write_text(rows, encoding="utf-8")
    return folder / "labels.tsv"


def validated(folder: Path, valid: Path, init: Path, charset: dict, model: object = CTC) -> dict:
    """Trains for a step, on other lines; the validation of the best weights."""
    folder.mkdir()
    for index in range(4):
        line_image(100 + index, 120).save(folder / f"{index}.png")
    (folder / "train.tsv").write_text("".join(f"{n}.png\tnhãn {n}\n" for n in range(4)), encoding="utf-8")
    config = {
        "model": model,
        "data": {"train": [{"annotations": str(folder / "train.tsv")}], "valid": [str(valid)], "workers": 0},
        "charset": charset,
        "train": {"max_steps": 1},
        "optim": {"lr": 1e-12},
        "precision": {"amp": "off"},
    }
    path, run = write_config(folder, config), folder / "run"
    options = ["--init", str(init), "--out", str(run), "--device", "cpu"]
    result = runner.invoke(app, ["train", str(path), *options])
    assert result.exit_code == (3 if valid.is_file() else 0), result.output
    events = (folder / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, events) if event["event"] == "Validated" and event["best"]][-1]


def evaluated(folder: Path, valid: Path) -> dict:
    """What `vocr eval` says of the run's best weights."""
    best, scores = folder / "run" / "checkpoints" / "best.safetensors", folder / "scores.json"
    options = ["--device", "cpu", "--precision", "fp32", "--runtime", "torch", "--json", str(scores)]
    result = runner.invoke(app, ["eval", str(valid), "--model", str(best), *options])
    assert result.exit_code in (0, 3), result.output
    return json.loads(scores.read_text(encoding="utf-8"))


@pytest.mark.parametrize("unknown", ["error", "skip-line", "replace", "extend"])
def test_what_the_model_cannot_read_counts_in_validation_as_it_does_in_eval(
    tmp_path: Path, tiny_model: Path, unknown: str
) -> None:
    valid = write_lines(tmp_path / "valid")
    seen = validated(tmp_path / "training", valid, tiny_model, {"unknown": unknown})
    scores = evaluated(tmp_path / "training", valid)
    assert scores["lines"] == len(LINES) + 2 and len({line["reading"] for line in scores["worst"]}) > 5
    assert seen["cer"] == pytest.approx(scores["cer"]["value"], abs=1e-12)
    assert seen["line_accuracy"] == pytest.approx(scores["line_accuracy"]["value"], abs=1e-12)
    assert (seen["lines"], seen["unreadable"]) == (len(LINES), 1) and seen["loss"] is not None


def test_lines_of_a_database_count_in_validation_as_in_eval(tmp_path: Path, tiny_model: Path) -> None:
    labels, widths = zip(*LINES, strict=True)
    write_database(tmp_path / "valid.lmdb", labels, widths)
    seen = validated(tmp_path / "training", tmp_path / "valid.lmdb", tiny_model, {"unknown": "skip-line"})
    assert seen["cer"] == pytest.approx(
        evaluated(tmp_path / "training", tmp_path / "valid.lmdb")["cer"]["value"], abs=1e-12
    )


@pytest.mark.slow
def test_what_a_vietocr_model_cannot_write_counts_as_well(tmp_path: Path) -> None:
    from tiny_vietocr import make_model

    from vocr_cli.core.models.files import save_model

    model = make_model()
    save_model(tmp_path / "vietocr.safetensors", model)
    valid = write_lines(tmp_path / "valid")
    charset = {"characters": model.charset.characters, "unknown": "replace"}
    settings = model.config.model_dump(mode="json")
    seen = validated(tmp_path / "training", valid, tmp_path / "vietocr.safetensors", charset, settings)
    scores = evaluated(tmp_path / "training", valid)
    assert scores["lines"] == len(LINES) + 2 and len({line["reading"] for line in scores["worst"]}) > 3
    assert seen["cer"] == pytest.approx(scores["cer"]["value"], abs=1e-12)
    assert seen["lines"] == len(LINES) and seen["loss"] is not None
