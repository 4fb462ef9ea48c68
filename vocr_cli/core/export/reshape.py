"""What pruning and growing `ctc` models share: checked settings, and the file of what came out."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import ValidationError

from vocr_cli.core.config.faults import explain
from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.files import ModelFile, build_module
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.text import Charset


def parameter_count(config: CtcConfig, image: ImageConfig, charset: Charset) -> int:
    """Parameters of such a model."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_module(config, image, charset).parameters())


def sizes_of(config: CtcConfig, keys: tuple[str, ...]) -> str:
    """Settings of a model as a user writes them: `blocks=[0,2,1], column_blocks=2`."""
    values = config.model_dump(mode="json")
    return ", ".join(f"{key}={values[key]}".replace(" ", "") for key in keys)


def with_sizes(config: CtcConfig, sizes: dict[str, object], option: str, known: str) -> CtcConfig:
    """The config with settings replaced.

    Args:
        config: Of the model.
        sizes: The settings, as YAML has them.
        option: What the user named them with.
        known: What a remedy says of the model's own.

    Raises:
        ConfigError: A setting that there is not, or a value that it cannot have.
    """
    try:
        return CtcConfig.model_validate({**config.model_dump(), **sizes})
    except ValidationError as error:
        problem = explain(error.errors()[0], CtcConfig, {})
        raise ConfigError(f"{option}: {problem}.", known) from None


def size_pairs(before: CtcConfig, after: CtcConfig, key: str) -> list[tuple[int, int]]:
    """A setting before and after, each of its numbers if it has several."""
    old, new = getattr(before, key), getattr(after, key)
    return list(zip(old, new, strict=True)) if isinstance(old, tuple) else [(old, new)]


def reshaped_model(model: ModelFile, module: RecognitionModel, config: CtcConfig, how: str) -> ModelFile:
    """The file of what was made of a model: without scores, with a provenance that says how."""
    assert isinstance(model.config, CtcConfig)
    provenance = {
        f"{how} from": model.name,
        "parameters before": parameter_count(model.config, model.image, model.charset),
        "parameters": parameter_count(config, model.image, model.charset),
        "before": model.provenance,
    }
    return replace(model, module=module, config=config, provenance=provenance, scores={})
