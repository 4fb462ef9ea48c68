"""What a plan starts from: the settings that a model's name or file fixes."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.autoconf.model_size import CTC_SIZES
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.files import find_model, is_vietocr_file, load_model, read_description
from vocr_cli.core.models.vietocr.yaml_config import named_configs, read_vietocr_yaml


def architecture_config(name_or_path: str) -> Config:
    """Return the config of a new model: what a VietOCR config or a model file gives, else the defaults.

    Args:
        name_or_path: A VietOCR config by name or as a YAML, an embedded model, or a model file.

    Raises:
        ModelError: None of these.
        ConfigError: The YAML cannot be used.
    """
    if not names_weights(name_or_path):
        return read_vietocr_yaml(name_or_path).config
    try:
        return weights_config(name_or_path)
    except ModelError as error:
        names = ", ".join((*CTC_SIZES, *named_configs()))
        fix = f"{error.fix} Or --model {names}, for a model from scratch."
        raise ModelError(error.problem, fix) from None


def weights_config(name_or_path: str) -> Config:
    """Return the model, image settings and charset of a model file, all else as by default.

    Args:
        name_or_path: An embedded model or a model file, of VietOCR too.

    Raises:
        ModelError: No such model, or it cannot be understood.
    """
    if not names_weights(name_or_path):
        raise ModelError(
            f"{name_or_path} is a config, not weights to start from.",
            "Name an embedded model or a model file; a config goes to --model.",
        )
    path = find_model(name_or_path)
    if is_vietocr_file(path):
        file = load_model(path)
        tree = {"model": file.config.model_dump(), "image": file.image.model_dump()}
        return parse_config(tree | {"charset": {"characters": file.charset.characters}}, str(path))
    description = read_description(path)
    shared = {
        "model": description["model"],
        "image": description["image"],
        "charset": {"characters": description["charset"]},
    }
    return parse_config(shared, str(path))


def names_weights(name_or_path: str) -> bool:
    """Whether a model's name is not that of a config: neither one of VietOCR's nor a YAML."""
    is_yaml = Path(name_or_path).suffix.lower() in (".yml", ".yaml")
    return not is_yaml and name_or_path not in named_configs()
