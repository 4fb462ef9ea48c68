"""VietOCR's YAML files, today's and old ones, as vocr's settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import dump_config, parse_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.constants import VIETOCR_CHARACTERS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.yaml_config import VietocrYaml, named_configs, read_vietocr_yaml

OLD = """
vocab: 'aàb'
device: cpu
pretrain:
  id_or_url: some-id
  md5: 0123
  cached: /somewhere.pth
weights: https://example.org/old.pth
backbone: vgg11_bn
cnn:
  pooling_stride_size: [[2, 2], [2, 1], [2, 1], [2, 1], [1, 1]]
  pooling_kernel_size: [2, 2, 2, 2, 1]
transformer:
  d_model: 512
  nhead: 4
  num_encoder_layers: 3
  num_decoder_layers: 2
  dim_feedforward: 1024
  max_seq_length: 10000
  pos_dropout: 0.2
  trans_dropout: 0.3
optimizer:
  init_lr: 0.1
  n_warmup_steps: 4000
trainer:
  batch_size: 16
  iters: 40000
  data_root: ./img/
  train_annotation: train.txt
  visualize_every: 200
"""


def read(tmp_path: Path, text: str) -> VietocrYaml:
    path = tmp_path / "c.yml"
    path.write_text(text, encoding="utf-8")
    return read_vietocr_yaml(path)


def test_named_configs_are_vietocrs_models() -> None:
    kinds = {name: read_vietocr_yaml(name).model for name in named_configs()}
    assert {name: (kind.backbone, kind.sequence) for name, kind in kinds.items()} == {
        "base": ("vgg19_bn", "transformer"),
        "vgg_transformer": ("vgg19_bn", "transformer"),
        "vgg_seq2seq": ("vgg19_bn", "seq2seq"),
        "vgg_convseq2seq": ("vgg19_bn", "convseq2seq"),
        "resnet_transformer": ("resnet50", "transformer"),
    }
    base = read_vietocr_yaml("base")
    assert base.characters == VIETOCR_CHARACTERS and len(VIETOCR_CHARACTERS) == 229
    assert base.image == VIETOCR_IMAGE and base.model.transformer.feed_forward == 2048
    assert VIETOCR_CHARACTERS.startswith("aAàÀảẢãÃáÁạẠăĂ") and VIETOCR_CHARACTERS.endswith("|}~ ")
    assert read_vietocr_yaml("vgg_seq2seq").config.optim.lr == 1e-3


def test_overrides_alone_lie_over_vietocrs_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, "dataset: {image_height: 64, train_annotation: t.txt}\nvocab: xyz\n")
    assert found.characters == "xyz" and found.config.charset.characters == "xyz"
    assert (found.image.height_px, found.image.max_width_px, found.image.resample) == (64, 512, "lanczos")
    assert found.model.transformer.heads == 8 and found.sections.keys() == {"dataset", "vocab"}
    assert found.train_annotation == Path("t.txt") and found.valid_annotation is None
    assert read(tmp_path, "quiet: true").characters is None


def test_old_shapes_are_understood_with_a_note_each(tmp_path: Path) -> None:
    found = read(tmp_path, OLD.replace("  d_model: 512", "  d_model: 256"))
    model = found.model
    assert (model.backbone, model.transformer.heads, model.transformer.decoder_layers) == ("vgg11_bn", 4, 2)
    assert model.pool_strides == ((2, 2), (2, 1), (2, 1), (2, 1), (1, 1))
    assert model.pool_kernels == ((2, 2), (2, 2), (2, 2), (2, 2), (1, 1))
    assert (model.transformer.position_dropout, model.transformer.dropout) == (0.2, 0.3)
    assert found.config.optim.lr == pytest.approx(0.1 * (256 * 4000) ** -0.5, rel=0.01)
    assert found.config.schedule.onecycle_peak_share == pytest.approx(0.1)
    assert found.train_annotation == Path("img/train.txt") and found.images == Path("img")
    notes = " ".join(found.notes)
    for part in ("pretrain", "pooling_stride_size", "warm-up", "`trainer`"):
        assert part in notes


def test_training_settings_are_mapped(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "trainer: {batch_size: 8, iters: 1e5, print_every: 50, valid_every: 500, metrics: 100}\n"
        "optimizer: {max_lr: 3e-4, pct_start: '0.2,'}\n"
        "aug: {image_aug: false, masked_language_model: false}\n"
        "dataloader: {num_workers: 0}\npredictor: {beamsearch: true}\n",
    )
    config = found.config
    assert (config.train.max_steps, config.train.log_every_steps) == (100_000, 50)
    assert (config.validate_.every_steps, config.validate_.max_lines) == (500, 100)
    assert (config.optim.lr, config.schedule.onecycle_peak_share) == (3e-4, 0.2)
    assert config.schedule.name == "onecycle" and config.augment.strength == 0 and config.data.workers == 0
    assert (
        config.augment.masked_share == 0 and read(tmp_path, "quiet: true").config.augment.masked_share == 0.05
    )
    assert config.batch.max_lines == 8 and config.batch.pixels == 8 * 32 * 512 and found.beamsearch
    assert parse_config(yaml.safe_load(dump_config(config)), "again") == config


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("backbone: resnet50_fpn", "resnet50_fpn"),
        ("seq_modeling: decoderseq2seq", "decoderseq2seq"),
        ("vocab: 123", "vocab"),
        ("transformer: 5", "transformer"),
        ("transformer: {d_model: wide}", "d_model: wide"),
        (
            "cnn: {hidden: 64}\ntransformer: {d_model: 128}",
            "`transformer.d_model: 128` is not `cnn.hidden: 64`",
        ),
        ("cnn: {ss: [[2, 2]]}", "`cnn.ss: "),
        ("trainer: {iters: many}", "iters: many"),
        ("dataset: {image_height: 15}", "`dataset.image_height: 15` leaves"),
        ("seq_modeling: convseq2seq\ntransformer: {pad_idx: 1}", "pad_idx"),
        ("model: {hidden: 3}", "not a VietOCR config"),
        ("something: else", "the config of another program: `something`"),
        ("[1, 2]", "no settings"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named_with_a_remedy(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        read(tmp_path, text)
    assert "c.yml" in caught.value.problem and caught.value.fix


def test_unknown_sections_are_noted(tmp_path: Path) -> None:
    found = read(tmp_path, "vocab: abc\nextras: {a: 1}\n")
    assert any("extras" in note for note in found.notes)


def test_inspect_shows_a_vietocr_config_as_vocrs(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(OLD.replace("d_model: 512", "d_model: 256"), encoding="utf-8")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "c.yml"), "--json", str(tmp_path / "o.json")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert found["kind"] == "VietOCR config" and found["facts"]["weights"] == "https://example.org/old.pth"
    shown = parse_config(yaml.safe_load(result.stdout), "shown")  # comments and all, it is a config of ours
    assert shown == read_vietocr_yaml(tmp_path / "c.yml").config
    assert CliRunner().invoke(app, ["inspect", "vgg_seq2seq"]).exit_code == 0


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"family": "vietocr", "sequenze": 1}, "unknown key `model.sequenze`, did you mean `sequence`?"),
        (
            {"family": "vietocr", "transformer": {"head": 1}},
            "`model.transformer.head`, did you mean `heads`?",
        ),
        ({"family": "ctc", "backbone": "resnet50"}, "unknown key `model.backbone`"),
        ({"family": "other"}, "`model.family`: not one of ctc, vietocr"),
    ],
)
def test_keys_are_checked_against_the_family_that_is_named(model: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"model": model}, "test")
    assert problem in caught.value.problem


def test_reading_a_config_loads_no_torch() -> None:
    code = (
        "import sys; from vocr_cli.core.models.vietocr import yaml_config; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
