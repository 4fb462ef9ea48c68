"""The optimizer of a run, and the groups that its weights make."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vocr_cli.core.config.tree import OptimConfig
from vocr_cli.core.training.optim.muon import Muon
from vocr_cli.core.training.optim.stages import layer_ids, stage_of, stages_of


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Returns the optimizer's groups, frozen weights left out; biases and norms are not decayed.

    Each step multiplies the learning rate by a group's `lr_scale`: 1, but with `config.layer_decay` the
    less, the farther a layer lies from the classes (discriminative fine-tuning, Howard and Ruder, 2018; a
    constant factor a layer as in BEiT, Bao et al., 2022).
    """
    layers = layer_ids(module) if config.layer_decay < 1 else {}
    outer = _outer_weights(module) if config.name == "muon" else set()
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        lr_scale, decayed = config.layer_decay ** layers.get(name, 0), parameter.ndim > 1
        muon = config.name == "muon" and decayed and name not in outer
        weight_decay = config.weight_decay if decayed else 0.0
        empty = {"params": [], "weight_decay": weight_decay, "lr_scale": lr_scale, "muon": muon}
        groups.setdefault((lr_scale, decayed, muon), empty)["params"].append(parameter)
    return list(groups.values())


def make_optimizer(
    module: nn.Module, config: OptimConfig, dtype: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """Makes AdamW (Loshchilov and Hutter, 2019) or Muon.

    Args:
        module: The model that is trained.
        config: Name of the optimizer, its rates and its decay.
        dtype: Number format of the forward pass: where it is bf16, Muon multiplies matrices in it as well.
    """
    groups = parameter_groups(module, config)
    if config.name == "muon":
        return Muon(
            groups, config.lr, config.betas, torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
        )
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def _outer_weights(module: nn.Module) -> set[str]:
    """Names the weights that take pixels or characters in, or give classes out: they are not for Muon."""
    stages = stages_of(module)
    names = [name for name, parameter in module.named_parameters() if parameter.ndim > 1]
    head = {name for name in names if stage_of(name, stages) == "head"}
    embeddings = {
        f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, nn.Embedding)
    }
    return {names[0]} | head | embeddings
