"""The model of every family, and how a family is added.

A family is a config class, a subclass of `ModelConfig`, and a model class, a subclass of `RecognitionModel`:

    with register_family(MyConfig, MyModel):
        ...

It is then trained, saved, loaded and read with like the others: its `HEAD` says by which objective it learns
and by which engine it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from vocr_cli.core.config.families import FAMILIES, ModelConfig
from vocr_cli.core.config.faults import height_fault
from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.ctc import CtcRecognizer
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

ModelBuilder = Callable[[Any, ImageConfig, int], RecognitionModel]
"""The config of the family, the image settings and the number of classes to a model with random weights."""

MODELS: dict[str, ModelBuilder] = {"ctc": CtcRecognizer, "vietocr": VietocrRecognizer}


def build_module(config: ModelConfig, image: ImageConfig, charset: Charset) -> RecognitionModel:
    """A model with random weights.

    Raises:
        ModelError: The family takes no lines of such height.
    """
    if fault := height_fault(config, image.height_px):
        raise ModelError(f"{fault}.", "Choose another height; a model file that says so is damaged.")
    return MODELS[config.family](config, image, config.special_classes + len(charset))


def register_family(config_class: type[ModelConfig], model: ModelBuilder) -> ExitStack:
    """Adds a family, named by the default of its config's `family`.

    Returns:
        A context: the family is gone when it is left or closed. It may be ignored.

    Raises:
        ValueError: There is a family of that name.
    """
    family = config_class.model_fields["family"].default
    if family in FAMILIES:
        raise ValueError(f"There is a family {family!r} already.")
    FAMILIES[family], MODELS[family] = config_class, model
    registered = ExitStack()
    for registry in (FAMILIES, MODELS):
        registered.callback(registry.pop, family)
    return registered
