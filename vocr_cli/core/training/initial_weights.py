"""What a run starts from: the number format, and the weights of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from vocr_cli.core.config.families import ModelConfig, VietocrConfig
from vocr_cli.core.config.tree import Config, ImageConfig
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.machine.precision import DeviceName, good_precisions
from vocr_cli.core.models.files import ModelFile, is_vietocr_file, load_model
from vocr_cli.core.models.vietocr.recognizer import feature_steps, position_limit
from vocr_cli.core.text import Charset

_CLASS_ROWS = {
    "ctc": ("head.weight", "head.bias"),
    "transformer": ("transformer.embed_tgt.weight", "transformer.fc.weight", "transformer.fc.bias"),
    "seq2seq": tuple(
        f"transformer.decoder.{name}" for name in ("embedding.weight", "fc_out.weight", "fc_out.bias")
    ),
    "convseq2seq": tuple(
        f"transformer.decoder.{name}" for name in ("tok_embedding.weight", "fc_out.weight", "fc_out.bias")
    ),
}
"""Weights with a row per class, by family or sequence model."""

_TABLE = "transformer.pos_enc.pe"
_NAMED_CONFIGS = {
    ("vgg19_bn", "transformer"): "vgg_transformer",
    ("vgg19_bn", "seq2seq"): "vgg_seq2seq",
    ("vgg19_bn", "convseq2seq"): "vgg_convseq2seq",
    ("resnet50", "transformer"): "resnet_transformer",
}
"""VietOCR's own configs."""


def choose_dtype(amp: str, device: DeviceName) -> torch.dtype:
    """Number format of the forward pass; `auto`: the fastest that the hardware runs well."""
    name = good_precisions(device)[-1] if amp == "auto" else "fp32" if amp == "off" else amp
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def check_widths(config: Config) -> None:
    """Refuses image sizes that the model has no features or no positions for.

    Raises:
        ConfigError: The pools leave nothing of a line, or the widest has more columns than positions.
    """
    model, image = config.model, config.image
    if not isinstance(model, VietocrConfig):
        return
    if feature_steps(model, image.height_px, image.min_width_px) < 1:
        raise ConfigError(
            f"The pools leave nothing of a line of {image.height_px} × {image.min_width_px} px.",
            "Raise image.height_px and image.min_width_px, or lower model.pool_strides.",
        )
    limit, most = position_limit(model), feature_steps(model, image.height_px, image.max_width_px)
    if limit is not None and most > limit:
        raise ConfigError(
            f"A line {image.max_width_px} px wide has {most:,} columns, the model has {limit:,} positions.",
            "Lower image.max_width_px, or raise the positions of the model.",
        )


def load_init(name_or_path: str, config: Config) -> ModelFile:
    """The model to start from.

    A VietOCR file with VietOCR's own characters is understood even where a config of other characters lies
    beside it: that may well be the one of the run.

    Raises:
        ModelError: No such model, or one that cannot be understood.
    """
    try:
        return load_model(name_or_path)
    except ModelError as error:
        if not isinstance(config.model, VietocrConfig) or not Path(name_or_path).is_file():
            raise
        named = _NAMED_CONFIGS.get((config.model.backbone, config.model.sequence))
        if named is None or not is_vietocr_file(Path(name_or_path)):
            raise
        try:
            return load_model(name_or_path, named)
        except ModelError:
            raise error from None


def transfer(model: ModelFile, module: nn.Module, charset: Charset, config: Config) -> str:
    """Copies weights into `module`; rows that belong to classes are matched by character.

    Returns:
        A note on what was taken over.

    Raises:
        ModelError: The architectures differ.
    """
    difference = _difference(model, config)
    if difference:
        raise ModelError(
            f"{model.name} has another architecture or image size than the config: {difference}.",
            "Copy `model:` and `image:` from `vocr inspect MODEL` into the config.",
        )
    state, fresh = model.module.state_dict(), module.state_dict()
    old, new = class_rows(model.charset, model.config), class_rows(charset, config.model)
    if old != new:
        for key in _CLASS_ROWS[getattr(config.model, "sequence", config.model.family)]:
            rows = fresh[key].clone()
            for name, place in new.items():
                if name in old:
                    rows[place] = state[key][old[name]]
            state[key] = rows
    if _TABLE in fresh:
        state[_TABLE] = fresh[_TABLE]  # computed, not learned, and the config's may be longer
    module.load_state_dict(state)
    added = [char for char in charset.characters if char not in model.charset]
    return f"Started from {model.name}" + (f"; new characters: {''.join(added)}" if added else "")


def class_rows(charset: Charset, config: ModelConfig) -> dict[str | int, int]:
    """The class of each special, by number, and of each character; the one special of CTC is its blank."""
    specials = config.specials if isinstance(config, VietocrConfig) else 1
    names: list[str | int] = [*range(specials), *charset.characters]
    return {name: row for row, name in enumerate(names)}


def _difference(model: ModelFile, config: Config) -> str:
    """The first setting by which a model cannot be taken over; empty: there is none."""
    theirs, ours = _architecture(model.config, model.image), _architecture(config.model, config.image)
    assumed: set[str] = set()
    written_by = str(model.provenance.get("written by", ""))
    if written_by.startswith("VietOCR") and model.provenance.get("config") is None:
        assumed = {"pool_strides", "pool_kernels", "transformer.heads"}  # what tensors do not tell
    for key in sorted(theirs.keys() | ours.keys(), key=lambda key: (key != "family", key)):
        if key not in assumed and theirs.get(key) != ours.get(key):
            return f"{key} is {theirs.get(key)}, not {ours.get(key)}"
    return ""


def _architecture(config: ModelConfig, image: ImageConfig) -> dict[str, Any]:
    """What weights depend on, by dotted name; a convolutional backbone reads lines of any size."""
    tree = config.model_dump()
    if not isinstance(config, VietocrConfig):
        flat = tree | {f"image.{key}": value for key, value in image.model_dump().items()}
        return {key: value for key, value in flat.items() if key not in ("dropout", "image.stretch")}
    sizes = {name: tree.pop(name) for name in ("transformer", "seq2seq", "convseq2seq")}[config.sequence]
    flat = tree | {f"{config.sequence}.{key}": value for key, value in sizes.items()}
    passed = {"specials", "transformer.positions"}
    if config.backbone == "resnet50":
        passed |= {"pool_strides", "pool_kernels"}
    kept = {key: value for key, value in flat.items() if key not in passed and not key.endswith("dropout")}
    return kept | {"image.channels": image.channels}
