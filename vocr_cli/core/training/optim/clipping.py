"""Gradients kept within limits before the optimizer sees them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vocr_cli.core.config.tree import OptimConfig

_HISTORY = 1_000
"""Norms that the adaptive threshold is a percentile of."""

_LEAST_WEIGHT_NORM = 1e-3
"""Of a unit's weights, so that units that begin at zero can leave it (Brock et al., 2021)."""

_LEAST_GRADIENT_NORM = 1e-6

_HEADS = ("head.", "transformer.fc.", "transformer.decoder.fc_out.")
"""Classifiers of our families: adaptive clipping leaves them out, as the paper does."""


class Clipper:
    """Clips the gradients of a module in place, by the mode that the config names.

    Args:
        module: Its parameters' gradients.
        config: `clip` and what belongs to it.

    Attributes:
        norms: The latest norms that the adaptive threshold follows; part of the checkpoint.
    """

    def __init__(self, module: nn.Module, config: OptimConfig) -> None:
        self.config = config
        trained = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
        self._parameters = [value for _, value in trained]
        self._units = [value for name, value in trained if not name.startswith(_HEADS)]
        self.norms: deque[float] = deque(maxlen=_HISTORY)

    def gradients(self) -> list[Tensor]:
        """Returns those that there are."""
        return _gradients(self._parameters)

    @property
    def knows_norm_first(self) -> bool:
        """Whether clipping needs the norm of the whole gradient alone, so that `clip` can be told it."""
        return self.config.clip in ("off", "norm")

    @torch.no_grad()
    def norm(self) -> Tensor:
        """Returns the L2 norm of the whole gradient, of shape () on its device; 0 where there is none."""
        gradients = self.gradients()
        return total_norm(gradients) if gradients else torch.zeros(())

    @torch.no_grad()
    def clip(self, norm: float | None = None) -> tuple[float, bool]:
        """Clips the gradients in place.

        Args:
            norm: What `norm` gave, where it is known; None: it is looked up.

        Returns:
            L2 norm of the whole gradient as it was, and whether any of it was changed. A gradient that is
            not finite is for the caller to throw away: it is not clipped, and no threshold follows it.
        """
        gradients = self.gradients()
        if not gradients:
            return 0.0, False
        if norm is not None and self.knows_norm_first:
            return norm, self.config.clip == "norm" and _shrink(gradients, norm, self.config.clip_norm)
        mode = _MODES[self.config.clip]
        return mode(self, gradients)

    def state_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for a checkpoint."""
        return {"norms": list(self.norms)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        self.norms = deque(state["norms"], maxlen=_HISTORY)

    def _off(self, gradients: list[Tensor]) -> tuple[float, bool]:
        return float(total_norm(gradients)), False

    def _by_norm(self, gradients: list[Tensor]) -> tuple[float, bool]:
        norm = float(total_norm(gradients))
        return norm, _shrink(gradients, norm, self.config.clip_norm)

    def _by_value(self, gradients: list[Tensor]) -> tuple[float, bool]:
        largest = torch.stack(torch._foreach_norm(gradients, math.inf)).max()
        norm, top = torch.stack((total_norm(gradients), largest)).tolist()
        limit = self.config.clip_value
        if not math.isfinite(norm) or top <= limit:
            return norm, False
        torch._foreach_clamp_min_(gradients, -limit)
        torch._foreach_clamp_max_(gradients, limit)
        return norm, True

    def _adaptive(self, gradients: list[Tensor]) -> tuple[float, bool]:
        """Each unit by its weights, then the whole by a percentile of the norms seen, its own included.

        The second is AutoClip (Seetharaman et al., 2020), over a bounded history. In this order one wild
        unit does not shrink all the others' gradients.
        """
        before = total_norm(gradients)
        clip_units([value for value in self._units if value.grad is not None], self.config.agc_ratio)
        norm, left = torch.stack((before, total_norm(gradients))).tolist()
        if not math.isfinite(norm):
            return norm, False
        self.norms.append(left)
        limit = float(np.percentile(np.fromiter(self.norms, float), self.config.clip_percentile))
        return norm, _shrink(gradients, left, limit) or left < norm * (1 - 1e-6)


_MODES: dict[str, Callable[[Clipper, list[Tensor]], tuple[float, bool]]] = {
    "off": Clipper._off,
    "norm": Clipper._by_norm,
    "value": Clipper._by_value,
    "adaptive": Clipper._adaptive,
}


def total_norm(tensors: list[Tensor]) -> Tensor:
    """Returns the L2 norm of all elements together, a tensor of shape ()."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def clip_units(parameters: list[nn.Parameter], ratio: float) -> None:
    """Adaptive gradient clipping (Brock et al., 2021): no unit's gradient above `ratio` × its weights.

    A unit is what feeds one output: a row of a matrix, a filter of a convolution. A bias or a norm's gain is
    a unit as a whole.

    Args:
        parameters: With gradients; these change in place.
        ratio: Of the two L2 norms.
    """
    if not parameters:
        return
    gradients = _gradients(parameters)
    scales = [_unit_norms(value.detach()) for value in parameters]  # (units, 1, ...) each
    norms = [_unit_norms(value) for value in gradients]
    torch._foreach_clamp_min_(scales, _LEAST_WEIGHT_NORM)
    torch._foreach_mul_(scales, ratio)
    torch._foreach_clamp_min_(norms, _LEAST_GRADIENT_NORM)
    torch._foreach_div_(scales, norms)
    torch._foreach_clamp_max_(scales, 1.0)
    torch._foreach_mul_(gradients, scales)


def _unit_norms(value: Tensor) -> Tensor:
    if value.ndim <= 1:
        return torch.linalg.vector_norm(value)
    return torch.linalg.vector_norm(value, dim=tuple(range(1, value.ndim)), keepdim=True)


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [value.grad for value in parameters if value.grad is not None]


def _shrink(gradients: list[Tensor], norm: float, limit: float) -> bool:
    """Scales gradients to the limit where they are longer, and finite; returns whether it did."""
    if not limit < norm < math.inf:
        return False
    torch._foreach_mul_(gradients, limit / norm)
    return True
