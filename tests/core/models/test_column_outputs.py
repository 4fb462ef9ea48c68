"""CTC models whose columns of 8 px have two outputs each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.export import onnx as onnx_files
from vocr_cli.core.inference.engines.onnx import OnnxRuntimeModel
from vocr_cli.core.inference.engines.onnx_format import to_model_input
from vocr_cli.core.models.files import ModelFile, build_module, load_model, save_model
from vocr_cli.core.text import Charset
from vocr_cli.core.training.initial_weights import transfer

TINY = {"channels": [8, 8, 16], "blocks": [0, 1, 1], "hidden": 32, "column_blocks": 1, "dropout": 0.0}


def config(outputs: int, **more: object) -> Config:
    model = {"family": "ctc", **TINY, "column_outputs": outputs}
    return parse_config({"model": model, "image": {"height_px": 32}, **more}, "test")


def made(outputs: int, characters: str = " abcd") -> ModelFile:
    torch.manual_seed(outputs)
    settings, charset = config(outputs), Charset(characters)
    module = build_module(settings.model, settings.image, charset).eval()
    return ModelFile(module, settings.model, settings.image, charset, name="tiny")


def lines(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (count, 32, width, 1), dtype=np.uint8)


@pytest.mark.parametrize("outputs", [1, 2])
def test_an_output_stands_for_four_pixels_whatever_a_column_is_wide(outputs: int) -> None:
    module = made(outputs).module
    for width in (32, 64, 200):
        assert module(torch.from_numpy(to_model_input(lines(2, width)))).shape == (2, width // 4, 6)


@pytest.mark.parametrize("outputs", [1, 2])
def test_no_column_attends_to_those_behind_the_end_of_a_line(outputs: int) -> None:
    module = made(outputs).module
    images = torch.from_numpy(to_model_input(lines(2, 256)))
    images[1, :, :, :192] = images[0, :, :, :192]  # what differs lies farther than convolutions see
    with torch.inference_mode():
        first, second = module(images, torch.tensor([16, 16]))[:, :16]
        unmasked, other = module(images)[:, :16]
    assert torch.allclose(first, second, atol=1e-6)
    assert not torch.allclose(unmasked, other, atol=1e-6)


@pytest.mark.parametrize("outputs", [1, 2])
def test_files_and_onnx_compute_the_same(outputs: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = made(outputs)
    save_model(tmp_path / "a.safetensors", model)
    again = load_model(tmp_path / "a.safetensors")
    onnx_files.write_onnx(model, tmp_path / "a.onnx")
    onnx_files.write_int8(model, tmp_path / "a.int8.onnx", [line for line in lines(8, 128)])
    for count, width in ((1, 32), (3, 104)):
        images = lines(count, width)
        with torch.inference_mode():
            expected = model.module(torch.from_numpy(to_model_input(images))).numpy()
            assert np.array_equal(again.module(torch.from_numpy(to_model_input(images))).numpy(), expected)
        assert np.allclose(OnnxRuntimeModel(tmp_path / "a.onnx").run(images), expected, atol=1e-4)
        rounded = OnnxRuntimeModel(tmp_path / "a.int8.onnx").run(images)
        assert rounded.shape == expected.shape
        assert np.abs(rounded - expected).mean() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_new_charset_takes_over_each_output_s_rows(outputs: int, tmp_path: Path) -> None:
    old = made(outputs, " abcd")
    save_model(tmp_path / "old.safetensors", old)
    charset = Charset(" dxb")
    settings = config(outputs)
    module = build_module(settings.model, settings.image, charset)
    transfer(load_model(tmp_path / "old.safetensors"), module, charset, settings)
    before = old.module.state_dict()["head.weight"].unflatten(0, (outputs, 6))
    after = module.state_dict()["head.weight"].unflatten(0, (outputs, 5))
    for name, row in ((" ", 1), ("d", 2), ("b", 4)):
        assert torch.equal(after[:, row], before[:, old.charset.encode(name)[0]])
    assert torch.equal(after[:, 0], before[:, 0])  # the blank
    assert not torch.equal(after[:, 3], before[:, 3])
