"""Pruning: what is cut out did nothing, or least; every smaller model is a valid one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.prune import prune_model
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.models.ctc import rotary_table, rotate
from vocr_cli.core.models.files import ModelFile, build_module, load_model
from vocr_cli.core.text import Charset

runner = CliRunner()


def logits(model: ModelFile) -> torch.Tensor:
    lines = torch.rand((2, 1, 40, 96), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.module.eval()(lines)


def silence(norm: torch.nn.Module, channels: list[int]) -> None:
    norm.weight.data[channels] = 0
    norm.bias.data[channels] = 0


def test_pruning_by_nothing_changes_nothing(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    same = prune_model(model, 0, {})
    assert same.config == model.config and torch.equal(logits(same), logits(model))


def test_channels_and_units_that_do_nothing_are_those_cut_out(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    module = model.module
    wide = replace(
        model,
        config=model.config.model_copy(update={"channels": (16, 16, 24), "feed_ratio": 3}),
    )
    wide = replace(wide, module=build_module(wide.config, wide.image, wide.charset).eval())
    silent = {16: [0, 1, 4, 5, 8, 11, 12, 15], 24: [0, 3, 6, 9, 12, 15, 18, 21]}
    for part in wide.module.trunk.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            silence(part, silent[part.num_features])
    layer = wide.module.mixer[0]
    layer.feed[0].weight.data[::3], layer.feed[0].bias.data[::3] = 0, 0
    small = prune_model(wide, 0, {"channels": [8, 8, 16], "feed_ratio": 2})
    assert small.config == model.config
    assert [v.shape for v in small.module.state_dict().values()] == [
        v.shape for v in module.state_dict().values()
    ]
    assert torch.allclose(logits(small), logits(wide), atol=1e-5)


def test_columns_of_two_outputs_start_with_the_same_one_twice(tiny_model: Path) -> None:
    """Half as many columns, as many outputs; the way back would be no pruning."""
    model = load_model(tiny_model)
    small = prune_model(model, 0, {"column_outputs": 2})
    outputs = logits(small)
    assert outputs.shape == logits(model).shape
    assert torch.equal(outputs[:, ::2], outputs[:, 1::2])
    with pytest.raises(ConfigError, match="column_outputs"):
        prune_model(small, 0, {"column_outputs": 1})


def test_a_block_that_adds_nothing_is_the_one_dropped(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    deep = replace(model, config=model.config.model_copy(update={"blocks": (0, 2, 2), "column_blocks": 3}))
    deep = replace(deep, module=build_module(deep.config, deep.image, deep.charset).eval())
    for block in (
        deep.module.trunk[2],
        deep.module.trunk[6],
        deep.module.collapse[3],
        deep.module.collapse[5],
    ):
        norm = block.second[1] if hasattr(block, "second") else block.conv[1]
        silence(norm, list(range(norm.num_features)))
    small = prune_model(deep, 0, {"blocks": [0, 1, 1], "column_blocks": 1})
    assert torch.equal(logits(small), logits(deep))


def test_heads_keep_their_rates_where_widths_divide() -> None:
    """Lanes of queries, keys and values that hold nothing can go without a trace."""
    torch.manual_seed(0)
    config = CtcConfig(
        channels=(8, 8, 8), blocks=(0, 0, 0), hidden=64, column_blocks=0, heads=2, feed_ratio=1
    )
    model = ModelFile(build_module(config, ImageConfig(), Charset()).eval(), config, ImageConfig(), Charset())
    layer, kept = model.module.mixer[0], torch.arange(64) % 2 == 0  # in each head every second lane
    with torch.no_grad():
        layer.qkv.weight[~kept.repeat(3)] = 0
        layer.qkv.bias[~kept.repeat(3)] = 0
    narrow = prune_model(model, 0, {"hidden": 32}).module
    small = narrow.mixer[0]
    x = torch.rand(1, 5, 3 * 64)
    q, k = x[..., :64] * kept, x[..., 64:128] * kept

    def scores(q: torch.Tensor, k: torch.Tensor, head: int) -> torch.Tensor:
        turned = [
            rotate(part.view(1, 5, 2, head).transpose(1, 2), rotary_table(5, head, q.device, q.dtype))
            for part in (q, k)
        ]
        return turned[0] @ turned[1].transpose(-1, -2) / head**0.5

    few = scores(q[..., kept] * (16 / 32) ** 0.5, k[..., kept], 16)
    assert torch.allclose(few, scores(q, k, 32), atol=1e-5)
    old, new = model.module.head.weight, narrow.head.weight
    lanes = [int((old == new[:, lane, None]).all(0).nonzero()) for lane in range(32)]
    for part, sharpened in ((0, (16 / 32) ** 0.5), (64, 1), (128, 1)):  # queries, keys, values: even lanes
        kept_rows = layer.qkv.weight[part : part + 64][kept][:, lanes] * sharpened
        assert torch.allclose(small.qkv.weight[part // 2 : part // 2 + 32], kept_rows)
    assert torch.equal(small.attention_out.weight, layer.attention_out.weight[lanes][:, kept])


@settings(max_examples=15)
@given(st.floats(0, 0.7))
def test_any_share_gives_a_valid_model_no_larger_than_asked(share: float) -> None:
    torch.manual_seed(0)
    config = CtcConfig(channels=(20, 32, 48), blocks=(1, 0, 1), hidden=96, column_blocks=1, heads=3)
    model = ModelFile(
        build_module(config, ImageConfig(), Charset("ab")), config, ImageConfig(), Charset("ab")
    )
    small = prune_model(model, share, {})
    count = sum(parameter.numel() for parameter in small.module.parameters())
    assert count == small.provenance["parameters"] <= (1 - share) * small.provenance["parameters before"]
    assert CtcConfig.model_validate(small.config.model_dump()) == small.config
    assert torch.isfinite(logits(small)).all()


def test_sizes_that_cannot_be_are_named(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    for sizes, words in [({"hidden": 48}, "more than"), ({"width": 3}, "width"), ({"heads": 1}, "heads")]:
        with pytest.raises(ConfigError, match=words):
            prune_model(model, 0, sizes)
    with pytest.raises(ConfigError, match="too little"):
        prune_model(model, 0.999, {})
    with pytest.raises(ModelError, match="family vietocr"):
        prune_model(make_model(), 0.5, {})


def test_export_prune_writes_a_smaller_model_that_reads(
    tiny_model: Path, tmp_path: Path, lines_folder: Path
) -> None:
    out = tmp_path / "half.safetensors"
    result = runner.invoke(app, ["export", str(tiny_model), str(out), "--prune", "0.5"])
    assert result.exit_code == 0, result.output
    assert "--teacher" in result.stderr and "parameters" in result.stderr
    small, large = load_model(out), load_model(tiny_model)
    assert small.provenance["pruned from"] == large.name
    assert small.provenance["parameters"] <= 0.5 * small.provenance["parameters before"]
    assert len(Recognizer.load(out, "cpu", "fp32").read_files([lines_folder / "a1.png"])) == 1
    wrong = [["--prune", "2"], ["--prune", "half"], ["--prune", "0.5", "--calibrate", "x"]]
    assert all(
        runner.invoke(app, ["export", str(tiny_model), str(out), *more]).exit_code == 2 for more in wrong
    )
    assert (
        runner.invoke(app, ["export", str(tiny_model), str(tmp_path / "a.onnx"), "--prune", "0.5"]).exit_code
        == 2
    )


def test_the_int8_path_takes_a_pruned_model(tiny_model: Path, tmp_path: Path, lines_folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    out = tmp_path / "less.safetensors"
    assert runner.invoke(app, ["export", str(tiny_model), str(out), "--prune", "0.3"]).exit_code == 0
    int8 = out.with_suffix(".int8.onnx")
    result = runner.invoke(app, ["export", str(out), str(int8), "--calibrate", str(lines_folder)])
    assert result.exit_code == 0, result.output
    assert Recognizer.load(out, precision="int8").engine.precision == "int8"


def test_a_wrong_size_is_refused_in_words_with_those_of_the_model(tmp_path: Path) -> None:
    for size, named in (
        ("foo=1", "unknown key `foo`"),
        ("blocks=[1]", "is missing"),
        ("hidden=x", "must be"),
    ):
        result = runner.invoke(app, ["export", "vi-small", str(tmp_path / "x.safetensors"), "--prune", size])
        assert isinstance(result.exception, ConfigError) and named in result.exception.problem
        assert "Input" not in result.exception.problem and "hidden=192" in result.exception.fix


def test_pruning_that_takes_nothing_away_says_so(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "same.safetensors"
    result = runner.invoke(app, ["export", str(tiny_model), str(out), "--prune", "0"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "Nothing was taken away: it reads as before." in said and "badly" not in said
