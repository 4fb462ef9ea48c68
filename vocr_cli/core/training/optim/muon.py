"""Muon: momentum, made orthogonal, for hidden matrices and convolutions; AdamW for all other weights.

After Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon), with the step size of Liu et al., 2025
("Muon is scalable for LLM training", arXiv:2502.16982), by which AdamW's learning rate and weight decay fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of x, x³ and x⁵: steep at 0, within 0.7..1.2 near 1 (Jordan)
_ITERATIONS = 5
_ADAMW_RMS = 0.2  # the usual root mean square of AdamW's update (Liu)


def newton_schulz(matrices: Tensor) -> Tensor:
    """Returns the nearest semi-orthogonal matrices, roughly: all singular values between about 0.7 and 1.2.

    This is a Newton-Schulz iteration of fifth degree.

    Args:
        matrices: (N, rows, columns) float; a zero matrix stays zero.

    Returns:
        The same shape and type.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # (N, smaller side, larger side)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT  # (N, smaller side, smaller side)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """The optimizer; updates of weights of one shape are made orthogonal together.

    Args:
        groups: As `optim.parameter_groups` makes them; `muon` true: matrices or convolutions, whose rows are
            their outputs.
        lr: The learning rate of both Muon and AdamW.
        betas: Those of AdamW.
        dtype: Number format in which matrices are multiplied.
        momentum: Nesterov's, of Muon.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        dtype: torch.dtype = torch.float32,
        momentum: float = 0.95,
    ) -> None:
        # `fused` tells torch that the count of steps belongs beside the weights: without it, what is loaded
        # stays in the CPU's memory, which the fused kernel reads as an address of the GPU's.
        defaults = {"lr": lr, "betas": betas, "momentum": momentum, "muon": False, "fused": True}
        super().__init__(groups, defaults)
        self._dtype = dtype

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave, on any device; older ones do not say that they are fused."""
        groups = [{**group, "fused": True} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Takes one step on the gradients that there are."""
        assert closure is None
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            if trained:
                (self._muon if group["muon"] else self._adamw)(group, trained)

    def _muon(self, group: dict[str, Any], trained: list[Tensor]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        gradients = [cast(Tensor, parameter.grad) for parameter in trained]
        buffers = [self._momentum_buffer(parameter) for parameter in trained]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        nesterov = torch._foreach_lerp(gradients, buffers, momentum)
        torch._foreach_mul_(trained, 1 - lr * group["weight_decay"])
        shapes: dict[torch.Size, list[int]] = defaultdict(list)
        for index, parameter in enumerate(trained):
            shapes[parameter.flatten(1).shape].append(index)
        for (rows, columns), indices in shapes.items():
            matrices = torch.stack([nesterov[index].flatten(1) for index in indices])  # (N, rows, columns)
            updates = newton_schulz(matrices.to(self._dtype)).to(matrices.dtype)
            size = lr * _ADAMW_RMS * max(rows, columns) ** 0.5
            for index, update in zip(indices, updates, strict=True):
                trained[index].add_(update.reshape(trained[index].shape), alpha=-size)

    def _momentum_buffer(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        return cast(Tensor, state["momentum"])

    def _adamw(self, group: dict[str, Any], trained: list[Tensor]) -> None:
        for parameter in trained:
            if not (state := self.state[parameter]):
                state["step"] = torch.zeros((), device=parameter.device)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in trained]
        beta1, beta2 = group["betas"]
        adamw(
            trained,
            [cast(Tensor, parameter.grad) for parameter in trained],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )
