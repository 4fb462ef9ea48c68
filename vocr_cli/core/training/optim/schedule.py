"""The learning rate over a run."""

from __future__ import annotations

import math

from vocr_cli.core.config.tree import Config, ScheduleConfig
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.progress import Progress


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
