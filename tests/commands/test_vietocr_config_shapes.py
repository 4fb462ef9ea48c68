"""VietOCR's configs in the shapes that people have them: each read as VietOCR would, or refused."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import line_image
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.errors import VocrError
from vocr_cli.core.inspection import inspect_path

runner = CliRunner()

CHARACTERS = "abcdefghijklmnopqrstuvwxyz 0123456789"
POOLS = [[2, 2], [2, 2], [2, 1], [2, 1], [1, 1]]
TRANSFORMER = {
    "d_model": 16, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 32,
    "max_seq_length": 600, "pos_dropout": 0.1, "trans_dropout": 0.1,
}  # fmt: skip
SEQ2SEQ = {
    "encoder_hidden": 16,
    "decoder_hidden": 16,
    "img_channel": 16,
    "decoder_embedded": 16,
    "dropout": 0.1,
}
CONVSEQ2SEQ = {
    "emb_dim": 16, "hid_dim": 16, "enc_layers": 1, "dec_layers": 1, "enc_kernel_size": 3,
    "dec_kernel_size": 3, "enc_max_length": 512, "dec_max_length": 512, "dropout": 0.1, "pad_idx": 0,
    "device": "cuda:0",
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "vocab": CHARACTERS,
    "device": "cuda:0",
    "seq_modeling": "transformer",
    "transformer": TRANSFORMER,
    "optimizer": {"max_lr": 0.0003, "pct_start": 0.1},
    "trainer": {"batch_size": 2, "print_every": 200, "valid_every": 4000, "iters": 100000,
                "export": "./weights/transformerocr.pth", "checkpoint": "./checkpoint/c.pth",
                "log": "./train.log", "metrics": None},
    "dataset": {"name": "data", "data_root": "./data/", "train_annotation": "train.txt",
                "valid_annotation": "valid.txt", "image_height": 32, "image_min_width": 32,
                "image_max_width": 512},
    "dataloader": {"num_workers": 0, "pin_memory": True},
    "aug": {"image_aug": True, "masked_language_model": True},
    "predictor": {"beamsearch": False},
    "quiet": False,
    "pretrain": "https://vocr.vn/data/vietocr/vgg_transformer.pth",
    "weights": "https://vocr.vn/data/vietocr/vgg_transformer.pth",
    "backbone": "resnet50",
    "cnn": {"ss": None, "hidden": 16},
}  # fmt: skip
"""As `Cfg.save` writes one, with the sizes of a tiny model."""

VGG = {"backbone": "vgg11_bn", "cnn": {"pretrained": False, "ss": POOLS, "ks": POOLS, "hidden": 16}}
GONE = object()


def changed(*parts: dict[str, Any]) -> dict[str, Any]:
    """The whole config with sections merged into it, deep; `GONE` takes a key away."""
    tree = copy.deepcopy(WHOLE)
    for part in parts:
        for key, value in part.items():
            if isinstance(value, dict) and isinstance(tree.get(key), dict):
                value = {**tree[key], **value}
            tree[key] = (
                {k: v for k, v in value.items() if v is not GONE} if isinstance(value, dict) else value
            )
    return {key: value for key, value in tree.items() if value is not GONE}


class Shape(NamedTuple):
    """A config: its tree or text, what is read by dotted name, what is said; `beside` are files by name."""

    tree: dict[str, Any] | str
    reads: Mapping[str, Any] = MappingProxyType({})
    says: tuple[str, ...] = ()
    beside: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def height(px: int, **more: Any) -> Shape:
    return Shape(changed(VGG, {"dataset": {"image_height": px}}), {"image.height_px": px, **more})


BASE_SECTIONS = (
    "vocab",
    "trainer",
    "dataset",
    "dataloader",
    "aug",
    "predictor",
    "transformer",
    "seq_modeling",
)
BASE = {key: WHOLE[key] for key in (*BASE_SECTIONS, "device", "quiet", "optimizer")}
OVERLAY = {key: WHOLE[key] for key in ("pretrain", "weights", "backbone", "cnn")}

READ: dict[str, Shape] = {
    "as-saved": Shape(changed(), {"model.backbone": "resnet50", "train.max_steps": 100_000}),
    "vgg": Shape(changed(VGG), {"model.pool_strides": POOLS}),
    "vgg-without-pools": Shape(
        changed(VGG, {"cnn": {"ss": GONE, "ks": GONE}}), {"model.pool_kernels": POOLS}
    ),
    "numbers-for-pairs": Shape(
        changed(VGG, {"cnn": {"ss": [2, 2, [2, 1], [2, 1], 1]}}), {"model.pool_strides": POOLS}
    ),
    "six-pairs": Shape(changed(VGG, {"cnn": {"ss": [*POOLS, [1, 1]]}}), {}, ("`cnn.ss` has 6 pairs",)),
    "height-20": height(20),
    "height-36": height(36),
    "height-50": height(50),
    "height-60": height(60),
    "height-100": height(100, **{"image.max_width_px": 403}),  # 6 rows of W // 4 columns: 600 positions
    "height-160": height(160, **{"image.max_width_px": 243}),
    "resnet-48": Shape(changed({"dataset": {"image_height": 48}}), {"image.height_px": 48}),
    "seq2seq": Shape(
        changed({"seq_modeling": "seq2seq", "transformer": GONE}, {"transformer": SEQ2SEQ}),
        {"model.seq2seq.encoder_hidden": 16},
    ),
    "seq2seq-tall": Shape(
        changed({"seq_modeling": "seq2seq", "transformer": GONE, "dataset": {"image_height": 160}},
                {"transformer": SEQ2SEQ}),
        {"image.height_px": 160, "image.max_width_px": 512},
    ),
    "convseq2seq": Shape(
        changed({"seq_modeling": "convseq2seq", "transformer": GONE}, {"transformer": CONVSEQ2SEQ}),
        {"model.convseq2seq.embedding": 16},
    ),
    "base-beside": Shape(
        OVERLAY, {"charset.characters": CHARACTERS, "model.transformer.d_model": 16}, ("base.yml",),
        {"base.yml": BASE},
    ),
    "base-yaml-beside": Shape(OVERLAY, {"batch.max_lines": 2}, ("base.yaml",), {"base.yaml": BASE}),
    "base-beside-a-whole-one": Shape(
        changed(), {"train.max_steps": 100_000}, (), {"base.yml": {**BASE, "trainer": {"iters": 5}}}
    ),
    "sections-are-laid-whole": Shape(
        {**OVERLAY, "trainer": {"batch_size": 3}}, {"train.max_steps": 100_000, "batch.max_lines": 3},
        ("`trainer.iters`",), {"base.yml": {**BASE, "trainer": {**WHOLE["trainer"], "iters": 5}}},
    ),
    "base-of-another-program": Shape(
        changed({"quiet": GONE}), {}, ("not VietOCR's: not used",), {"base.yml": {"Global": {}, "Train": {}}}
    ),
    "misspelt-height": Shape(
        changed({"dataset": {"image_heigth": 64, "image_height": GONE}}), {"image.height_px": 32},
        ("`dataset.image_heigth` (did you mean `image_height`?)",),
    ),
    "misspelt-batch": Shape(
        changed({"trainer": {"batchsize": 4, "batch_size": GONE}}), {"batch.max_lines": 32},
        ("`trainer.batchsize` (did you mean `batch_size`?)",),
    ),
    "keys-of-a-fork": Shape(
        changed({"dataset": {"separate": "||||", "train_lmdb": ["a", "b"]}, "monitor": {"log_dir": "x"}}), {},
        ("`dataset.separate`", "`dataset.train_lmdb`", "`monitor`"),
    ),
    "key-in-the-wrong-section": Shape(
        changed({"dataset": {"batch_size": 4}}), {},
        ("`dataset.batch_size` (did you mean `trainer.batch_size`?)",),
    ),
    "misspelt-section": Shape(
        changed({"augs": {"image_aug": False}, "aug": GONE}), {"augment.strength": 0.5},
        ("`augs` (did you mean `aug`?)",),
    ),
    "keys-of-another-sequence": Shape(
        changed({"transformer": {"decoder_hidden": 8}}), {}, ("`transformer.decoder_hidden`",)
    ),
    "repeated-character": Shape(
        changed({"vocab": CHARACTERS + "a"}), {"charset.characters": CHARACTERS},
        ("`vocab` repeats 'a' (U+0061",),
    ),
    "repeated-in-the-middle": Shape(
        changed({"vocab": "aa" + CHARACTERS[1:]}), {"charset.characters": CHARACTERS}, ("none left for '9'",)
    ),
    "decomposed-vocab": Shape(
        changed({"vocab": CHARACTERS + "e\u0302\u0301"}), {"charset.characters": CHARACTERS + "ế"}, ("NFC",)
    ),
    "list-of-characters": Shape(changed({"vocab": list(CHARACTERS)}), {"charset.characters": CHARACTERS}),
    "numbers-as-text": Shape(
        changed({"optimizer": {"max_lr": "1e-3"}, "trainer": {"batch_size": "2,"}}),
        {"optim.lr": 1e-3, "batch.max_lines": 2},
    ),
    "floats-for-counts": Shape(changed({"trainer": {"iters": 2e4}}), {"train.max_steps": 20_000}),
    "onecycle-arguments": Shape(
        changed({"optimizer": {"final_div_factor": 100, "anneal_strategy": "linear"}}),
        {"schedule.final_lr_share": 1 / 2500}, ("`optimizer.anneal_strategy`",),
    ),
    "loader-arguments": Shape(
        changed({"dataloader": {"prefetch_factor": 2, "persistent_workers": True}}), {},
        ("`dataloader.prefetch_factor`",),
    ),
    "null-for-a-count": Shape(changed({"trainer": {"valid_every": None}}), {"validate.every_steps": 4000}),
    "beam": Shape(changed({"predictor": {"beamsearch": True}}), {}, ("beam search: True",)),
    "no-augmentation": Shape(changed({"aug": {"image_aug": False}}), {"augment.strength": 0.0}),
    "old-pool-names": Shape(
        changed(VGG, {"cnn": {"ss": GONE, "pooling_stride_size": POOLS, "pooling_kernel_size": POOLS}}),
        {"model.pool_strides": POOLS}, ("cnn.pooling_stride_size",),
    ),
    "oldest-pool-names": Shape(
        changed(VGG, {"cnn": {"ss": GONE, "ks": GONE, "stride_size": POOLS, "kernel_size": POOLS}}),
        {"model.pool_kernels": POOLS}, ("cnn.stride_size",),
    ),
    "oldest-without-hidden": Shape(
        changed(VGG, {"cnn": {"hidden": GONE}}), {"model.hidden": 16}, ("`cnn.hidden` is not said: 16",)
    ),
    "old-warm-up": Shape(
        changed({"optimizer": GONE}, {"optimizer": {"n_warmup_steps": 4000, "init_lr": 0.1}}), {},
        ("warm-up",),
    ),
    "old-pretrain-section": Shape(
        changed({"pretrain": {"id_or_url": "13327Y1t", "md5": "fbef", "cached": "/tmp/none.pth"}}), {},
        ("`pretrain` is a section",),
    ),
    "old-weights-section": Shape(
        changed({"weights": {"id": "12dT", "md5": "64", "cached": "/tmp/none.pth"}}), {}, ("/tmp/none.pth",)
    ),
    "old-paths-in-trainer": Shape(
        changed({"dataset": GONE, "trainer": {"data_root": "./data/", "train_annotation": "train.txt"}}), {},
        ("Paths of the data are in `trainer`",),
    ),
    "old-epochs": Shape(
        changed({"trainer": {"epochs": 9, "iters": GONE}}), {"train.max_steps": 100_000},
        ("`trainer.epochs`",),
    ),
    "small-lines": Shape(changed({"dataset": {"image_max_width": 64}}), {"image.max_width_px": 64}),
    "min-over-max": Shape(
        changed({"dataset": {"image_min_width": 96, "image_max_width": 64}}), {"image.min_width_px": 96}
    ),
    "byte-order-mark": Shape("\ufeff" + yaml.safe_dump(changed()), {"charset.characters": CHARACTERS}),
    "one-override": Shape(
        {**changed(), "quiet": True}, {"charset.characters": CHARACTERS}, ("--quiet",)
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[dict[str, Any] | str, str]] = {
    "unknown-backbone": (changed({"backbone": "resnet50_fpn"}), "`backbone: resnet50_fpn`"),
    "unknown-sequence": (changed({"seq_modeling": "decoderseq2seq"}), "`seq_modeling: decoderseq2seq`"),
    "height-under-the-pools": (changed(VGG, {"dataset": {"image_height": 12}}), "`dataset.image_height: 12`"),
    "height-under-the-resnet": (changed({"dataset": {"image_height": 20}}), "`dataset.image_height: 20`"),
    "height-in-words": (changed({"dataset": {"image_height": "32px"}}), "`dataset.image_height: 32px`"),
    "batch-of-none": (changed({"trainer": {"batch_size": 0}}), "`trainer.batch_size: 0`"),
    "negative-rate": (changed({"optimizer": {"max_lr": -1}}), "`optimizer.max_lr: -1`"),
    "rise-over-all": (changed({"optimizer": {"pct_start": 2}}), "`optimizer.pct_start: 2`"),
    "truth-for-a-count": (changed({"trainer": {"iters": True}}), "`trainer.iters: True`"),
    "four-pools": (changed(VGG, {"cnn": {"ss": POOLS[:4]}}), "`cnn.ss: "),
    "pool-of-words": (changed(VGG, {"cnn": {"ks": "2,2"}}), "`cnn.ks: 2,2`"),
    "pool-of-none": (changed(VGG, {"cnn": {"ks": [[0, 2], *POOLS[1:]]}}), "`cnn.ks: "),
    "dropout-of-all": (changed(VGG, {"cnn": {"dropout": 1.5}}), "`cnn.dropout: 1.5`"),
    "widths-apart": (changed({"cnn": {"hidden": 32}}), "`transformer.d_model: 16`"),
    "channels-apart": (
        changed({"seq_modeling": "seq2seq", "transformer": {**SEQ2SEQ, "img_channel": 32}}),
        "`transformer.img_channel: 32`",
    ),
    "heads": (changed({"transformer": {"nhead": 3}}), "`transformer.nhead: 3`"),
    "no-layers": (changed({"transformer": {"num_encoder_layers": 0}}), "`transformer.num_encoder_layers: 0`"),
    "resnet-width": (
        changed({"cnn": {"hidden": 24}, "transformer": {"d_model": 24}}), "`cnn.hidden: 24`",
    ),
    "few-positions": (changed({"transformer": {"max_seq_length": 4}}), "`transformer.max_seq_length: 4`"),
    "even-kernel": (
        changed({"seq_modeling": "convseq2seq", "transformer": {**CONVSEQ2SEQ, "enc_kernel_size": 4}}),
        "`transformer.enc_kernel_size: 4`",
    ),
    "padding": (
        changed({"seq_modeling": "convseq2seq", "transformer": {**CONVSEQ2SEQ, "pad_idx": 2}}),
        "`transformer.pad_idx: 2`",
    ),
    "vocab-number": (changed({"vocab": 123456789}), "`vocab` is 123456789"),
    "vocab-empty": (changed({"vocab": ""}), "`vocab` is empty"),
    "section-no-mapping": (changed({"dataset": "data"}), "`dataset` is not a section"),
    "paddleocr": ({"Global": {"use_gpu": True}, "Optimizer": {}, "Architecture": {}}, "PaddleOCR"),
    "parseq": (
        {"model": {"_convert_": "all", "img_size": [32, 128], "max_label_length": 25}, "data": {},
         "trainer": {"_target_": "pytorch_lightning.Trainer"}}, "PARSeq",
    ),
    "easyocr": (
        "number: '0123456789'\nimgH: 64\nimgW: 600\nbatch_size: 32\nFeatureExtraction: VGG\n",
        "EasyOCR",
    ),
    "mmocr": ({"_base_": ["a.py"], "train_dataloader": {}, "optim_wrapper": {}, "model": {}}, "MMOCR"),
    "detectron": ({"MODEL": {}, "SOLVER": {}, "DATASETS": {}}, "Detectron2"),
    "yolo": ({"path": "../d", "train": "images", "val": "images", "names": {0: "line"}}, "YOLO"),
    "lightning": ({"seed_everything": 1, "model": {"class_path": "a.B"}, "trainer": {}}, "Lightning"),
    "kraken": ({"precision": "32-true", "train": {"training_data": ["a"], "format_type": "xml"}}, "kraken"),
    "its-own-transformer": (
        {"encoder": {"type": "swin_tiny"}, "decoder": {"type": "ctc"}, "lr": 0.0001, "num_epochs": 200,
         "transformer": {"embed_size": 384, "num_heads": 12}, "dataloader": {"num_workers": 0}}, "`encoder`",
    ),
    "another-program": ({"services": {"web": {"image": "nginx"}}, "volumes": {}}, "`services`"),
    "no-mapping": ("- a\n- b\n", "holds no settings"),
    "no-yaml": ("vocab: 'abc\ntrainer:\n", "cannot be read"),
}  # fmt: skip


def written(folder: Path, tree: dict[str, Any] | str) -> Path:
    text = tree if isinstance(tree, str) else yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    (folder / "config.yml").write_text(text, encoding="utf-8")
    return folder / "config.yml"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the lines that the configs name, in data/."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    for number in range(4):
        line_image(number, 90).save(folder / "data" / f"{number}.png")
    rows = "".join(f"{number}.png\tabc {number}\n" for number in range(4))
    for name in ("train.txt", "valid.txt"):
        (folder / "data" / name).write_text(rows, encoding="utf-8")
    return folder


def with_neighbours(folder: Path, shape: Shape) -> Path:
    for file, tree in shape.beside.items():
        (folder / file).write_text(yaml.safe_dump(dict(tree), allow_unicode=True), encoding="utf-8")
    return written(folder, shape.tree)


def preview(config: Path, project: Path) -> Result:
    data = ["--data", str(project / "data" / "train.txt"), "--valid", str(project / "data" / "valid.txt")]
    picture = config.with_name("preview.png")
    arguments = ["train", str(config), "--preview-batch", str(picture), "--device", "cpu", *data]
    return runner.invoke(app, arguments)


@pytest.mark.parametrize("name", READ)
def test_it_is_read_as_vietocr_reads_it(tmp_path: Path, name: str) -> None:
    shape = READ[name]
    found = inspect_path(str(with_neighbours(tmp_path, shape)))
    assert found.kind == "VietOCR config"
    for key, value in shape.reads.items():
        setting: Any = found.facts["settings"]
        for part in key.split("."):
            setting = setting[part]
        assert setting == (pytest.approx(value) if isinstance(value, float) else value), key
    said = " ".join([*found.facts["notes"], *(f"{key}: {value}" for key, value in found.facts.items())])
    for words in shape.says:
        assert words in said


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_file_key_and_remedy(tmp_path: Path, name: str) -> None:
    tree, words = REFUSED[name]
    with pytest.raises(VocrError) as caught:
        inspect_path(str(written(tmp_path, tree)))
    assert words in caught.value.problem and "config.yml" in caught.value.problem and caught.value.fix


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_training_refuses_it_alike(tmp_path: Path, project: Path, name: str) -> None:
    tree, words = REFUSED[name]
    result = preview(written(tmp_path, tree), project)
    assert result.exit_code == 1 and isinstance(result.exception, VocrError)
    problem, fix = result.exception.args
    assert words in problem and "config.yml" in problem and fix


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_what_is_read_can_be_trained(tmp_path: Path, project: Path, name: str) -> None:
    result = preview(with_neighbours(tmp_path, READ[name]), project)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "preview.png").is_file()


def test_the_notes_are_shown_and_the_lines_that_a_config_names_are_drawn(project: Path) -> None:
    config = written(project, changed({"dataset": {"image_heigth": 64}}))
    shown = runner.invoke(app, ["inspect", str(config)])
    assert shown.exit_code == 0 and "did you mean" not in shown.stdout and "image_heigth" in shown.stdout
    picture = str(project / "p.png")
    result = runner.invoke(app, ["train", str(config), "--preview-batch", picture, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "image_heigth" in result.stderr and Path(picture).is_file()
