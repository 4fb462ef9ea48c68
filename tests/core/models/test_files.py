"""Model files: self-describing, whole or not at all, never executed."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.ctc import rotary_table
from vocr_cli.core.models.files import ModelFile, build_module, load_model, save_model
from vocr_cli.core.models.spec import embedded_models
from vocr_cli.core.text import Charset
from vocr_cli.core.training.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def model() -> ModelFile:
    config = CtcConfig(channels=(8, 8, 16), blocks=(0, 1, 0), hidden=32, column_blocks=1)
    image, charset = ImageConfig(height_px=32), Charset("aẵ ")
    return ModelFile(
        build_module(config, image, charset).eval(), config, image, charset, {"steps": 3}, {"cer": 0.5}
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 0.0), ("fp16", 1e-2)])
def test_a_file_gives_back_what_was_saved(
    model: ModelFile, tmp_path: Path, dtype: str, tolerance: float
) -> None:
    save_model(tmp_path / "m.safetensors", model, dtype)  # type: ignore[arg-type]
    loaded = load_model(tmp_path / "m.safetensors")
    assert (loaded.config, loaded.image, loaded.charset) == (model.config, model.image, model.charset)
    assert loaded.provenance == {"steps": 3} and loaded.scores == {"cer": 0.5} and loaded.name == "m"
    x = torch.rand(2, 1, 32, 64)
    with torch.inference_mode():
        assert torch.allclose(loaded.module(x), model.module(x), atol=tolerance)
    assert os.listdir(tmp_path) == ["m.safetensors"]
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "m.safetensors").stat().st_mode == plain.stat().st_mode  # others may read it too


@pytest.mark.parametrize("width", [32, 200, 2000])
def test_any_width_gives_a_column_every_four_px(model: ModelFile, width: int) -> None:
    with torch.inference_mode():
        assert model.module(torch.rand(1, 1, 32, width)).shape == (1, width // 4, 4)


def test_attention_sees_no_padding(model: ModelFile) -> None:
    torch.manual_seed(0)
    layer = model.module.mixer[0]  # type: ignore[index]
    line, padding = torch.randn(1, 30, 32), torch.randn(1, 9, 32)
    key_padding_mask = (torch.arange(39) >= 30)[None]
    with torch.inference_mode():
        alone = layer(line, rotary_table(30, 16, line.device, line.dtype), None)  # type: ignore[operator]
        table = rotary_table(39, 16, line.device, line.dtype)
        beside = layer(torch.cat((line, padding), 1), table, key_padding_mask)  # type: ignore[operator]
    assert torch.allclose(alone, beside[:, :30], atol=1e-5)


class Trap:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "executed"
    for name in ("trap.safetensors", "trap.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(target)))
        with pytest.raises(ModelError, match="trap"):
            load_model(tmp_path / name)
    assert not target.exists()


def test_damage_is_named(model: ModelFile, tmp_path: Path) -> None:
    whole = tmp_path / "m.safetensors"
    save_model(whole, model)
    data = whole.read_bytes()
    for name, content in (("cut", data[: len(data) // 2]), ("empty", b""), ("text", b"hello")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name):
            load_model(path)
    weights = load_file(whole)
    save_file(weights, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="not a vocr model"):
        load_model(tmp_path / "foreign.safetensors")
    save_file(weights, tmp_path / "newer.safetensors", {"vocr": json.dumps({"format": 99})})
    with pytest.raises(ModelError, match="format 99"):
        load_model(tmp_path / "newer.safetensors")


def test_an_unknown_name_lists_the_embedded_models() -> None:
    with pytest.raises(ModelError) as caught:
        load_model("vi-smal")
    assert all(name in caught.value.fix for name in embedded_models())


def test_a_file_that_cannot_be_written_is_a_plain_error_and_leaves_the_old_one(
    model: ModelFile, tmp_path: Path
) -> None:
    (tmp_path / "in-the-way").write_text("a file, not a folder")
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "in-the-way" / "m.safetensors", model)
    old = {"a": torch.ones(2)}
    save_checkpoint(tmp_path / "last.pt", old)
    with pytest.raises(ModelError, match="cannot be written"):
        save_checkpoint(tmp_path / "in-the-way" / "last.pt", old)
    (tmp_path / "last.pt").replace(tmp_path / "kept.pt")
    assert torch.equal(load_checkpoint(tmp_path / "kept.pt")["a"], old["a"])
    assert sorted(os.listdir(tmp_path)) == ["in-the-way", "kept.pt"]
