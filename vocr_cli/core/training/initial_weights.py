"""What a run starts from: the number format, and the weights of another model."""

from __future__ import annotations

from pathlib import Path

import torch

from vocr_cli.core.config.families import ModelConfig
from vocr_cli.core.config.tree import Config
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.machine.precision import DeviceName, good_precisions
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.description import language_model_of
from vocr_cli.core.models.files import ModelFile, load_model
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.models.spec import resolve_model
from vocr_cli.core.models.vietocr.yaml_config import name_of_config
from vocr_cli.core.text import Charset

_SHOWN_CHARACTERS = 40
_VIETNAMESE_LETTERS = frozenset("ăâđêôơư")


def choose_dtype(amp: str, device: DeviceName) -> torch.dtype:
    """Number format of the forward pass; `auto`: the fastest that the hardware runs well."""
    name = good_precisions(device)[-1] if amp == "auto" else "fp32" if amp == "off" else amp
    return TORCH_DTYPES[name]


def check_widths(config: Config) -> None:
    """Refuses image sizes that the model has no features or no positions for.

    Raises:
        ConfigError: The pools leave nothing of a line, the widest has more columns than positions, or is
            narrower than the narrowest: VietOCR reads with such settings, but trains to no good.
    """
    model, image = config.model, config.image
    narrowest, widest = image.min_width_px, image.max_width_px
    if narrowest > widest:
        raise ConfigError(
            f"image.min_width_px is {narrowest:,}, above image.max_width_px, {widest:,}.",
            "Lower the first, or raise the second.",
        )
    if model.feature_steps(image.height_px, image.min_width_px) < 1:
        raise ConfigError(
            f"The pools leave nothing of a line of {image.height_px} × {image.min_width_px} px.",
            "Raise image.height_px and image.min_width_px, or lower model.pool_strides.",
        )
    limit, most = model.position_limit, model.feature_steps(image.height_px, image.max_width_px)
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
        vietocr_config = name_of_config(config.model)
        if vietocr_config is None or resolve_model(name_or_path).kind != "VietOCR weights":
            raise
        try:
            return load_model(name_or_path, vietocr_config)
        except ModelError:
            raise error from None


def transfer(
    model: ModelFile, module: RecognitionModel, charset: Charset, config: Config, init: str = ""
) -> str:
    """Copies weights into `module`; rows that belong to classes are matched by character.

    Args:
        model: Whose weights.
        module: That is to be trained.
        charset: Its characters.
        config: Of the run.
        init: What the user called the model, for what to type; empty: its name.

    Returns:
        A note on what was taken over.

    Raises:
        ModelError: The architectures differ.
    """
    difference = _difference(model, config)
    if difference:
        raise ModelError(
            f"{model.name} has another architecture or image size than the config: {difference}.",
            f"Write a config that fits: vocr autoconf --data LMDB --init {init or model.name} --out FILE; "
            "or leave --init out.",
        )
    state, fresh = model.module.state_dict(), module.state_dict()
    old, new = class_rows(model.charset, model.config), class_rows(charset, config.model)
    if old != new:
        for key in module.class_rows():
            taken = [(place, old[name]) for name, place in new.items() if name in old]
            to, source = (torch.tensor(rows) for rows in zip(*taken, strict=True))
            # (outputs of a column, classes, ...): each output has a row for every class
            rows = fresh[key].clone().unflatten(0, (-1, len(new)))
            rows[:, to] = state[key].unflatten(0, (-1, len(old)))[:, source]
            state[key] = rows.flatten(0, 1)
    if (table := module.position_table()) is not None:
        state[table] = fresh[table]  # computed, not learned, and the config's may be longer
    module.load_state_dict(state)
    added = "".join(char for char in charset.characters if char not in model.charset)
    lost = "".join(char for char in model.charset.characters if char not in charset)
    said = [f"Started from {model.name}"]
    if added:
        said.append(f"new characters: {added}")
    if lost:
        which = lost if len(lost) <= _SHOWN_CHARACTERS else f"{len(lost)} of {len(model.charset)}"
        said.append(f"its characters that this charset lacks, and which are forgotten: {which}")
    return "; ".join(said)


def origin(init: str | None, charset: Charset) -> tuple[str, str]:
    """Where a run's weights come from, and what the trained model is to be read with.

    Args:
        init: The model that training starts from; None: from random weights.
        charset: Of the run.

    Returns:
        The model's name, and that of its language model, unless the charset lacks Vietnamese letters: then
        the lines are of another language. Empty where there is none.

    Raises:
        ModelError: The model is damaged.
    """
    if init is None:
        return "", ""
    is_vietnamese = all(letter in charset for letter in _VIETNAMESE_LETTERS)
    return Path(init).name, language_model_of(resolve_model(init)) if is_vietnamese else ""


def class_rows(charset: Charset, config: ModelConfig) -> dict[str | int, int]:
    """The class of each special, by number, and of each character; the one special of CTC is its blank."""
    names: list[str | int] = [*range(config.special_classes), *charset.characters]
    return {name: row for row, name in enumerate(names)}


def _difference(model: ModelFile, config: Config) -> str:
    """The first setting by which a model cannot be taken over; empty: there is none."""
    theirs = model.config.weight_settings(model.image.to_dict())
    ours = config.model.weight_settings(config.image.to_dict())
    assumed: set[str] = set()
    written_by = str(model.provenance.get("written by", ""))
    if written_by.startswith("VietOCR") and model.provenance.get("config") is None:
        assumed = {"pool_strides", "pool_kernels", "transformer.heads"}  # what tensors do not tell
    telling = ("sequence", "backbone", "family")  # of which the others are consequences
    keys = theirs.keys() | ours.keys()
    for key in sorted(keys, key=lambda key: (-telling.index(key) if key in telling else 1, key)):
        if key not in assumed and theirs.get(key) != ours.get(key):
            return f"{key} is {theirs.get(key)}, not {ours.get(key)}"
    return ""
