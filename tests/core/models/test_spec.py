"""What a model's name stands for, in every command the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import line_image, write_annotations
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.models.spec import find_model, resolve_config, resolve_model
from vocr_cli.core.models.vietocr.yaml_config import read_vietocr_yaml

OURS = {"model": {"family": "ctc", "hidden": 32}, "image": {"height_px": 48}}
VIETOCRS = {"vocab": "abc ", "dataset": {"image_height": 48}}


def written(path: Path, tree: object) -> Path:
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.parametrize("name", ["own.yaml", "own.YML"])
@pytest.mark.parametrize(("tree", "family"), [(OURS, "ctc"), (VIETOCRS, "vietocr")])
def test_autoconf_plans_for_a_yaml_of_either_kind(tmp_path, name, tree, family):
    config = written(tmp_path / name, tree)
    text = invoke("autoconf", "--model", config, "--no-probe", "--device", "cpu")
    plan = yaml.safe_load(text)
    assert plan["model"]["family"] == family
    assert plan["image"]["height_px"] == 48
    assert plan["batch"]["pixels"] != 0


def test_autoconf_keeps_the_rate_of_a_config_whose_optimizer_it_knows_no_rate_for(tmp_path):
    config = written(
        tmp_path / "own.yaml", {"model": {"family": "vietocr"}, "optim": {"name": "muon", "lr": 2e-3}}
    )
    plan = yaml.safe_load(invoke("autoconf", "--model", config, "--no-probe", "--device", "cpu"))
    assert plan["optim"]["lr"] == 2e-3


@pytest.mark.parametrize("name", ["own.yaml", "own.YAML"])
@pytest.mark.parametrize("tree", [OURS, VIETOCRS])
def test_build_lmdb_fits_lines_to_a_yaml_of_either_kind(tmp_path, name, tree):
    labels = write_annotations(tmp_path, ["abc"])
    config = written(tmp_path / name, tree)
    invoke("build-lmdb", labels, tmp_path / "db", "--fit", config)
    with LineStore(tmp_path / "db") as store:
        assert store.heights[0] == 48


@pytest.mark.parametrize("name", ["own.YAML", "own.yml"])
@pytest.mark.parametrize(("tree", "kind"), [(OURS, "config"), (VIETOCRS, "VietOCR config")])
def test_a_yaml_is_told_by_what_it_holds(tmp_path, name, tree, kind):
    spec = resolve_model(written(tmp_path / name, tree))
    assert (spec.kind, spec.path, spec.is_config) == (kind, tmp_path / name, True)
    assert resolve_config(spec.path) == spec


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.safetensors", "vocr model"),
        ("m.SAFETENSORS", "vocr model"),
        ("m.int8.onnx", "ONNX model"),
        ("m.ONNX", "ONNX model"),
        ("m.pth", "VietOCR weights"),
        ("m.bin", "VietOCR weights"),
    ],
)
def test_a_model_file_is_told_by_its_suffix(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"")
    spec = resolve_model(tmp_path / name)
    assert (spec.kind, spec.path, spec.is_config) == (kind, tmp_path / name, False)


def test_embedded_models_and_vietocrs_configs_have_names():
    assert resolve_model("vi-small").kind == "vocr model"
    assert resolve_model("vgg_transformer").kind == "VietOCR config"


def test_what_is_not_there_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(ModelError, match="No model 'vi-tiny'") as refused:
        resolve_model("vi-tiny")
    assert "vi-small" in refused.value.fix and "Did you mean" not in refused.value.fix
    for typed, meant in (("vgg-transformer", "vgg_transformer"), ("vi_small", "vi-small")):
        with pytest.raises(ModelError) as refused:
            resolve_model(typed)
        assert refused.value.fix.startswith(f"Did you mean {meant}? ")
    with pytest.raises(ModelError) as refused:
        resolve_model(tmp_path / "m.onnx")
    assert "vocr export" in refused.value.fix
    with pytest.raises(ConfigError, match="No config at "):
        resolve_model(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "name", ["vgg-transformer.yml", "vgg-transformer", "VGG_Transformer", "vgg_tranformer"]
)
@pytest.mark.parametrize("read", [resolve_config, read_vietocr_yaml])
def test_a_misspelt_config_of_vietocrs_is_told_the_right_name(name, read):
    with pytest.raises(ConfigError, match=f"No config at {name}") as refused:
        read(name)
    assert "Did you mean vgg_transformer?" in refused.value.fix and "resnet_transformer" in refused.value.fix


def test_the_address_of_a_config_is_not_downloaded():
    address = "https://vocr.vn/data/vietocr/config/vgg-seq2seq.yml"
    for given in (address, Path(address)):  # which takes one of the slashes away
        with pytest.raises(ConfigError, match=f"{address} is a URL, and nothing is downloaded") as refused:
            resolve_config(given)
        assert "Did you mean vgg_seq2seq?" in refused.value.fix


def test_weights_are_no_config(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="holds weights, and is no config") as refused:
        resolve_config(tmp_path / "w.pth")
    assert "--init" in refused.value.fix


def test_a_config_is_no_model_to_read_with(tmp_path):
    with pytest.raises(ModelError, match="has no weights"):
        find_model(written(tmp_path / "own.yaml", OURS))
    line_image(1).save(tmp_path / "a.png")
    result = CliRunner().invoke(app, ["infer", str(tmp_path / "a.png"), "--model", "vgg_transformer"])
    assert isinstance(result.exception, ModelError) and "has no weights" in result.exception.problem


@pytest.mark.parametrize(
    ("name", "what"), [("line.png", "an image"), ("labels.tsv", "a file of another kind")]
)
def test_a_file_that_torch_did_not_save_is_not_taken_for_weights(tmp_path, name, what):
    """Such a file was called damaged, and VietOCR's config was to help."""
    write_annotations(tmp_path, ["abc"]).rename(tmp_path / "labels.tsv")
    (tmp_path / "0.png").rename(tmp_path / "line.png")
    with pytest.raises(ModelError, match=f"is {what}, no model") as caught:
        find_model(tmp_path / name)
    assert "vi-small" in caught.value.fix
    result = CliRunner().invoke(app, ["infer", str(tmp_path / "line.png"), "--model", str(tmp_path / name)])
    assert isinstance(result.exception, ModelError)


def test_weights_may_have_any_suffix(tmp_path):
    import torch

    torch.save({"a": torch.ones(1)}, tmp_path / "weights.bin")
    assert find_model(tmp_path / "weights.bin") == tmp_path / "weights.bin"
