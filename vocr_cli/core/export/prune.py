"""Making a smaller `ctc` model out of a larger one: narrower, shallower, or both.

Channels, transformer lanes and feed-forward units that carry least are cut out of every weight they touch,
so that the rest computes what it did; columns of two outputs start with the same one twice. A channel is
judged by the scale of the BatchNorm that makes it (as in network slimming, Liu et al., 2017; the shift
counts, too) times the norm of the weights that read it (Li et al., 2017). All convolutions around one
shortcut share their channels; the ones inside a block are its own. What is lost is won back by training on,
best with the larger model as the teacher.

Legend: n channels before, m after; D width of the transformer, N heads.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vocr_cli.core.config.tree import CtcConfig
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.reshape import parameter_count, reshaped_model, size_pairs, sizes_of, with_sizes
from vocr_cli.core.models.ctc import ColumnBlock, CtcRecognizer
from vocr_cli.core.models.files import ModelFile, build_module

_CHANNEL_STEP = 8
_SIZES = ("channels", "blocks", "hidden", "column_blocks", "attention_layers", "feed_ratio")
_FREE_SIZES = (
    "column_outputs",
)  # more of it makes a smaller model: half as many columns, of twice the width
_LEAST_PERCENT = 10  # of every width


def prune_model(model: ModelFile, fraction: float, sizes: dict[str, object]) -> ModelFile:
    """A smaller model with the most important weights of `model`.

    Args:
        model: Of the family `ctc`.
        fraction: How much of the parameters is to go, 0..1, `sizes` taken into account.
        sizes: Settings of `CtcConfig` to go down to before: `blocks`, `hidden` and the like.

    Raises:
        ModelError: Another family.
        ConfigError: A size that no smaller model has, or a fraction that leaves too little.
    """
    if not isinstance(model.config, CtcConfig) or not isinstance(model.module, CtcRecognizer):
        raise ModelError(
            f"{model.name} is of the family {model.config.family}; only ctc models can be pruned.",
            "Distil it into a smaller one of its family: vocr train CONFIG --teacher MODEL.",
        )
    config = _narrower(_with_sizes(model.config, sizes), model, fraction)
    module = build_module(config, model.image, model.charset).eval()
    assert isinstance(module, CtcRecognizer)
    with torch.no_grad():
        _Cut(model.module, module, model.config, config).copy()
    return reshaped_model(model, module, config, "pruned")


def _with_sizes(config: CtcConfig, sizes: dict[str, object]) -> CtcConfig:
    """The config with settings replaced, each by one that is no larger."""
    known = f"The model's own sizes are {sizes_of(config, (*_SIZES, *_FREE_SIZES))}."
    smaller = with_sizes(config, sizes, "--prune", known)
    for key in _SIZES:
        if any(new > old for old, new in size_pairs(config, smaller, key)):
            after, before = getattr(smaller, key), getattr(config, key)
            raise ConfigError(f"--prune: {key} {after} is more than the model has, {before}.", "Name less.")
    if smaller.column_outputs < config.column_outputs:
        raise ConfigError(
            "--prune: columns of one output are more work than those of two that the model has.",
            "Leave `column_outputs` out.",
        )
    if smaller.heads != config.heads or smaller.hidden % (2 * smaller.heads):
        raise ConfigError(
            f"--prune keeps all {config.heads} heads, and each must have an even share of `hidden`.",
            f"Leave `heads` out, and name a multiple of {_lane_step(config.heads)} for `hidden`.",
        )
    return smaller


def _lane_step(heads: int) -> int:
    return math.lcm(16, 2 * heads)


def _narrower(config: CtcConfig, model: ModelFile, fraction: float) -> CtcConfig:
    """The widest version of `config`, widths scaled alike, without `fraction` of the model's weights."""
    assert isinstance(model.config, CtcConfig)
    limit = (1 - fraction) * parameter_count(model.config, model.image, model.charset)

    def parameters(percent: int) -> int:
        return parameter_count(_scaled_widths(config, percent), model.image, model.charset)

    percents = range(_LEAST_PERCENT, 101)
    fitting = bisect_right(percents, limit, key=parameters)
    if not fitting:
        raise ConfigError(f"--prune {fraction:g} leaves too little of {model.name}.", "Name a smaller share.")
    return _scaled_widths(config, percents[fitting - 1])


def _scaled_widths(config: CtcConfig, percent: int) -> CtcConfig:
    channels = tuple(_scaled(width, percent, _CHANNEL_STEP) for width in config.channels)
    hidden = _scaled(config.hidden, percent, _lane_step(config.heads))
    return config.model_copy(update={"channels": channels, "hidden": hidden})


def _scaled(width: int, percent: int, step: int) -> int:
    """A fraction of a width, as a multiple; a width that is none may stay, but is not rounded up."""
    return width if percent == 100 else min(width, max(step, round(width * percent / 100 / step) * step))


class _Cut:
    """Copies what stays from one model into a smaller one."""

    def __init__(self, old: CtcRecognizer, new: CtcRecognizer, before: CtcConfig, after: CtcConfig) -> None:
        self.old, self.new, self.before, self.after = old, new, before, after

    def copy(self) -> None:
        """Copies all weights and statistics."""
        self._collapse(self._trunk())

    def _trunk(self) -> Tensor:
        """Copies the trunk; (m,) channels of its output that stay."""
        olds, news = _levels(self.old.trunk, self.before), _levels(self.new.trunk, self.after)
        readers = [old[0] for old in olds[1:]] + [self.old.collapse]
        inputs = torch.arange(_weight(olds[0][0]).shape[1])
        for (old_first, *old_blocks), (new_first, *new_blocks), reader in zip(
            olds, news, readers, strict=True
        ):
            blocks = _best([_scale(block.second[1]).norm() for block in old_blocks], len(new_blocks))
            best_blocks = [old_blocks[index] for index in blocks]
            output_scale = sum((_scale(block.second[1]) for block in best_blocks), start=_scale(old_first[1]))
            input_norm = sum((_input_norm(block.first) for block in best_blocks), start=_input_norm(reader))
            outputs = _strongest(output_scale * input_norm, _weight(new_first).shape[0])
            _copy_conv(old_first, new_first, outputs, inputs)
            for old, new in zip(best_blocks, new_blocks, strict=True):
                inner = _strongest(_scale(old.first[1]) * _input_norm(old.second), len(outputs))
                _copy_conv(old.first, new.first, inner, outputs)
                _copy_conv(old.second, new.second, outputs, inner)
            inputs = outputs
        return inputs

    def _collapse(self, channels: Tensor) -> None:
        """Copies all that follows the trunk; `channels` (m,) of the trunk stay."""
        old, new = self.old, self.new
        columns: list[Any] = [layer for layer in old.collapse if isinstance(layer, ColumnBlock)]
        best = _best([_scale(block.conv[1]).norm() for block in columns], self.after.column_blocks)
        columns = [columns[index] for index in best]
        layers: list[Any] = list(old.mixer)
        strength = [layer.attention_out.weight.norm() + layer.feed[2].weight.norm() for layer in layers]
        layers = [layers[index] for index in _best(strength, self.after.attention_layers)]
        lane_scale = sum((_scale(block.conv[1]) for block in columns), start=_scale(old.collapse[1]))
        for layer in layers:
            lane_scale = (
                lane_scale + layer.attention_out.weight.norm(dim=1) + layer.feed[2].weight.norm(dim=1)
            )
        lanes = _strongest(
            lane_scale * old.norm.weight.abs() * old.head.weight.norm(dim=0), self.after.hidden
        )
        _copy_conv(old.collapse, new.collapse, lanes, channels)
        new_columns: list[Any] = [layer for layer in new.collapse if isinstance(layer, ColumnBlock)]
        for old_column, new_column in zip(columns, new_columns, strict=True):
            _copy_conv(old_column.conv, new_column.conv, lanes, lanes)
        for old_layer, new_layer in zip(layers, new.mixer, strict=True):
            _copy_attention(old_layer, new_layer, lanes)
        _copy_norm(old.norm, new.norm, lanes)
        repeats = self.after.column_outputs // self.before.column_outputs
        new.head.weight.copy_(old.head.weight[:, lanes].repeat(repeats, 1))
        new.head.bias.copy_(old.head.bias.repeat(repeats))


def _copy_attention(old: Any, new: Any, lanes: Tensor) -> None:
    """Copies an `AttentionLayer`; `lanes` (m,) of D stay.

    Of each head's queries and keys the rotary pairs stay whose rates come nearest to those of the narrower
    head's table; of its values those that weigh most.
    """
    width, heads = old.attention_out.in_features, old.heads
    head_width, new_width = width // heads, len(lanes) // heads
    pairs = (torch.arange(new_width // 2) * head_width) // new_width
    rotary = torch.cat((pairs, pairs + head_width // 2))  # (new_width,) lanes of a head
    values = (old.qkv.weight[2 * width :].norm(dim=1) * old.attention_out.weight.norm(dim=0)).view(
        heads, head_width
    )
    starts = torch.arange(heads) * head_width
    query_rows = torch.cat([start + rotary for start in starts])
    value_rows = torch.cat([start + _strongest(values[n], new_width) for n, start in enumerate(starts)])
    rows = torch.cat((query_rows, width + query_rows, 2 * width + value_rows))
    _copy_linear(old.qkv, new.qkv, rows, lanes)
    rescale = math.sqrt(new_width / head_width)  # attention divides by the root of the head's width
    new.qkv.weight[: len(query_rows)] *= rescale
    new.qkv.bias[: len(query_rows)] *= rescale
    _copy_linear(old.attention_out, new.attention_out, lanes, value_rows)
    units = _strongest(
        torch.hypot(old.feed[0].weight.norm(dim=1), old.feed[0].bias) * old.feed[2].weight.norm(dim=0),
        new.feed[0].out_features,
    )
    _copy_linear(old.feed[0], new.feed[0], units, lanes)
    _copy_linear(old.feed[2], new.feed[2], lanes, units)
    _copy_norm(old.attention_norm, new.attention_norm, lanes)
    _copy_norm(old.feed_norm, new.feed_norm, lanes)


def _levels(trunk: nn.Sequential, config: CtcConfig) -> list[list[Any]]:
    """The trunk's first convolution and blocks at 1/2, 1/4 and 1/8 of the height."""
    layers, levels = list(trunk), []
    for blocks in config.blocks:
        levels.append(layers[: blocks + 1])
        layers = layers[blocks + 1 :]
    return levels


def _strongest(scores: Tensor, count: int) -> Tensor:
    """(count,) indices of the highest scores, in order."""
    return scores.topk(count).indices.sort().values


def _best(scores: Sequence[Tensor], count: int) -> list[int]:
    """Indices of the `count` highest scores, in order."""
    return _strongest(torch.stack([*scores]), count).tolist() if count else []


def _scale(norm: Any) -> Tensor:
    """(n,) how much of each channel a BatchNorm lets through."""
    return torch.hypot(norm.weight, norm.bias)


def _weight(conv: Any) -> Tensor:
    weight: Tensor = conv[0].weight
    return weight


def _input_norm(conv: Any) -> Tensor:
    """(n,) norm of the weights that read each channel."""
    return _weight(conv).transpose(0, 1).flatten(1).norm(dim=1)


def _copy_conv(old: Any, new: Any, outputs: Tensor, inputs: Tensor) -> None:
    """A convolution and its BatchNorm."""
    _weight(new).copy_(_weight(old)[outputs][:, inputs])
    _copy_norm(old[1], new[1], outputs)


def _copy_norm(old: nn.Module, new: nn.Module, lanes: Tensor) -> None:
    new.load_state_dict({key: v[lanes] if v.ndim else v for key, v in old.state_dict().items()})


def _copy_linear(old: nn.Linear, new: nn.Linear, outputs: Tensor, inputs: Tensor) -> None:
    new.weight.copy_(old.weight[outputs][:, inputs])
    new.bias.copy_(old.bias[outputs])
