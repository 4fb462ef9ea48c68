"""VietOCR's weight files (.pth): read without executing anything, understood from their tensors.

A file is a state dict, or a checkpoint with one inside. Legend: C classes, specials and characters.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from bisect import bisect_right
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from vocr_cli.core.config.families import VietocrConfig
from vocr_cli.core.config.tree import ImageConfig
from vocr_cli.core.errors import DataError, ModelError, reason_of
from vocr_cli.core.models.finite import DIVERGED, not_finite
from vocr_cli.core.models.shape_check import Misfit, check_shapes
from vocr_cli.core.models.torch_files import NotPlain, load_tensors
from vocr_cli.core.models.vietocr.constants import VIETOCR_CHARACTERS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.language_transformer import sinusoids
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.sizes import read_sizes
from vocr_cli.core.models.vietocr.yaml_config import VietocrYaml, read_vietocr_yaml
from vocr_cli.core.models.vietocr.yaml_rules.beside import yaml_beside
from vocr_cli.core.models.zip_size import Inflation
from vocr_cli.core.text import Charset

_NOT_VIETOCR = "Give weights that VietOCR saved, `trainer.export` or `trainer.checkpoint` of its config."
_NO_CONFIG = "No config beside {}: heads, pools and image sizes are VietOCR's; --config FILE names its own."
_SPECIALS, _OLD_SPECIALS = 4, 3
"""Classes that are no characters: padding, begin, end and, but in old files, the mask."""

_NEEDS_CONFIG = "Pass the YAML it was trained with: --config FILE, or config=FILE in Python."


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, all floating point ones fp32, and what it was.

    Attributes:
        tensors: By VietOCR's names.
        kind: "weights" or "checkpoint".
        iterations: Of a checkpoint that says so.
        stored: Number formats in the file, by name.
    """

    tensors: dict[str, Tensor]
    kind: str
    iterations: int | None
    stored: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """What a file's model is, as far as tensors and YAML tell. `notes` say what was assumed."""

    config: VietocrConfig
    image: ImageConfig
    classes: int
    characters: str | None
    yaml: str | None
    notes: tuple[str, ...]

    def charset(self, path: Path) -> Charset:
        """The characters of the classes.

        Raises:
            ModelError: Nothing tells them.
        """
        if self.characters is None:
            standard = len(VIETOCR_CHARACTERS)
            raise ModelError(
                f"{path} has {self.classes} classes; with VietOCR's default characters it would have "
                f"{standard + 4}, or {standard + 3} in old files.",
                f"Its characters are the `vocab` of its config. {_NEEDS_CONFIG}",
            )
        return Charset(self.characters)


def read_weights(path: Path) -> Weights:
    """Reads a file's tensors; nothing in it is executed.

    Raises:
        ModelError: No such file, damaged, of another kind, or with objects other than tensors inside.
    """
    try:
        content = load_tensors(path)
    except FileNotFoundError:
        raise ModelError(f"No model at {path}.", "Check the path.") from None
    except Exception as error:  # torch raises many kinds on damaged files: each means "cannot be read"
        raise _unreadable(path, error) from None
    state, kind, iterations = content, "weights", None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        state, kind, iterations = content["state_dict"], "checkpoint", content.get("iter")
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds no weights by name.", _NOT_VIETOCR)
    tensors = {str(key).removeprefix("module."): value for key, value in state.items()}
    odd = next((key for key, value in tensors.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise ModelError(f"{path} is not VietOCR's: {odd!r} is no tensor.", _NOT_VIETOCR)
    floats = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    stored = tuple(sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}))
    return Weights(floats, kind, iterations if isinstance(iterations, int) else None, stored)


def understand(path: Path, weights: Weights, config: str | Path | None = None) -> Architecture:
    """What the model of a file is: sizes from its tensors, the rest from a YAML, else VietOCR's defaults.

    Args:
        path: The file; a YAML of it is used, as `yaml_beside` finds it.
        weights: What `read_weights` found in it.
        config: The YAML, or the name of one of VietOCR's, instead of one beside it.

    Raises:
        ModelError: The tensors are of no VietOCR model, or do not fit the YAML.
        ConfigError: The YAML cannot be used.
    """
    sizes, classes = read_sizes(weights.tensors, path)
    settings = read_vietocr_yaml(config) if config is not None else yaml_beside(path)
    notes = list(settings.notes) if settings else [_NO_CONFIG.format(path.name)]
    if settings is not None and settings.beamsearch:
        notes.append(f"{settings.origin} asks for beam search: --beam 4 reads so.")
    tree: dict[str, Any] = {"family": "vietocr"}
    if settings is not None:
        _check_same_kind(path, sizes, settings)
        tree = settings.model.model_dump()
    sequence = sizes["sequence"]
    merged = tree | sizes | {sequence: tree.get(sequence, {}) | sizes[sequence]}
    characters, specials = _characters(path, classes, settings)
    if specials == _OLD_SPECIALS and characters != VIETOCR_CHARACTERS:
        notes.append(
            f"{path.name} has {classes} classes for {len(characters or '')} characters: taken for an old "
            "file, without the mask. If its text is garbled, `vocab` is not the one that it was trained with."
        )
    try:
        model = VietocrConfig.model_validate(merged | {"specials": specials})
    except ValidationError as error:
        reasons = "; ".join(item["msg"] for item in error.errors())
        raise ModelError(
            f"{path} cannot be understood by its tensors alone: {reasons}.", _NEEDS_CONFIG
        ) from None
    image = _readable_widths(path, model, settings.image if settings else VIETOCR_IMAGE, notes)
    return Architecture(
        model, image, classes, characters, settings.origin if settings else None, tuple(notes)
    )


def build(path: Path, architecture: Architecture, weights: Weights) -> VietocrRecognizer:
    """The model with its weights, in evaluation mode.

    Raises:
        ModelError: The tensors do not fit the architecture.
    """
    try:
        shapes = {key: tuple(value.shape) for key, value in weights.tensors.items()}
        check_shapes(architecture.config, architecture.image, architecture.classes, shapes)
    except Misfit as misfit:
        raise ModelError(f"{path} is not a model that VietOCR makes: {misfit}.", _NOT_VIETOCR) from None
    if broken := not_finite(weights.tensors):
        raise ModelError(f"{path} cannot be read with: {broken}.", DIVERGED)
    module = VietocrRecognizer(architecture.config, architecture.image, architecture.classes)
    wanted, state = module.state_dict(), dict(weights.tensors)
    for key in wanted.keys() - state.keys():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
        if key.endswith("pos_enc.pe"):
            state[key] = sinusoids(*wanted[key].shape[::2])
    problems = [f"{key} is missing" for key in wanted if key not in state]
    problems += [f"{key} is not VietOCR's" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ModelError(f"{path} is not a model that VietOCR makes: {problems[0]}{more}.", _NOT_VIETOCR)
    module.load_state_dict(state, assign=True)
    return module.eval()


def describe(path: Path) -> dict[str, Any]:
    """The facts of a file, for people.

    Raises:
        ModelError: It is no VietOCR model.
    """
    weights = read_weights(path)
    architecture = understand(path, weights)
    sequence = architecture.config.sequence
    shown = {"family", "backbone", "sequence", "hidden", "pool_strides", "specials", sequence}
    model = {key: value for key, value in architecture.config.model_dump(mode="json").items() if key in shown}
    sizes = model.pop(sequence)
    try:
        characters = architecture.charset(path).characters
        charset: Any = {"characters": len(characters), "all": characters}
    except ModelError as error:
        charset = f"not known. {error.fix}"
    iterations = {"iterations": weights.iterations} if weights.iterations is not None else {}
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "written by": f"VietOCR, {weights.kind}",
        **iterations,
        "parameters": sum(value.numel() for value in weights.tensors.values() if value.is_floating_point()),
        "number formats": ", ".join(weights.stored),
        "config": architecture.yaml or "none beside it",
        "model": model,
        sequence: sizes,
        "classes": architecture.classes,
        "image": architecture.image.to_dict(),
        "charset": charset,
        "notes": list(architecture.notes),
    }


def _check_same_kind(path: Path, sizes: dict[str, Any], settings: VietocrYaml) -> None:
    for key, section in (("backbone", "backbone"), ("sequence", "seq_modeling")):
        stated = getattr(settings.model, key)
        if section in settings.sections and stated != sizes[key]:
            raise ModelError(
                f"{path} holds a {sizes[key]}, but {settings.origin} describes a {stated}.",
                "Name the config that belongs to it: --config FILE, or config=FILE in Python.",
            )


def _characters(path: Path, classes: int, settings: VietocrYaml | None) -> tuple[str | None, int]:
    """The characters, None if nothing tells them, and the number of specials."""
    if settings is None or settings.characters is None:
        specials = classes - len(VIETOCR_CHARACTERS)
        is_known = specials in (_OLD_SPECIALS, _SPECIALS)
        return (VIETOCR_CHARACTERS, specials) if is_known else (None, _SPECIALS)
    try:
        Charset(settings.characters)
    except DataError as error:
        raise ModelError(f"{settings.origin}: {error.problem}", error.fix) from None
    count, standard = len(settings.characters), len(VIETOCR_CHARACTERS)
    specials = classes - count
    # With one character more than there are classes for, `vocab` makes a file look like an old one.
    grown = specials == _OLD_SPECIALS and classes == standard + _SPECIALS
    if specials not in (_OLD_SPECIALS, _SPECIALS) or grown:
        raise ModelError(
            f"{path} has {classes} classes, "
            f"but the {count} characters of {settings.origin} make {count + 4}.",
            "Name the config it was trained with, its `vocab` unchanged: --config FILE, or config=FILE.",
        )
    return settings.characters, specials


def _readable_widths(path: Path, config: VietocrConfig, image: ImageConfig, notes: list[str]) -> ImageConfig:
    """The image settings, the widest line no longer than the model's table of positions."""
    if config.feature_steps(image.height_px, image.min_width_px) < 1:
        raise ModelError(
            f"{path}: pools leave nothing of a line of {image.height_px} × {image.min_width_px} px.",
            _NEEDS_CONFIG,
        )
    limit, widest = config.position_limit, image.max_width_px
    if limit is None:
        return image
    if config.feature_steps(image.height_px, widest) > limit:
        widths = range(image.min_width_px, widest + 1)
        fitting = bisect_right(widths, limit, key=lambda width: config.feature_steps(image.height_px, width))
        widest = widths[max(fitting - 1, 0)]
    if widest < image.max_width_px:
        notes.append(f"Lines are at most {widest} px wide: the model has {limit} positions.")
    return replace(image, max_width_px=widest)


def _unreadable(path: Path, error: Exception) -> ModelError:
    global_name = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and global_name:
        return ModelError(
            f"{path} holds more than tensors ({global_name[1]}); nothing in it was executed.",
            "If you trust it, save its weights alone: torch.save(model.state_dict(), FILE).",
        )
    if isinstance(error, NotPlain | Inflation):
        return ModelError(f"{path} cannot be read: {error}.", _NOT_VIETOCR)
    if isinstance(error, IsADirectoryError | PermissionError):
        return ModelError(f"{path} cannot be read: {reason_of(error)}.", "Name a file that you may read.")
    if zipfile.is_zipfile(path) or _head(path) == b"PK\x03\x04":
        return ModelError(f"{path} is cut off or damaged.", "Copy or download it anew.")
    return ModelError(f"{path} is not a model file, or is damaged.", _NOT_VIETOCR)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)
