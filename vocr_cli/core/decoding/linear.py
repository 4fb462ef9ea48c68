"""Matrix products whose weights are prepared once for thousands of small calls.

On CPUs torch hands fp32 products to MKL, and hands bf16 products to oneDNN with weights that oneDNN puts into
its own order at every call. With weights put in order beforehand, oneDNN takes less than half of MKL's time
from two rows up on an AMD Zen 5, and the rounding stays within that of any two libraries; a single fp32 row
is a plain matrix-vector product, which MKL does best. These are the operations into which `torch.compile`
turns frozen linear layers; where torch lacks them, plain products take their place.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


class Linear:
    """A linear layer, x W' + b, its weight put in order beforehand where that pays.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        dtype: That the product is computed in; inputs must have it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.weight = weight.to(dtype).contiguous()
        self.bias = None if bias is None else bias.to(dtype).contiguous()
        self._packed: Tensor | None = None
        if weight.device.type == "cpu" and _packs(dtype):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight)
        self._plain_rows = 1 if dtype == torch.float32 else 0

    def __call__(self, x: Tensor) -> Tensor:
        """Maps (..., inputs) to (..., outputs)."""
        if self._packs(x):
            return self._product(x, "none")
        return F.linear(x, self.weight, self.bias)

    def relu(self, x: Tensor) -> Tensor:
        """Maps as a call does, with negative values replaced by zero."""
        if self._packs(x):
            return self._product(x, "relu")
        return F.linear(x, self.weight, self.bias).relu_()

    def onto(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """Returns `shortcut` (R, outputs) plus the product of x (R, inputs); the layer must have no bias."""
        if self._packs(x):
            return self._product(x, "none").add_(shortcut)
        return torch.addmm(shortcut, x, self.weight.t())

    def _packs(self, x: Tensor) -> bool:
        return self._packed is not None and x.numel() > self._plain_rows * x.shape[-1]

    def _product(self, x: Tensor, then: str) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, then, [], "")
        return product


@cache
def _packs(dtype: torch.dtype) -> bool:
    """Returns whether this build of torch, on this CPU, computes with weights in oneDNN's order."""
    if not torch.backends.mkldnn.is_available() or dtype not in (torch.float32, torch.bfloat16):
        return False
    weight = torch.eye(4, dtype=dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(weight, packed, None, "relu", [], "")
    except (AttributeError, RuntimeError):  # NotImplementedError is a RuntimeError
        return False
    return torch.equal(product, weight)
