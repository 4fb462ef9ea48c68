"""What a model file says of itself, read without its weights; torch is needed for VietOCR's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vocr_cli.core.config.tree import Config, load_config, parse_config
from vocr_cli.core.errors import ModelError, reason_of
from vocr_cli.core.language_model.find import EMBEDDED, LANGUAGE_MODEL_KEY
from vocr_cli.core.machine.files.input_file import parse_json
from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.core.models.spec import ModelSpec, known_models, not_loadable, resolve_model
from vocr_cli.core.models.vietocr.yaml_config import read_vietocr_yaml
from vocr_cli.core.text import charset_fault

FORMAT = 1
METADATA_KEY = "vocr"
"""Where the metadata of a .safetensors file hold the description, as JSON."""


def read_description(path: Path) -> dict[str, Any]:
    """The metadata of a model file, unchecked beyond its format.

    Raises:
        ModelError: Not a safetensors file, damaged, or not written by vocr.
    """
    remedy = known_models()
    try:
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
        if text is None:
            raise ModelError(f"{path} is a safetensors file, but not a vocr model.", remedy)
        description = parse_json(text)
        if not isinstance(description, dict):
            raise ValueError("its description is no JSON object")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a model file, or is damaged: {reason_of(error)}.", remedy) from None
    if description.get("format") != FORMAT:
        raise ModelError(
            f"{path} has model format {str(description.get('format'))[:20]}, this vocr reads {FORMAT}.",
            "Update vocr.",
        )
    if fault := description_fault(description):
        raise ModelError(f"{path} describes itself wrongly: {fault}.", "The file is damaged: get it anew.")
    return description


def description_fault(description: dict[str, Any]) -> str:
    """Why a model cannot be described so, as far as that shows without building it, or nothing."""
    for name in ("model", "image", "provenance", "scores"):
        if not isinstance(description.get(name, {}), dict):
            return f"`{name}` is no JSON object"
    if not isinstance(description.get(LANGUAGE_MODEL_KEY, ""), str):
        return f"`{LANGUAGE_MODEL_KEY}` is no text"
    return charset_fault(description.get("charset"))


def language_model_of(spec: ModelSpec) -> str:
    """The name of the language model that a model is read with by default; empty: there is none.

    Embedded models have the embedded one, and whatever is made of them keeps it.

    Raises:
        ModelError: The model is damaged.
    """
    if spec.is_embedded:
        return EMBEDDED
    if spec.kind != "vocr model":
        return ""
    return str(read_description(spec.path).get(LANGUAGE_MODEL_KEY, ""))


def config_of(name_or_path: str | Path) -> Config:
    """The settings of a run that trains such a model.

    Args:
        name_or_path: As for `resolve_model`. Of a model file, its architecture, image settings and charset
            are taken, the rest are defaults.

    Raises:
        ModelError: No such model, or it is damaged.
        ConfigError: The YAML cannot be read or holds what cannot be.
        DependencyError: It is a file of VietOCR's weights, and torch is not installed.
    """
    spec = resolve_model(name_or_path)
    match spec.kind:
        case "config":
            return load_config(spec.path)
        case "VietOCR config":
            return read_vietocr_yaml(name_or_path).config
        case "VietOCR weights":
            sections = _vietocr_sections(spec.weights_path())
            characters = sections["charset"]
        case "vocr model":
            sections = read_description(spec.path)
            characters = sections["charset"]
        case "ONNX model":
            raise not_loadable(spec.path)
    tree = {"model": sections["model"], "image": sections["image"], "charset": {"characters": characters}}
    return parse_config(tree, str(spec.path))


def _vietocr_sections(path: Path) -> dict[str, Any]:
    """The model, image settings and characters of VietOCR's weights, which must fit them."""
    need_torch(f"Understanding {path}")
    from vocr_cli.core.models.vietocr import weights as vietocr_files

    weights = vietocr_files.read_weights(path)
    architecture = vietocr_files.understand(path, weights)
    charset = architecture.charset(path)
    vietocr_files.build(path, architecture, weights)
    return {"model": architecture.config, "image": architecture.image, "charset": charset.characters}
