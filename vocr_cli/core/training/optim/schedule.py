"""The learning rate over a run."""

from __future__ import annotations

import math

from vocr_cli.core.config.tree import Config, ScheduleConfig
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.loop_state import LoopState

_ONECYCLE_START = 1 / 25  # of the peak, as torch's OneCycleLR starts


def learning_rate(config: Config, state: LoopState) -> float:
    """Returns the learning rate of the next step, before a group's `lr_scale`."""
    done = state.fraction_done(config.train)
    multiplier = lr_multiplier(config.schedule, state.step, done, state.plateau_multiplier)
    return config.optim.lr * state.lr_backoff * multiplier


def lr_multiplier(config: ScheduleConfig, step: int, done: float, plateau: float = 1.0) -> float:
    """Returns what the schedule multiplies the peak learning rate by, 0..1.

    Args:
        config: The schedule.
        step: Steps done.
        done: Fraction of the run that is done, 0..1.
        plateau: What is left of the rate under the schedule `plateau`; `LoopState.update_plateau` lowers it.
    """
    done = min(max(done, 0.0), 1.0)
    low = config.final_lr_share
    if config.name == "onecycle":  # Smith and Topin, 2018, with the cosine annealing of torch's OneCycleLR
        peak = config.onecycle_peak_share
        if done < peak:
            return _cosine(_ONECYCLE_START, 1.0, done / peak)
        return _cosine(1.0, low, (done - peak) / (1 - peak))
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.name == "cosine":
        return warmup * _cosine(1.0, low, done)
    if config.name == "wsd":  # warmup, stable, decay: Hu et al., 2024; the root's shape: Hägele et al., 2024
        decayed = max(0.0, (done - 1) / config.decay_share + 1)
        left = 1 - (math.sqrt(decayed) if config.decay_shape == "sqrt" else decayed)
        return warmup * (low + (1 - low) * left)
    return warmup * (max(plateau, low) if config.name == "plateau" else 1.0)


def check_schedule(config: Config) -> None:
    """Refuses a schedule that waits for validations where nothing is validated.

    Raises:
        ConfigError: It does.
    """
    if config.schedule.name == "plateau" and not config.data.valid:
        raise ConfigError(
            "schedule.name plateau lowers the rate by validations, and the config names no validation data.",
            "Set data.valid, or choose another schedule.",
        )


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * fraction))
