"""What optimizer steps change: weights, the optimizer's state, the loss scale, the average of the weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vocr_cli.core.config.tree import OptimConfig
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.training.optim.clipping import Clipper
from vocr_cli.core.training.optim.ema import ExponentialMovingAverage
from vocr_cli.core.training.optim.optimizer import make_optimizer


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """What belongs to a model while it is trained; after the `TrainState` of Flax.

    Attributes:
        module: The model being trained.
        optimizer: Over groups made by `optim.optimizer.parameter_groups`.
        scaler: Scales the loss; enabled for fp16 only.
        ema: Follows the weights.
        clipper: Keeps gradients within limits, and follows their norms.
    """

    module: RecognitionModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ExponentialMovingAverage
    clipper: Clipper

    def ema_model(self) -> RecognitionModel:
        """Returns a copy of the model with the averaged weights.

        It is made whenever it is asked for, and not kept: steps need the memory that it takes.
        """
        module = copy.deepcopy(self.module)
        module.load_state_dict(self.ema.state)
        return module

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values, fit for a checkpoint."""
        return {
            "module": self.module.state_dict(),
            "ema": self.ema.state,
            "ema_steps": self.ema.steps,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "clipper": self.clipper.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave, on any device; other keys are left alone.

        The settings of the optimizer's groups, such as their decay, stay those of this run.

        Raises:
            RuntimeError: It is another model's.
            ValueError: It is another optimizer's, or other weights were trained.
        """
        self.module.load_state_dict(state["module"])
        settings = [
            {key: value for key, value in group.items() if key != "params"}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update({**own, "lr": group["lr"]})
        _lay_out_as_weights(self.optimizer)
        if state["scaler"]:  # empty where the run so far did not need one
            self.scaler.load_state_dict(state["scaler"])
        self.ema.load(state["ema"], state["ema_steps"])
        self.clipper.load_state_dict(state["clipper"])


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Gives what an optimizer keeps for each weight the strides of the weight.

    They differ where a run goes on with another `precision.channels_last`. Fused AdamW goes through memory:
    on a CPU it would pair the moments with other weights and say nothing, on a GPU it refuses.
    """
    for weight, kept in optimizer.state.items():
        for key, value in kept.items():
            if (
                isinstance(value, Tensor)
                and value.shape == weight.shape
                and value.stride() != weight.stride()
            ):
                kept[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def make_train_state(
    module: RecognitionModel,
    config: OptimConfig,
    device_type: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TrainState:
    """Makes the state of a training that begins.

    Args:
        module: The model, on its device, frozen weights requiring no gradients.
        config: Optimizer, clipping, decay of the average.
        device_type: `cpu`, `cuda` or `mps`.
        dtype: Number format of the forward pass.
    """
    return TrainState(
        module=module,
        optimizer=make_optimizer(module, config, dtype),
        scaler=torch.amp.GradScaler(device_type, enabled=dtype == torch.float16),
        ema=ExponentialMovingAverage(module, config.ema_decay),
        clipper=Clipper(module, config),
    )
