"""The exponential moving average of the weights, which is what gets validated and saved as the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Exponential moving average of weights and buffers (Polyak averaging), short at first.

    Args:
        module: The module to follow; its state is copied.
        decay: How much of the average each step keeps; 0: the average is the module's own state.

    Attributes:
        state: The average, keyed as the module's `state_dict()`.
        steps: Updates so far.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {key: value.detach().clone() for key, value in module.state_dict().items()}

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """Takes a copy of another average of the same module, on any device and in any layout."""
        self.state = {key: torch.empty_like(self.state[key]).copy_(value) for key, value in state.items()}
        self.steps = steps

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module's state of now."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        averages, values = [], []
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                averages.append(self.state[key])
                values.append(value)
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)
