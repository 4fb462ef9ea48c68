"""The stages of a model, from the pixels to the classes: what is frozen, and how deep each weight lies."""

from __future__ import annotations

from itertools import count

import torch
from torch import nn

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.recognition_model import RecognitionModel, Stages


def stages_of(module: nn.Module) -> Stages:
    """Stage and the prefixes of its weights' names, in the order in which a line goes through them."""
    assert isinstance(module, RecognitionModel)
    return module.stages()


def stage_of(name: str, stages: Stages) -> str:
    """The stage of a weight; of two prefixes that fit, the longer one counts."""
    fitting = {
        prefix: stage
        for stage, prefixes in stages.items()
        for prefix in prefixes
        if f"{name}.".startswith(f"{prefix}.")
    }
    return fitting[max(fitting, key=len)]


def freeze(module: nn.Module, names: tuple[str, ...]) -> None:
    """Takes stages out of the training.

    Args:
        module: Its weights in these stages no longer require gradients.
        names: Stages.

    Raises:
        ConfigError: The model has no such stage, or none would be left to train.
    """
    stages = stages_of(module)
    known = ", ".join(stages)
    if unknown := [name for name in names if name not in stages]:
        raise ConfigError(
            f"optim.freeze: the model has no stage {', '.join(map(repr, unknown))}.", f"Its stages: {known}."
        )
    if set(names) == set(stages):
        raise ConfigError("optim.freeze leaves nothing to train.", f"Leave out one of the stages {known}.")
    for name, parameter in module.named_parameters():
        if stage_of(name, stages) in names:
            parameter.requires_grad_(False)


def train_mode(module: nn.Module) -> None:
    """Training mode, in which frozen BatchNorm keeps the statistics it has."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.requires_grad:
            layer.eval()


def layer_ids(module: nn.Module) -> dict[str, int]:
    """Counts the layers between each weight and the classes, by the weight's name; 0 is the head's.

    A layer is what carries one number in the weights' names, or one module without a number; a norm belongs
    to the layer before it.
    """
    stages = stages_of(module)
    in_order = sorted(
        module.named_parameters(), key=lambda item: list(stages).index(stage_of(item[0], stages))
    )  # the order within a stage stays
    groups: dict[str, list[tuple[str, torch.Tensor]]] = {}
    for name, parameter in in_order:
        key = "head" if stage_of(name, stages) == "head" else _layer(name)
        groups.setdefault(key, []).append((name, parameter))
    from_pixels: dict[str, int] = {}
    layer_counter, last = count(), 0
    for members in groups.values():
        if any(parameter.ndim > 1 for _, parameter in members) or not from_pixels:
            last = next(layer_counter)
        from_pixels.update({name: last for name, _ in members})
    return {name: last - layer_id for name, layer_id in from_pixels.items()}


def _layer(name: str) -> str:
    """A weight's name up to its first number; without one, without its last part."""
    parts = name.split(".")
    numbered = [index for index, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbered[0] + 1] if numbered else parts[:-1])
