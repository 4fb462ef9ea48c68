"""Values of VietOCR's YAML files that cannot be used, called by VietOCR's own keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vocr_cli.core.config.families import VietocrConfig
from vocr_cli.core.config.faults import explain
from vocr_cli.core.config.tree import Config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.yaml_rules.known_keys import SEQUENCES

_KEYS = {
    "model.pool_strides": "cnn.ss",
    "model.pool_kernels": "cnn.ks",
    "model.hidden": "cnn.hidden",
    "model.feature_dropout": "cnn.dropout",
    "image.height_px": "dataset.image_height",
    "image.min_width_px": "dataset.image_min_width",
    "image.max_width_px": "dataset.image_max_width",
    "charset.characters": "vocab",
    "data.workers": "dataloader.num_workers",
    "batch.max_lines": "trainer.batch_size",
    "optim.lr": "optimizer.max_lr",
    "schedule.onecycle_peak_share": "optimizer.pct_start",
    "schedule.final_lr_share": "optimizer.final_div_factor",
    "train.max_steps": "trainer.iters",
    "train.log_every_steps": "trainer.print_every",
    "validate.every_steps": "trainer.valid_every",
    "validate.max_lines": "trainer.metrics",
}
"""VietOCR's key of each of our settings; those of the sequence models are in `SEQUENCES`."""

MEETING_WIDTHS = {"transformer": "d_model", "seq2seq": "img_channel", "convseq2seq": "emb_dim"}
"""The key of `transformer` that is the width of the features, by sequence model."""

_POOLS = 5  # of a VGG
_SIZES_PX = range(8, 1025)
_STOCK = "`vocr inspect vgg_transformer` shows VietOCR's own values."


def number(tree: Mapping[str, Any], key: str, default: float, origin: str) -> float:
    """A number of a section, whole ones as int: YAML reads `1e-3` as text, some files end it with a comma.

    Args:
        tree: The sections.
        key: `section.key`.
        default: Stands for what is not there, or null.
        origin: Names the file in the error.

    Raises:
        ConfigError: The value is no number.
    """
    section, _, name = key.partition(".")
    value = tree[section].get(name)
    if value is None:
        return default
    try:
        if isinstance(value, bool):
            raise TypeError
        parsed = float(value.strip(" ,") if isinstance(value, str) else value)
        return int(parsed) if parsed.is_integer() else parsed
    except (TypeError, ValueError, OverflowError):
        raise refusal(origin, key, value, "is no number", "Write a number there.") from None


def parse_settings(settings: dict[str, Any], tree: Mapping[str, Any], origin: str) -> Config:
    """Checks the settings that a YAML was turned into.

    Args:
        settings: Ours.
        tree: The sections that they come from.
        origin: Names the file in errors.

    Raises:
        ConfigError: Values are out of range; each is named by VietOCR's key.
    """
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = [_in_vietocrs_words(item, settings, tree) for item in error.errors()]
        raise ConfigError(f"{origin}: {'; '.join(problems)}.", f"Correct it there; {_STOCK}") from None


def check_sizes(tree: Mapping[str, Any], origin: str) -> None:
    """Refuses sizes that do not fit each other, on which VietOCR ends with an error of torch's.

    Args:
        tree: The sections, `seq_modeling` and `backbone` known ones.
        origin: Names the file in errors.

    Raises:
        ConfigError: Some do not.
    """
    sequence, hidden = tree["seq_modeling"], features_width(tree, origin)
    meeting = f"transformer.{MEETING_WIDTHS[sequence]}"
    width = number(tree, meeting, hidden, origin)
    if width != hidden:
        reason = f"is not `cnn.hidden: {hidden}`, the width of the features"
        raise refusal(origin, meeting, width, reason, "Set both to the same number.")
    if tree.get("backbone") == "resnet50" and hidden % 16:
        raise refusal(origin, "cnn.hidden", hidden, "is no multiple of 16, as resnet50 needs", "Round it.")
    heads = number(tree, "transformer.nhead", 8, origin)
    if sequence == "transformer" and heads >= 1 and width % heads:
        reason = f"does not divide `transformer.d_model: {width}`"
        raise refusal(origin, "transformer.nhead", heads, reason, "Choose a divisor, such as 8.")
    kernel = number(tree, "transformer.enc_kernel_size", 3, origin)
    if sequence == "convseq2seq" and kernel % 2 == 0:
        reason = "is even, and shortens the line at each layer"
        raise refusal(
            origin, "transformer.enc_kernel_size", kernel, reason, "Choose an odd number, such as 3."
        )


def features_width(tree: Mapping[str, Any], origin: str) -> float:
    """The width of the features; where a file does not say it, as the oldest, that of the sequence model."""
    meeting = f"transformer.{MEETING_WIDTHS[tree['seq_modeling']]}"
    return number(tree, "cnn.hidden", number(tree, meeting, 256, origin), origin)


def fit_lines(config: Config, origin: str, notes: list[str]) -> Config:
    """Refuses image sizes of which the backbone leaves nothing; lowers a width that has no positions.

    VietOCR's training ends at the first line that is too wide for the table of positions.

    Raises:
        ConfigError: Nothing is left of a line, or too much of the narrowest.
    """
    model, image = config.model, config.image
    assert isinstance(model, VietocrConfig)
    height, narrowest, limit = image.height_px, image.min_width_px, model.position_limit
    nothing = f"leaves nothing behind the pools of {model.backbone}, and VietOCR ends there"
    if model.feature_steps(height, narrowest) < 1:
        least = next((px for px in _SIZES_PX if model.feature_steps(px, narrowest) >= 1), None)
        if least is not None:
            raise refusal(origin, "dataset.image_height", height, nothing, f"Set it to {least} or more.")
        least = next((px for px in _SIZES_PX if model.feature_steps(height, px) >= 1), None)
        remedy = f"Set it to {least} or more." if least else "Lower the strides and sizes in `cnn`."
        raise refusal(origin, "dataset.image_min_width", narrowest, nothing, remedy)
    if limit is None or model.feature_steps(height, image.max_width_px) <= limit:
        return config
    key = f"transformer.{'max_seq_length' if model.sequence == 'transformer' else 'enc_max_length'}"
    widest = _widest(lambda px: model.feature_steps(height, px) <= limit, image.max_width_px)
    if widest < narrowest:
        steps = model.feature_steps(height, narrowest)
        raise refusal(
            origin, key, limit, f"is less than the {steps:,} features of the narrowest line", "Raise it."
        )
    notes.append(
        f"Lines are at most {widest} px wide, not {image.max_width_px}: `{key}: {limit}` has no positions "
        "for more, and VietOCR ends at such a line."
    )
    return config.model_copy(update={"image": replace(image, max_width_px=widest)})


def _widest(fits: Callable[[int], bool], most: int) -> int:
    """The widest line that fits, of those from the least that `image.max_width_px` takes; 0: none does."""
    low, high = 63, most  # `low` fits, or is too narrow to be asked
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low > 63 else 0


def refusal(origin: str, key: str, value: Any, reason: str, remedy: str) -> ConfigError:
    """The error of a value: file, VietOCR's key, what is wrong, and what to do."""
    return ConfigError(f"{origin}: `{key}: {value}` {reason}.", remedy)


def read_pools(value: Any, key: str, origin: str, notes: list[str]) -> list[Any]:
    """The strides or sizes of the pools, (h, w) each; a number stands for both, as torch has it."""
    items = value if isinstance(value, list) else []
    pairs = [item if isinstance(item, list) else [item, item] for item in items]
    whole = all(isinstance(number, int) and number > 0 for pair in pairs for number in pair)
    if len(pairs) < _POOLS or not whole or {len(pair) for pair in pairs} != {2}:
        reason = f"is no list of {_POOLS} pairs of whole numbers from 1"
        raise refusal(origin, key, value, reason, "Write [[2, 2], [2, 2], [2, 1], [2, 1], [1, 1]].")
    if len(pairs) > _POOLS:
        notes.append(f"`{key}` has {len(pairs)} pairs; a VGG has {_POOLS} pools, which take the first.")
    return pairs[:_POOLS]


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Asks whether the known name nearest to this one, or to this file's, was meant; or says nothing."""
    stem = re.sub(r"\.ya?ml$", "", name.rpartition("/")[2], flags=re.IGNORECASE).replace("-", "_").lower()
    nearest = get_close_matches(stem, list(known), 1, 0.75)
    return f"Did you mean {nearest[0]}? " if nearest else ""


def missing_config(name_or_path: str | Path, known: Iterable[str]) -> ConfigError:
    """The error of a config that is not there; `known` are the names of VietOCR's own.

    VietOCR's files are called `vgg-transformer.yml`, its configs `vgg_transformer`; it downloads both.
    """
    known = list(known)
    name = re.sub(r"^(https?):/+", r"\1://", str(name_or_path))  # a path has lost a slash
    remedy = f"{nearest_name(name, known)}VietOCR's configs go by their names: {', '.join(known)}."
    if "://" in name:
        return ConfigError(f"{name} is a URL, and nothing is downloaded.", f"{remedy} Or fetch that file.")
    return ConfigError(
        f"No config at {name}.", f"{remedy} A config to train with is written by `vocr autoconf`."
    )


def _in_vietocrs_words(item: Any, settings: dict[str, Any], tree: Mapping[str, Any]) -> str:
    """One of pydantic's errors, its setting called as the file calls it, with the value that stands there."""
    path, words = ".".join(map(str, item["loc"])), explain(item, Config, settings)
    sequence = str(tree.get("seq_modeling"))
    keys = _KEYS | {
        f"model.{sequence}.{ours}": f"transformer.{theirs}"
        for theirs, ours in SEQUENCES.get(sequence, {}).items()
    }
    ours = next((name for name in keys if path == name or path.startswith(f"{name}.")), None)
    if ours is None:
        for name, key in keys.items():  # a rule that joins several settings names them in its message
            words = words.replace(f"`{name}`", f"`{key}`")
        return words
    section, _, name = keys[ours].partition(".")
    value = tree[section].get(name) if name else tree[section]
    return words.replace(f"`{path}`", f"`{keys[ours]}: {value}`")
