"""`vocr infer` and `vocr eval` with VietOCR's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.models.files import save_model

runner = CliRunner()


def vocr(*arguments: object):  # type: ignore[no-untyped-def]
    return runner.invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .pth with its YAML beside it."""
    path = tmp_path_factory.mktemp("vietocr") / "tiny.pth"
    save_for_vietocr(path, make_model("convseq2seq"))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    for number in range(6):
        line_image(number, width=60 + 20 * (number % 3)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def expected() -> list[str]:
    recognizer = Recognizer.of(make_model("convseq2seq"), "cpu", "fp32", threads=1)
    return [reading.text for reading in recognizer.read([line_image(n, 60 + 20 * (n % 3)) for n in range(6)])]


def texts(output: str) -> list[str]:
    return [row.split("\t")[1] for row in output.splitlines()]


def test_weights_read_with_the_config_beside_them(weights: Path, folder: Path, expected: list[str]) -> None:
    result = vocr("infer", folder, "--model", weights, "--precision", "fp32")
    assert result.exit_code == 0, result.output
    assert texts(result.stdout) == expected and len(set(expected)) >= 5


def test_config_elsewhere_is_named_and_its_lack_too(
    weights: Path, folder: Path, expected: list[str], tmp_path: Path
) -> None:
    alone = tmp_path / "alone.pth"
    alone.write_bytes(weights.read_bytes())
    result = vocr("infer", folder, "--model", alone)
    assert result.exit_code == 1 and isinstance(result.exception, ModelError)
    assert "--config" in result.exception.fix
    result = vocr(
        "infer", folder, "--model", alone, "--config", weights.with_suffix(".yml"), "--precision", "fp32"
    )
    assert result.exit_code == 0 and texts(result.stdout) == expected


def test_checkpoint_and_own_format_read_the_same(
    weights: Path, folder: Path, expected: list[str], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "tiny.pth"
    torch.save({"iter": 7, "state_dict": torch.load(weights, weights_only=True)}, checkpoint)
    checkpoint.with_suffix(".yml").write_bytes(weights.with_suffix(".yml").read_bytes())
    save_model(tmp_path / "tiny.safetensors", make_model("convseq2seq"))
    for model in (checkpoint, tmp_path / "tiny.safetensors"):
        result = vocr("infer", folder, "--model", model, "--precision", "fp32")
        assert result.exit_code == 0 and texts(result.stdout) == expected


def test_jsonl_has_alternatives_the_minimum_and_flags(weights: Path, folder: Path) -> None:
    result = vocr(
        "infer", folder, "--model", weights, "--precision", "fp32", "--beam", 3, "--format", "jsonl"
    )
    assert result.exit_code == 0, result.output
    for row in map(json.loads, result.stdout.splitlines()):
        assert row["alternatives"][0]["text"] == row["text"] and 1 < len(row["alternatives"]) <= 3
        assert all(item["score"] <= 0 for item in row["alternatives"])
        assert row["min_confidence"] == min(row["char_confidences"], default=row["confidence"])
        assert isinstance(row["flags"], list)


def test_a_beam_of_one_is_greedy_and_of_none_a_usage_error(
    weights: Path, folder: Path, expected: list[str]
) -> None:
    result = vocr(
        "infer", folder, "--model", weights, "--precision", "fp32", "--beam", 1, "--format", "jsonl"
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == expected and "alternatives" not in rows[0]
    assert vocr("infer", folder, "--model", weights, "--beam", 0).exit_code == 2


def test_unreadable_images_do_not_stop_the_rest(weights: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    result = vocr("infer", tmp_path / "bad.png", folder, "--model", weights)
    assert result.exit_code == 3 and len(result.stdout.splitlines()) == 6 and "bad.png" in result.stderr


def test_what_cannot_be_is_an_error_with_a_remedy(
    weights: Path, folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    save_model(own, make_model("convseq2seq"))
    (tmp_path / "text.pth").write_text("no model", encoding="utf-8")
    for arguments, kind in (
        (("--model", weights, "--precision", "int8"), ModelError),
        (("--model", own, "--precision", "int8"), ModelError),
        (("--model", tiny_model, "--config", weights.with_suffix(".yml")), ConfigError),
        (("--model", "tiny.onnx", "--config", weights.with_suffix(".yml")), ConfigError),
        (("--model", weights, "--config", tmp_path / "none.yml"), ConfigError),
        (("--model", tmp_path / "text.pth"), ModelError),
    ):
        result = vocr("infer", folder, *arguments)
        assert result.exit_code == 1 and isinstance(result.exception, kind), (arguments, result.exception)
        assert result.exception.fix


def test_eval_takes_config_and_beam_and_tells_the_beam(
    weights: Path, folder: Path, expected: list[str], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.tsv"
    rows = [f"{folder / f'{number}.png'}\t{text}\n" for number, text in enumerate(expected) if text]
    labels.write_text("".join(rows), encoding="utf-8")
    greedy, beam = tmp_path / "greedy.json", tmp_path / "beam.json"
    common = ("eval", labels, "--model", weights, "--precision", "fp32")
    assert vocr(*common, "--config", weights.with_suffix(".yml"), "--json", greedy).exit_code == 0
    assert vocr(*common, "--beam", 2, "--json", beam).exit_code == 0
    first, second = (json.loads(file.read_text(encoding="utf-8")) for file in (greedy, beam))
    assert (first["beam"], first["edits"], second["beam"]) == (1, 0, 2)
    result = vocr("eval", labels, "--readings", labels, "--beam", 2)
    assert result.exit_code == 2 and "--beam" in result.stderr
