"""Optimizer, learning rate and moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from vocr_cli.core.config import OptimConfig, ScheduleConfig


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019); biases and norms are not decayed."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def rate_share(config: ScheduleConfig, step: int, progress: float) -> float:
    """Learning rate as a share of its peak.

    Args:
        config: The schedule.
        step: Steps done.
        progress: Share of the run that is done, 0..1.
    """
    progress = min(max(progress, 0.0), 1.0)
    low = config.final_lr_share
    if config.name == "onecycle":  # Smith and Topin, 2018, with the cosine annealing of torch's OneCycleLR
        peak = config.onecycle_peak_share
        if progress < peak:
            return _cosine(1 / 25, 1.0, progress / peak)
        return _cosine(1.0, low, (progress - peak) / (1 - peak))
    warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return warm * (1.0 if config.name == "constant" else _cosine(1.0, low, progress))


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
