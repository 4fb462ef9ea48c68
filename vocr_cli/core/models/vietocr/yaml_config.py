"""VietOCR's YAML files as vocr's settings, and back. A file may hold overrides alone.

As VietOCR does, sections are laid whole over those of `base.yml`. What an old file calls otherwise is
understood, what has no counterpart is named in the notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from vocr_cli.core.config.families import ModelConfig, VietocrConfig
from vocr_cli.core.config.foreign import refuse_foreign
from vocr_cli.core.config.tree import SECTIONS as OUR_SECTIONS
from vocr_cli.core.config.tree import Config, ImageConfig, read_tree
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.yaml_rules.base_file import over_base
from vocr_cli.core.models.vietocr.yaml_rules.known_keys import (
    DATA_PATHS,
    MAPPINGS,
    OLD_CNN_NAMES,
    SECTIONS,
    SEQUENCES,
    absent_sections,
    is_vietocr,
    missing_keys,
    unknown_keys,
)
from vocr_cli.core.models.vietocr.yaml_rules.refusals import (
    check_sizes,
    features_width,
    fit_lines,
    missing_config,
    number,
    parse_settings,
    read_pools,
    refusal,
)
from vocr_cli.core.models.vietocr.yaml_rules.vocab import read_vocab
from vocr_cli.core.models.vietocr.yaml_training import training_settings
from vocr_cli.core.text import Charset

BACKBONES = ("vgg11_bn", "vgg19_bn", "resnet50")

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
        sections: Those that the file and the base beside it have, old shapes brought into today's.
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
    sections: dict[str, Any]
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


def read_vietocr_yaml(name_or_path: str | Path) -> VietocrYaml:
    """Reads one of VietOCR's named configs, or a file.

    Raises:
        ConfigError: No such file, no YAML, not VietOCR's, or a value that cannot be used.
    """
    path = named_configs().get(str(name_or_path), Path(name_or_path))
    if not path.exists():
        raise missing_config(name_or_path, named_configs())
    sections = read_tree(path)
    if not is_vietocr(sections):
        refuse_foreign(sections, str(path), SECTIONS | OUR_SECTIONS)
        raise ConfigError(
            f"{path} is not a VietOCR config.",
            f"Name a YAML with sections such as `vocab:` and `cnn:`, or one of {', '.join(named_configs())}.",
        )
    notes: list[str] = []
    if path not in named_configs().values():
        sections = over_base(path, sections, notes)
        if absent := absent_sections(sections):
            notes.append(f"Sections not in the file, so VietOCR's defaults: {', '.join(absent)}.")
    sections = _modern(sections, notes)
    tree = {**read_tree(named_configs()["base"]), **sections}
    for section in MAPPINGS:
        if not isinstance(tree.get(section) or {}, dict):
            raise ConfigError(f"{path}: `{section}` is not a section.", "Write its keys below it, indented.")
        tree[section] = tree.get(section) or {}
    vocab = read_vocab(tree["vocab"], path, notes)
    settings: dict[str, Any] = {
        "model": _model(tree, str(path), notes),
        "image": _image(tree, str(path)),
        "charset": {"characters": vocab.trained},
        **training_settings(tree, sections, str(path), notes),
    }
    config = fit_lines(parse_settings(settings, tree, str(path)), str(path), notes)
    keys = "data_root", "train_annotation", "valid_annotation"
    root, train, valid = (_path(sections.get("dataset"), key, path) for key in keys)
    return VietocrYaml(
        origin=str(path),
        sections=sections,
        config=config,
        characters=vocab.classes if sections.get("vocab") is not None else None,
        beamsearch=bool(tree["predictor"].get("beamsearch")),
        weights=_weights_name(sections),
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
    sequence = tree.get("seq_modeling")
    if unknown := unknown_keys(tree, sequence if isinstance(sequence, str) else "transformer"):
        notes.append(f"Left aside, unknown to VietOCR: {', '.join(unknown)}.")
    if missing := missing_keys(tree):
        notes.append(f"Not said, so VietOCR's defaults: {', '.join(f'`{key}`' for key in missing)}.")
    tree = {key: value for key, value in tree.items() if key in SECTIONS}
    cnn, trainer = tree.get("cnn"), tree.get("trainer")
    if isinstance(tree.get("pretrain"), dict):
        notes.append("`pretrain` is a section, as in old files: it names a download, which vocr never makes.")
    if isinstance(cnn, dict):
        if old_names := [name for name in (*OLD_CNN_NAMES, "backbone") if name in cnn]:
            notes.append(f"Old names understood: {', '.join(f'cnn.{name}' for name in old_names)}.")
        tree["cnn"] = {
            OLD_CNN_NAMES.get(name, name): value for name, value in cnn.items() if name != "backbone"
        }
        if "backbone" in cnn:
            tree.setdefault("backbone", cnn["backbone"])
    if isinstance(trainer, dict):
        moved = {key: trainer[key] for key in DATA_PATHS if key in trainer}
        if moved and "dataset" not in tree:
            notes.append("Paths of the data are in `trainer`, as in old files: understood.")
            tree["dataset"] = moved
        if "epochs" in trainer and "iters" not in trainer:
            notes.append(
                "`trainer.epochs` is left aside: a run is as long as `trainer.iters`, by default 100,000."
            )
    return tree


def _model(tree: dict[str, Any], origin: str, notes: list[str]) -> dict[str, Any]:
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
        raise refusal(
            origin,
            "transformer.pad_idx",
            sizes["pad_idx"],
            "is not 0, VietOCR's padding class",
            "Set it to 0.",
        )
    check_sizes(tree, origin)
    model: dict[str, Any] = {
        "family": "vietocr",
        "backbone": backbone,
        "sequence": sequence,
        sequence: {
            ours: number(tree, f"transformer.{theirs}", 0, origin)
            for theirs, ours in SEQUENCES[sequence].items()
            if theirs in sizes
        },
        "hidden": (hidden := features_width(tree, origin)),
    }
    if cnn.get("hidden") is None and hidden != 256:
        notes.append(f"`cnn.hidden` is not said: {hidden}, the width that the sequence model takes.")
    if backbone != "resnet50":
        for theirs, ours in (("ss", "pool_strides"), ("ks", "pool_kernels")):
            if cnn.get(theirs) is not None:
                model[ours] = read_pools(cnn[theirs], f"cnn.{theirs}", origin, notes)
    if cnn.get("dropout") is not None:
        model["feature_dropout"] = number(tree, "cnn.dropout", 0, origin)
    return model


def _image(tree: dict[str, Any], origin: str) -> dict[str, Any]:
    names = {
        "image_height": "height_px",
        "image_min_width": "min_width_px",
        "image_max_width": "max_width_px",
    }
    image = VIETOCR_IMAGE.to_dict()
    sizes = {ours: number(tree, f"dataset.{theirs}", image[ours], origin) for theirs, ours in names.items()}
    return image | sizes


def _weights_name(sections: dict[str, Any]) -> str:
    """The file or URL of the weights; in the oldest files a section says where a download is kept."""
    weights = sections.get("weights")
    if isinstance(weights, dict):
        weights = weights.get("cached") or weights.get("id_or_url")
    return str(weights or "")


def _path(section: Any, key: str, origin: Path) -> Path | None:
    value = section.get(key) if isinstance(section, dict) else None
    if not isinstance(value or "", str):
        raise ConfigError(f"{origin}: `dataset.{key}: {value!s:.60}` is no path.", "Write it as text.")
    return Path(value) if value else None
