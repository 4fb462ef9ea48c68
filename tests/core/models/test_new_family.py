"""A family that is added in one file and one line is trained, read with and described like the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
import yaml
from conftest import line_image, write_annotations, write_config
from pydantic import Field
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.config.families import COLUMN_PX, FAMILIES, ModelConfig
from vocr_cli.core.config.tree import ImageConfig, parse_config
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.models.files import load_model
from vocr_cli.core.models.recognition_model import RecognitionModel, Stages
from vocr_cli.core.models.registry import MODELS, register_family
from vocr_cli.core.training.checkpoint import load_checkpoint

TEXTS = ["ab", "ba", "a", "b"]


class ToyConfig(ModelConfig):
    """The `toy` family: each column of 4 px by itself."""

    family: Literal["toy"] = "toy"
    width: int = Field(8, ge=1)


class ToyModel(RecognitionModel):
    """A convolution over all pixels of a column, and a linear layer."""

    STAGES: ClassVar[Stages] = {"column": ("column",), "head": ("head",)}
    CLASS_ROWS: ClassVar = ("head.weight", "head.bias")

    def __init__(self, config: ToyConfig, image: ImageConfig, classes: int) -> None:
        super().__init__()
        size = (image.height_px, COLUMN_PX)
        self.column = nn.Conv2d(image.channels, config.width, size, stride=size)
        self.head = nn.Linear(config.width, classes)

    def forward(self, images: Tensor, columns: Tensor | None = None) -> Tensor:
        """(B, channels, H, W) to (B, T, C)."""
        features = self.column(images).squeeze(2).transpose(1, 2).relu()  # (B, T, width)
        logits: Tensor = self.head(features)
        return logits


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    with register_family(ToyConfig, ToyModel):
        yield


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def config_file(folder: Path, **sections: object) -> Path:
    labels = write_annotations(folder, TEXTS, [60])
    tree = {
        "model": {"family": "toy", "width": 12},
        "charset": {"characters": "ab"},
        "data": {"train": [{"annotations": str(labels)}], "valid": [str(labels)], "workers": 0},
        "augment": {"strength": 0},
        "optim": {"lr": 1e-2, "ema_decay": 0},
        "schedule": {"name": "constant", "warmup_steps": 0},
        "train": {"max_steps": 4},
        "validate": {"every_steps": 4},
        "precision": {"amp": "off"},
        **sections,
    }
    return write_config(folder, tree)


def trained(config: Path, out: Path, *more: object) -> Path:
    result = invoke("train", config, "--out", out, "--device", "cpu", *more)
    assert result.exit_code == 0, (result.output, result.exception)
    return out / "checkpoints" / "best.safetensors"


def test_it_is_trained_saved_loaded_read_with_and_inspected(tmp_path):
    path = trained(config_file(tmp_path), tmp_path / "run")
    model = load_model(path)
    assert model.config == ToyConfig(width=12) and isinstance(model.module, ToyModel)

    lines = [line_image(number, 60) for number in range(4)]
    readings = Recognizer.load(path, "cpu", "fp32", threads=1).read(lines)
    assert all(set(reading.text) <= set("ab") and 0 <= reading.confidence <= 1 for reading in readings)

    result = invoke("inspect", path, "--json", tmp_path / "facts.json")
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "facts.json").read_text())["facts"]
    assert facts["model"] == {"family": "toy", "width": 12}
    assert invoke("inspect", tmp_path / "run" / "config.yaml").exit_code == 0


def test_it_learns_what_its_lines_say(tmp_path):
    config = config_file(tmp_path, train={"max_steps": 150}, validate={"every_steps": 50})
    path = trained(config, tmp_path / "run")
    readings = Recognizer.load(path, "cpu", "fp32", threads=1).read([line_image(n, 60) for n in range(4)])
    assert [reading.text for reading in readings] == TEXTS


def test_its_tables_serve_fine_tuning(tmp_path):
    first = trained(config_file(tmp_path), tmp_path / "first")
    config = config_file(
        tmp_path,
        charset={"characters": "cab"},
        optim={"lr": 1e-2, "ema_decay": 0, "freeze": ["column"], "layer_decay": 0.5},
    )
    trained(config, tmp_path / "second", "--init", first)  # its best may be the start
    second = load_checkpoint(tmp_path / "second" / "checkpoints" / "last.pt")["module"]
    before = load_model(first).module.state_dict()
    assert torch.equal(second["column.weight"], before["column.weight"])  # frozen
    moved = (second["head.weight"][[0, 2, 3]] - before["head.weight"]).abs().max()
    assert 0 < moved < 0.1  # taken over by character, then trained for a few steps


def test_autoconf_plans_for_it(tmp_path):
    path = trained(config_file(tmp_path), tmp_path / "run")
    for given in (path, tmp_path / "config.yaml"):
        result = invoke("autoconf", "--model", given, "--no-probe", "--device", "cpu")
        assert result.exit_code == 0, (result.output, result.exception)
        assert yaml.safe_load(result.stdout)["model"] == {"family": "toy", "width": 12}
    result = invoke("autoconf", "--init", path, "--no-probe", "--device", "cpu")
    assert result.exit_code == 0, (result.output, result.exception)
    plan = yaml.safe_load(result.stdout)
    assert plan["model"] == {"family": "toy", "width": 12} and plan["optim"]["name"] == "muon"


def test_a_model_file_of_it_is_written_anew_and_other_formats_are_refused(tmp_path):
    path = trained(config_file(tmp_path), tmp_path / "run")
    copy = tmp_path / "copy.safetensors"
    result = invoke("export", path, copy)
    assert result.exit_code == 0, (result.output, result.exception)
    assert load_model(copy).config == load_model(path).config
    pytest.importorskip("onnxruntime")
    result = invoke("export", path, tmp_path / "m.onnx")
    assert result.exit_code == 0, (result.output, result.exception)
    assert Recognizer.load(tmp_path / "m.onnx").read([line_image(0, 60)])[0].char_confidences is not None
    refused = invoke("export", path, tmp_path / "m.pth", "--to", "vietocr")
    assert isinstance(refused.exception, ModelError) and "toy" in refused.exception.problem


def test_its_settings_are_checked_and_the_family_is_named_among_the_known():
    with pytest.raises(ConfigError, match=r"`model\.widht`, did you mean `width`\?"):
        parse_config({"model": {"family": "toy", "widht": 3}}, "a config")
    with pytest.raises(ConfigError, match="not one of ctc, vietocr, toy"):
        parse_config({"model": {"family": "toys"}}, "a config")


def test_a_registered_family_goes_with_its_context_and_takes_no_others_name():
    with pytest.raises(ValueError, match="toy"):
        register_family(ToyConfig, ToyModel)

    class Other(ToyConfig):
        family: Literal["other"] = "other"  # type: ignore[assignment]

    with register_family(Other, ToyModel):
        assert "other" in FAMILIES and "other" in MODELS
    assert "other" not in FAMILIES and "other" not in MODELS and "toy" in FAMILIES
