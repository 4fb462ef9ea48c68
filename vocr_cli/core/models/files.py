"""Model files: one self-describing safetensors each, or VietOCR's .pth. Loading never executes anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vocr_cli.core.config.families import ModelConfig, parse_model
from vocr_cli.core.config.tree import ImageConfig
from vocr_cli.core.errors import ConfigError, DataError, ModelError, reason_of
from vocr_cli.core.language_model.find import LANGUAGE_MODEL_KEY
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.description import FORMAT, METADATA_KEY, language_model_of, read_description
from vocr_cli.core.models.finite import DIVERGED, not_finite
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.models.registry import build_module as build_module
from vocr_cli.core.models.shape_check import Misfit, check_shapes
from vocr_cli.core.models.spec import not_loadable, resolve_model
from vocr_cli.core.models.vietocr import weights as vietocr_files
from vocr_cli.core.text import Charset, charset_fault

UNWRITABLE = "Free disk space, check the permissions, or name a folder on another disk."


@dataclass(frozen=True)
class ModelFile:
    """A recogniser and all that is needed to use it."""

    module: RecognitionModel
    config: ModelConfig
    image: ImageConfig
    charset: Charset
    provenance: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    notes: tuple[str, ...] = ()
    """What was supposed of the model, where its file does not tell; not saved."""
    language_model: str = ""
    """The name of the language model that it is read with by default; empty: none."""

    def description(self) -> dict[str, Any]:
        """All but the weights, as model files and ONNX files hold it."""
        return {
            "model": self.config.model_dump(mode="json"),
            "image": self.image.to_dict(),
            "charset": self.charset.characters,
            "provenance": self.provenance,
            "scores": self.scores,
            **({LANGUAGE_MODEL_KEY: self.language_model} if self.language_model else {}),
        }


def save_model(path: Path, model: ModelFile, dtype: Literal["fp32", "fp16"] = "fp32") -> None:
    """Writes a model file: to a temporary name, flushed, renamed.

    Args:
        path: Ends in .safetensors.
        model: What to save.
        dtype: Number format of the stored weights; loading always gives fp32.

    Raises:
        ModelError: The file cannot be written; what stood there before still does.
    """
    weights = {
        key: (value.to(TORCH_DTYPES[dtype]) if value.is_floating_point() else value).contiguous()
        for key, value in model.module.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    description = {"format": FORMAT, **model.description()}
    if fault := charset_fault(model.charset.characters):
        raise ModelError(f"{path} cannot be written: {fault}.", "Take such characters out of the charset.")
    try:
        with atomic_write(path) as temporary:
            save_file(weights, temporary, {METADATA_KEY: json.dumps(description, ensure_ascii=False)})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be written: {reason_of(error)}.", UNWRITABLE) from None


def load_model(name_or_path: str | Path, config: str | Path | None = None) -> ModelFile:
    """Loads a model on the CPU in fp32, in evaluation mode.

    Args:
        name_or_path: An embedded model, a .safetensors file, or weights that VietOCR saved.
        config: The VietOCR YAML of such weights, or the name of one of VietOCR's; None: one beside them.

    Raises:
        ModelError: No such model, a damaged or foreign file, or weights that do not fit its description.
        ConfigError: `config` cannot be used, or is given for a file that describes itself.
    """
    spec = resolve_model(name_or_path)
    path = spec.weights_path()
    if spec.kind == "VietOCR weights":
        return _load_vietocr(path, config)
    if spec.kind == "ONNX model":
        raise not_loadable(path)
    if config is not None:
        raise ConfigError(f"{path} describes itself.", "Leave the config out: .pth files need one.")
    return replace(_load_vocr(path), language_model=language_model_of(spec))


def _load_vietocr(path: Path, config: str | Path | None) -> ModelFile:
    weights = vietocr_files.read_weights(path)
    architecture = vietocr_files.understand(path, weights, config)
    charset = architecture.charset(path)
    module = vietocr_files.build(path, architecture, weights)
    provenance = {
        "written by": f"VietOCR, {weights.kind}",
        "iterations": weights.iterations,
        "config": Path(architecture.yaml).name if architecture.yaml else None,
        "notes": list(architecture.notes),
    }
    return ModelFile(
        module,
        architecture.config,
        architecture.image,
        charset,
        provenance,
        {},
        path.stem,
        architecture.notes,
    )


def _load_vocr(path: Path) -> ModelFile:
    description = read_description(path)
    try:
        config = parse_model(description["model"])
        image = ImageConfig.parse(description["image"])
        charset = Charset(description["charset"])
        with safe_open(path, "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
            check_shapes(config, image, config.special_classes + len(charset), shapes)
            module = build_module(config, image, charset)
            weights = {key: file.get_tensor(key) for key in file.keys()}
        weights = {
            key: value.float() if value.is_floating_point() else value for key, value in weights.items()
        }
        if broken := not_finite(weights):
            raise ModelError(f"{path} cannot be read with: {broken}.", DIVERGED)
        lacking = module.load_state_dict(weights, strict=False)
        wrong = [
            *lacking.unexpected_keys,
            *(key for key in lacking.missing_keys if "num_batches_tracked" not in key),
        ]
        if wrong:
            raise ModelError(
                f"{path}: weights do not fit the description ({wrong[0]} and {len(wrong) - 1} more).",
                "The file is damaged: get it anew.",
            )
    except Misfit as misfit:
        raise ModelError(
            f"{path}: weights do not fit the description: {misfit}.", "The file is damaged: get it anew."
        ) from None
    except ModelError:
        raise
    except (
        KeyError, TypeError, ValueError, AttributeError, ValidationError, PydanticCustomError, RuntimeError,
        SafetensorError, DataError,
    ) as error:  # fmt: skip
        raise ModelError(
            f"{path} cannot be loaded: {reason_of(error)}.",
            "The file is damaged or from a newer vocr: get it anew.",
        ) from None
    return ModelFile(
        module.eval(),
        config,
        image,
        charset,
        description.get("provenance", {}),
        description.get("scores", {}),
        path.stem,
    )
