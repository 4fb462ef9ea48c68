"""What a plan starts from: the settings that a model's name or file fixes."""

from __future__ import annotations

from vocr_cli.core.autoconf.model_size import CTC_SIZES
from vocr_cli.core.config.tree import Config
from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.description import config_of
from vocr_cli.core.models.spec import is_config
from vocr_cli.core.models.vietocr.yaml_config import named_configs


def architecture_config(name_or_path: str) -> Config:
    """Return the config of a new model: what a config or a model file gives, else the defaults.

    Args:
        name_or_path: A config, ours or VietOCR's, as a YAML file or by VietOCR's name; an embedded model, or
            a model file.

    Raises:
        ModelError: None of these.
        ConfigError: The YAML cannot be used.
    """
    try:
        return config_of(name_or_path)
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
    if is_config(name_or_path):
        raise ModelError(
            f"{name_or_path} is a config, not weights to start from.",
            "Name an embedded model or a model file; a config goes to --model.",
        )
    return config_of(name_or_path)
