"""Models in torch: what all of them need, and the engine of those that compute logits.

B lines, H and W px, T columns, C classes.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vocr_cli.core.decoding.ctc_torch import ctc_greedy_on_device, to_numpy
from vocr_cli.core.inference.engines.base import CtcEngine
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.post_processing import LineHypothesis, searched_hypotheses
from vocr_cli.core.machine.memory import raise_onednn_cache
from vocr_cli.core.machine.precision import DeviceName, PrecisionName
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.recognition_model import RecognitionModel

Module = TypeVar("Module", bound=nn.Module)


class TorchEngine(CtcEngine):
    """A module, its BatchNorms folded into the convolutions, in the precision asked for.

    The last layer stays in fp32: it costs little, and two near-equal classes must not tie by rounding.

    Args:
        module: In evaluation mode; left as it is, a copy is changed.
        device: Where it runs; on the CPU, torch is told to use one thread for each caller.
        precision: fp32, bf16 or fp16.
    """

    def __init__(self, module: RecognitionModel, device: DeviceName, precision: PrecisionName) -> None:
        if device == "cpu":
            use_threads(1)
        raise_onednn_cache()
        self.device = device
        self.precision = precision
        self.runtime = f"torch {torch.__version__}"
        self._dtype = TORCH_DTYPES[precision]
        module = fold_batch_norms(copy.deepcopy(module).eval()).to(self._dtype)
        for name in {key.rpartition(".")[0] for key in module.class_rows()}:
            module.set_submodule(name, _Float32(module.get_submodule(name)))
        self._module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def enter_thread(self) -> None:
        """Has the calling thread compute on one processor. See `Engine.enter_thread`."""
        use_threads(1)

    def logits(self, lines: np.ndarray) -> np.ndarray:
        """Computes logits, (B, T, C) float32, of lines, (B, H, W, channels) uint8."""
        return to_numpy(self._logits(lines))

    def read(self, lines: np.ndarray, decoding: Decoding) -> list[LineHypothesis]:
        """Reads a batch, of which a GPU gives the best classes only. See `Engine.read`."""
        if self.device == "cpu" or decoding.beam > 1:
            return super().read(lines, decoding)
        logits = self._logits(lines)
        if decoding.mask is not None:
            logits += torch.from_numpy(decoding.mask).to(logits.device)
        found = ctc_greedy_on_device(logits)
        return searched_hypotheses(found, lambda line: to_numpy(logits[line]), decoding)

    def _logits(self, lines: np.ndarray) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self._module(to_tensor(lines, self.device, self._dtype))
            return logits


class _Float32(nn.Module):
    """A layer that computes in fp32 whatever comes in."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.float()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.float())
        return logits


def to_tensor(lines: np.ndarray, device: DeviceName, dtype: torch.dtype) -> Tensor:
    """Turns lines into what modules take.

    Args:
        lines: (B, H, W, channels) uint8.
        device: Where the module runs.
        dtype: What it computes in.

    Returns:
        (B, channels, H, W) of `dtype` in 0..1, channels last in memory.
    """
    images = torch.from_numpy(lines).to(device).permute(0, 3, 1, 2)
    return images.float().div_(255).to(dtype)


def use_threads(count: int) -> None:
    """Has the calling thread, whatever others do, share its work among so many processors."""
    torch.set_num_threads(count)
    torch.get_num_threads()  # a thread that has not asked yet follows whoever sets the number next


def fold_batch_norms(module: Module) -> Module:
    """Folds each BatchNorm into the convolution registered before it, in place; gives `module` back."""
    children = list(module.named_children())
    for (name, conv), (next_name, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, next_name, nn.Identity())
    for _, child in children:
        fold_batch_norms(child)
    return module
