"""Making a deeper `ctc` model out of a smaller one: it computes the same, and learns on from there.

Blocks and layers that are new give nothing to the shortcut around them: the BatchNorm, or the linear layer,
that ends each starts at zero (for a BatchNorm as in Goyal et al., 2017, for a linear layer as in Fixup, Zhang
et al., 2019; keeping the function of what is grown is the idea of Net2Net, Chen et al., 2016). Their other
weights are random, from one seed, so that all of them soon learn. What was learned before need not be learned
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vocr_cli.core.config.tree import CtcConfig
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.reshape import reshaped_model, size_pairs, sizes_of, with_sizes
from vocr_cli.core.models.ctc import AttentionLayer, ColumnBlock, CtcRecognizer, ResidualBlock
from vocr_cli.core.models.files import ModelFile, build_module

_DEPTHS = ("blocks", "column_blocks", "attention_layers")


def grow_model(model: ModelFile, depths: dict[str, object]) -> ModelFile:
    """A deeper model that computes what `model` does.

    Args:
        model: Of the family `ctc`.
        depths: Settings of `CtcConfig` to go up to: `blocks`, `column_blocks`, `attention_layers`.

    Raises:
        ModelError: Another family.
        ConfigError: A setting that is no depth, or less of one than the model has.
    """
    if not isinstance(model.config, CtcConfig) or not isinstance(model.module, CtcRecognizer):
        raise ModelError(
            f"{model.name} is of the family {model.config.family}; only ctc models can be grown.",
            "Train a larger one of its family, with it as the teacher: vocr train CONFIG --teacher MODEL.",
        )
    config = _deeper(model.config, depths)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        module = build_module(config, model.image, model.charset).eval()
    assert isinstance(module, CtcRecognizer)
    with torch.no_grad():
        _copy(model.module, module, model.config, config)
    return reshaped_model(model, module, config, "grown")


def _deeper(config: CtcConfig, depths: dict[str, object]) -> CtcConfig:
    known = f"The model's depths are {sizes_of(config, _DEPTHS)}."
    if other := next((key for key in depths if key not in _DEPTHS), None):
        raise ConfigError(f"--grow: {other} is no depth.", known)
    deeper = with_sizes(config, depths, "--grow", known)
    for key in _DEPTHS:
        if any(new < old for old, new in size_pairs(config, deeper, key)):
            after, before = getattr(deeper, key), getattr(config, key)
            raise ConfigError(f"--grow: {key} {after} is less than the model has, {before}.", "Name more.")
    if deeper == config:
        raise ConfigError("--grow names no more than the model has.", known)
    return deeper


def _copy(old: CtcRecognizer, new: CtcRecognizer, before: CtcConfig, after: CtcConfig) -> None:
    """Copies all layers to where they stand in the deeper model, and silences the new ones."""
    olds, news = list(old.trunk), list(new.trunk)
    for had, has in zip(before.blocks, after.blocks, strict=True):
        _fill(olds[: had + 1], news[: has + 1])
        olds, news = olds[had + 1 :], news[has + 1 :]
    _fill(list(old.collapse), list(new.collapse))
    _fill(list(old.mixer), list(new.mixer))
    for part in ("norm", "head"):
        getattr(new, part).load_state_dict(getattr(old, part).state_dict())


def _fill(olds: Sequence[nn.Module], news: Sequence[nn.Module]) -> None:
    for old, new in zip(olds, news[: len(olds)], strict=True):
        new.load_state_dict(old.state_dict())
    for new in news[len(olds) :]:
        for last in _last_layers(new):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


def _last_layers(layer: nn.Module) -> tuple[Any, ...]:
    """What ends each way around a shortcut."""
    if isinstance(layer, ResidualBlock):
        return (layer.second[1],)
    if isinstance(layer, ColumnBlock):
        return (layer.conv[1],)
    assert isinstance(layer, AttentionLayer)
    return layer.attention_out, layer.feed[2]
