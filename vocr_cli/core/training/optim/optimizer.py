"""Optimizer, learning rate and moving average of the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vocr_cli.core.config.tree import Config, OptimConfig, ScheduleConfig
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.optim.muon import Muon
from vocr_cli.core.training.optim.stages import depths, stage_of, stages_of

if TYPE_CHECKING:
    from vocr_cli.core.training.progress import Progress


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Groups for the optimizer, frozen weights left out; biases and norms are not decayed.

    Each step multiplies the learning rate by a group's `rate_share`: 1, but with `config.layer_decay` the
    less, the farther a layer lies from the classes (discriminative fine-tuning, Howard and Ruder, 2018; a
    constant factor a layer as in BEiT, Bao et al., 2022).
    """
    below = depths(module) if config.layer_decay < 1 else {}
    outer = _outer_weights(module) if config.name == "muon" else set()
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        share, decayed = config.layer_decay ** below.get(name, 0), parameter.ndim > 1
        muon = config.name == "muon" and decayed and name not in outer
        weight_decay = config.weight_decay if decayed else 0.0
        empty = {"params": [], "weight_decay": weight_decay, "rate_share": share, "muon": muon}
        groups.setdefault((share, decayed, muon), empty)["params"].append(parameter)
    return list(groups.values())


def make_optimizer(
    module: nn.Module, config: OptimConfig, dtype: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019), or Muon.

    Args:
        module: What is trained.
        config: Name, rates, decay.
        dtype: Of the forward pass: where it is bf16, Muon multiplies matrices in it as well.
    """
    groups = parameter_groups(module, config)
    if config.name == "muon":
        return Muon(
            groups, config.lr, config.betas, torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
        )
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def _outer_weights(module: nn.Module) -> set[str]:
    """Names of the weights that take pixels or characters in, or give classes out, which are not for Muon."""
    stages = stages_of(module)
    names = [name for name, parameter in module.named_parameters() if parameter.ndim > 1]
    head = {name for name in names if stage_of(name, stages) == "head"}
    embeddings = {
        f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, nn.Embedding)
    }
    return {names[0]} | head | embeddings


def rate_share(config: ScheduleConfig, step: int, progress: float, plateau: float = 1.0) -> float:
    """Learning rate as a share of its peak.

    Args:
        config: The schedule.
        step: Steps done.
        progress: Share of the run that is done, 0..1.
        plateau: What the validations so far have left of it, where the schedule heeds them.
    """
    progress = min(max(progress, 0.0), 1.0)
    low = config.final_lr_share
    if config.name == "onecycle":  # Smith and Topin, 2018, with the cosine annealing of torch's OneCycleLR
        peak = config.onecycle_peak_share
        if progress < peak:
            return _cosine(1 / 25, 1.0, progress / peak)
        return _cosine(1.0, low, (progress - peak) / (1 - peak))
    warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.name == "cosine":
        return warm * _cosine(1.0, low, progress)
    if (
        config.name == "wsd"
    ):  # warm-up, stable, decay (Hu et al., 2024); the root's shape by Hägele et al., 2024
        done = max(0.0, (progress - 1) / config.decay_share + 1)
        left = 1 - (math.sqrt(done) if config.decay_shape == "sqrt" else done)
        return warm * (low + (1 - low) * left)
    return warm * (max(plateau, low) if config.name == "plateau" else 1.0)


def check_schedule(config: Config) -> None:
    """Raises ConfigError where the schedule waits for validations that there are none of."""
    if config.schedule.name == "plateau" and not config.data.valid:
        raise ConfigError(
            "schedule.name plateau lowers the rate by validations, and the config names no validation data.",
            "Set data.valid, or choose another schedule.",
        )


def heed_validation(config: ScheduleConfig, progress: Progress, better: bool) -> None:
    """Lowers `progress.plateau` after too many validations without a better one, each a full one."""
    progress.plateau_waited = 0 if better else progress.plateau_waited + 1
    if config.name == "plateau" and progress.plateau_waited >= config.plateau_patience:
        progress.plateau *= config.plateau_factor
        progress.plateau_waited = 0


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


class WeightAverage:
    """Exponential moving average of weights and buffers (Polyak averaging), short at first.

    Args:
        module: The module to follow; its state is copied.
        decay: How much of the average each step keeps; 0: the average is the module's own state.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {key: value.detach().clone() for key, value in module.state_dict().items()}

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """Takes a copy of another average of the same module, on any device."""
        self.state = {key: value.to(self.state[key].device, copy=True) for key, value in state.items()}
        self.steps = steps

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Takes the module's state in."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        mine, theirs = [], []
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                mine.append(self.state[key])
                theirs.append(value)
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1 - decay)
