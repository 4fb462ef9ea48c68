"""Runs that can be repeated bit for bit on a GPU, as far as that can be, and what cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import torch

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.step.step import StepResult

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_NO_SUCH_ALGORITHM = "does not have a deterministic implementation"


def set_deterministic(config: Config, device: torch.device, world_size: int) -> Iterator[str]:
    """Has torch use algorithms alone that give the same bits again, or, without the setting, any.

    To be called before anything is computed on the GPU.

    Args:
        config: Of the run.
        device: Where the model will be.
        world_size: Processes that train together.

    Yields:
        Notes: what `train.deterministic` does here, and what it cannot do.
    """
    wanted = config.train.deterministic
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.deterministic = wanted
    if not wanted:
        return
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it is slow
    torch.backends.cudnn.benchmark = False  # which chooses by the clock
    if device.type == "cuda":
        os.environ.setdefault(_CUBLAS, ":4096:8")
        yield (
            "train.deterministic: only the same card and versions of torch, CUDA and cuDNN give the same "
            "bits again. The loss of CTC models is computed on the CPU for it."
        )
    else:
        yield "train.deterministic: on a CPU runs repeat bit for bit without it, with as many threads."
    by_clock = [name for name, goes in _by_clock(config).items() if goes]
    if by_clock:
        yield f"train.deterministic: what goes by the clock is never twice the same: {', '.join(by_clock)}."
    if world_size > 1:
        yield "train.deterministic: sums over processes repeat only with as many of them, on like machines."


def _by_clock(config: Config) -> dict[str, bool]:
    """Settings that make a run go by the clock, and whether they do."""
    return {
        "train.max_minutes": config.train.max_minutes > 0,
        "validate.every_minutes": config.validate_.every_minutes is not None,
        "validate.time_share": bool(config.data.valid) and config.validate_.every_steps is None,
    }


def explain_nondeterminism(
    train_step: Callable[[Sequence[Batch], float], StepResult],
) -> Callable[[Sequence[Batch], float], StepResult]:
    """Wraps a training step so that an operation which cannot be repeated is named, with the setting.

    Raises:
        ConfigError: When called: `train.deterministic` is set, and the model needs such an operation.
    """

    def step(batches: Sequence[Batch], lr: float) -> StepResult:
        try:
            return train_step(batches, lr)
        except RuntimeError as error:
            operation, found, _ = str(error).partition(f" {_NO_SUCH_ALGORITHM}")
            if not found:
                raise
            raise ConfigError(
                f"train.deterministic cannot be had with this model on this device: {operation} has no "
                "algorithm that gives the same bits again.",
                "Set train.deterministic to false, or train on a CPU.",
            ) from None

    return step
