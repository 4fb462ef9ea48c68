"""VietOCR's YAML files as vocr's settings, and back. A file may hold overrides alone.

As VietOCR does, sections are laid whole over those of `base.yml`. What an old file calls otherwise is
understood, what has no counterpart is named in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from vocr_cli.core.config.families import ModelConfig, VietocrConfig
from vocr_cli.core.config.tree import Config, ImageConfig, parse_config, read_tree
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.yaml_training import number, training_settings
from vocr_cli.core.text import Charset

BACKBONES = ("vgg11_bn", "vgg19_bn", "resnet50")
SEQUENCES = {
    "transformer": {
        "d_model": "d_model",
        "nhead": "heads",
        "num_encoder_layers": "encoder_layers",
        "num_decoder_layers": "decoder_layers",
        "dim_feedforward": "feed_forward",
        "max_seq_length": "positions",
        "pos_dropout": "position_dropout",
        "trans_dropout": "dropout",
    },
    "seq2seq": {
        "encoder_hidden": "encoder_hidden",
        "decoder_hidden": "decoder_hidden",
        "decoder_embedded": "embedding",
        "dropout": "dropout",
    },
    "convseq2seq": {
        "emb_dim": "embedding",
        "hid_dim": "hidden",
        "enc_layers": "encoder_layers",
        "dec_layers": "decoder_layers",
        "enc_kernel_size": "encoder_kernel",
        "dec_kernel_size": "decoder_kernel",
        "enc_max_length": "encoder_positions",
        "dec_max_length": "decoder_positions",
        "dropout": "dropout",
    },
}
"""VietOCR's names of sizes and ours, by sequence model."""

_SECTIONS = {
    "vocab", "device", "seq_modeling", "transformer", "optimizer", "trainer", "dataset", "dataloader", "aug",
    "predictor", "quiet", "pretrain", "weights", "backbone", "cnn",
}  # fmt: skip

_NAMED_CONFIGS = {
    ("vgg19_bn", "transformer"): "vgg_transformer",
    ("vgg19_bn", "seq2seq"): "vgg_seq2seq",
    ("vgg19_bn", "convseq2seq"): "vgg_convseq2seq",
    ("resnet50", "transformer"): "resnet_transformer",
}
"""VietOCR's config of each backbone and sequence model."""


@dataclass(frozen=True)
class VietocrYaml:
    """What a VietOCR YAML says.

    Attributes:
        origin: The file.
        stated: The sections that the file itself has.
        config: All of it that is a setting here, VietOCR's defaults where the file is silent.
        characters: The file's own `vocab`; None: it has none.
        beamsearch: Whether lines are to be read with a beam.
        weights: File or URL; empty: not said.
        images: The folder that annotations and image paths start at; None, as the next two: not said.
        train_annotation: Where the training lines are listed.
        valid_annotation: Where the validation lines are listed.
        notes: What was understood in an old shape or left aside.
    """

    origin: str
    stated: frozenset[str]
    config: Config
    characters: str | None
    beamsearch: bool
    weights: str
    images: Path | None
    train_annotation: Path | None
    valid_annotation: Path | None
    notes: tuple[str, ...]

    @property
    def model(self) -> VietocrConfig:
        """Backbone, sequence model and sizes."""
        model = self.config.model
        assert isinstance(model, VietocrConfig)  # `read_vietocr_yaml` makes no other
        return model

    @property
    def image(self) -> ImageConfig:
        """How a line becomes a tensor."""
        return self.config.image


@cache
def named_configs() -> dict[str, Path]:
    """VietOCR's own configs by name, `vgg_transformer` and the rest; `base` is under all of them."""
    folder = Path(str(resources.files("vocr_cli") / "assets" / "vietocr"))
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def name_of_config(config: ModelConfig) -> str | None:
    """VietOCR's own config with the backbone and the sequence model of `config`; None: it has none."""
    if not isinstance(config, VietocrConfig):
        return None
    return _NAMED_CONFIGS.get((config.backbone, config.sequence))


def is_vietocr(tree: Mapping[str, Any]) -> bool:
    """Whether a YAML mapping is a VietOCR config, rather than one of ours or something else."""
    ours = {field.alias or name for name, field in Config.model_fields.items()}
    return bool(_SECTIONS & tree.keys()) and not ours & tree.keys()


def read_vietocr_yaml(name_or_path: str | Path) -> VietocrYaml:
    """Reads one of VietOCR's named configs, or a file.

    Raises:
        ConfigError: No such file, no YAML, not VietOCR's, or a value that cannot be used.
    """
    path = named_configs().get(str(name_or_path), Path(name_or_path))
    sections = read_tree(path)
    if not is_vietocr(sections):
        raise ConfigError(
            f"{path} is not a VietOCR config.",
            f"Name a YAML with sections such as `vocab:` and `cnn:`, or one of {', '.join(named_configs())}.",
        )
    notes: list[str] = []
    sections = _modern(sections, notes)
    tree = {**read_tree(named_configs()["base"]), **sections}
    for section in (
        "transformer",
        "optimizer",
        "trainer",
        "dataset",
        "dataloader",
        "aug",
        "predictor",
        "cnn",
    ):
        if not isinstance(tree.get(section) or {}, dict):
            raise ConfigError(f"{path}: `{section}` is not a section.", "Write its keys below it, indented.")
        tree[section] = tree.get(section) or {}
    settings: dict[str, Any] = {
        "model": _model(tree, str(path)),
        "image": _image(tree["dataset"], str(path)),
        "charset": {"characters": _vocab(tree["vocab"], path)},
        **training_settings(tree, sections, str(path), notes),
    }
    root = _path(sections.get("dataset"), "data_root")
    train, valid = (_path(sections.get("dataset"), f"{kind}_annotation") for kind in ("train", "valid"))
    return VietocrYaml(
        origin=str(path),
        stated=frozenset(sections),
        config=parse_config(settings, str(path)),
        characters=_vocab(sections["vocab"], path) if sections.get("vocab") is not None else None,
        beamsearch=bool(tree["predictor"].get("beamsearch")),
        weights=str(sections.get("weights") or ""),
        images=root,
        train_annotation=train and (root or Path()) / train,
        valid_annotation=valid and (root or Path()) / valid,
        notes=tuple(notes),
    )


def vietocr_tree(config: VietocrConfig, image: ImageConfig, charset: Charset, weights: str) -> dict[str, Any]:
    """A complete VietOCR config for such a model, `weights` its file: VietOCR reads it as it is."""
    sizes = getattr(config, config.sequence)
    sequence = {theirs: getattr(sizes, ours) for theirs, ours in SEQUENCES[config.sequence].items()}
    if config.sequence == "seq2seq":
        sequence["img_channel"] = config.hidden
    if config.sequence == "convseq2seq":
        sequence |= {"pad_idx": 0, "device": "cpu"}
    cnn: dict[str, Any] = {"ss": [list(pair) for pair in config.pool_strides], "hidden": config.hidden}
    if config.backbone != "resnet50":
        cnn |= {
            "ks": [list(pair) for pair in config.pool_kernels],
            "dropout": config.feature_dropout,
            "pretrained": False,
        }
    tree = read_tree(named_configs()["base"])
    tree["dataset"] |= {
        "image_height": image.height_px,
        "image_min_width": image.min_width_px,
        "image_max_width": image.max_width_px,
    }
    return tree | {
        "vocab": charset.characters,
        "backbone": config.backbone,
        "cnn": cnn,
        "seq_modeling": config.sequence,
        "transformer": sequence,
        "weights": weights,
        "pretrain": weights,
    }


def _modern(tree: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The file's own sections, old shapes brought into today's."""
    if unknown := [str(key) for key in tree if key not in _SECTIONS]:
        notes.append(f"Left aside, unknown to VietOCR: {', '.join(unknown)}.")
    tree = {key: value for key, value in tree.items() if key in _SECTIONS}
    cnn, trainer = tree.get("cnn"), tree.get("trainer")
    if isinstance(tree.get("pretrain"), dict):
        notes.append("`pretrain` is a section, as in old files: it names a download, which vocr never makes.")
    if isinstance(cnn, dict):
        old = {"pooling_stride_size": "ss", "pooling_kernel_size": "ks"}
        if old_names := [name for name in (*old, "backbone") if name in cnn]:
            notes.append(f"Old names understood: {', '.join(f'cnn.{name}' for name in old_names)}.")
        tree["cnn"] = {old.get(name, name): value for name, value in cnn.items() if name != "backbone"}
        if "backbone" in cnn:
            tree.setdefault("backbone", cnn["backbone"])
    if isinstance(trainer, dict):
        moved = {
            key: trainer[key]
            for key in ("data_root", "train_annotation", "valid_annotation")
            if key in trainer
        }
        if moved and "dataset" not in tree:
            notes.append("Paths of the data are in `trainer`, as in old files: understood.")
            tree["dataset"] = moved
        if "epochs" in trainer and "iters" not in trainer:
            notes.append(
                "`trainer.epochs` is left aside: a run is as long as `trainer.iters`, by default 100,000."
            )
    return tree


def _model(tree: dict[str, Any], origin: str) -> dict[str, Any]:
    backbone = tree.get("backbone", "vgg19_bn")
    sequence = tree["seq_modeling"]
    for key, value, known in (
        ("backbone", backbone, BACKBONES),
        ("seq_modeling", sequence, tuple(SEQUENCES)),
    ):
        if value not in known:
            raise ConfigError(
                f"{origin}: `{key}: {value}` is not supported.", f"These are: {', '.join(known)}."
            )
    cnn, sizes = tree["cnn"], tree["transformer"]
    if sizes.get("pad_idx", 0) != 0:
        raise ConfigError(f"{origin}: `transformer.pad_idx` must be 0.", "VietOCR's padding class is 0.")
    model: dict[str, Any] = {
        "family": "vietocr",
        "backbone": backbone,
        "sequence": sequence,
        sequence: {
            ours: number(sizes, theirs, 0, origin)
            for theirs, ours in SEQUENCES[sequence].items()
            if theirs in sizes
        },
    }
    if backbone != "resnet50":
        for theirs, ours in (("ss", "pool_strides"), ("ks", "pool_kernels")):
            if isinstance(cnn.get(theirs), list):
                model[ours] = [[pair, pair] if isinstance(pair, int) else pair for pair in cnn[theirs]]
    for theirs, ours in (("hidden", "hidden"), ("dropout", "feature_dropout")):
        if cnn.get(theirs) is not None:
            model[ours] = number(cnn, theirs, 0, origin)
    return model


def _image(dataset: dict[str, Any], origin: str) -> dict[str, Any]:
    names = {
        "image_height": "height_px",
        "image_min_width": "min_width_px",
        "image_max_width": "max_width_px",
    }
    image = VIETOCR_IMAGE.to_dict()
    return image | {ours: number(dataset, theirs, image[ours], origin) for theirs, ours in names.items()}


def _vocab(vocab: Any, path: Path) -> str:
    if isinstance(vocab, list) and all(isinstance(char, str) and len(char) == 1 for char in vocab):
        return "".join(vocab)
    if not isinstance(vocab, str):
        raise ConfigError(f"{path}: `vocab` is no text.", "Write all characters between quotes.")
    return vocab


def _path(section: Any, key: str) -> Path | None:
    value = section.get(key) if isinstance(section, dict) else None
    if not isinstance(value or "", str):
        raise ConfigError(f"`dataset.{key}: {str(value)[:60]}` is no path.", "Write the path as text.")
    return Path(value) if value else None
