"""Engines, which read batches, and torch as one of them. B lines, H and W px, T columns, C classes.

An engine is a model and the post-processing of what it computes; pre-processing is done before. Every engine
takes arrays of lines of one exact width, so no image is padded and a batch reads as its lines do
singly. Some read several such arrays together, as far as that comes to the same.
Engines are called from several threads at once, each computing on one processor: small models gain more by
that than by sharing the work within each layer, and no thread ever waits for another.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vocr_cli.core.inference.engines.post_processing import LineHypothesis, ctc_hypotheses
from vocr_cli.core.machine.memory import raise_onednn_cache
from vocr_cli.core.machine.precision import TORCH_DTYPES, DeviceName, PrecisionName
from vocr_cli.core.models.recognition_model import RecognitionModel

CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 6_000_000

Module = TypeVar("Module", bound=nn.Module)


class Engine(Protocol):
    """Reads batches of lines of one width."""

    device: DeviceName
    precision: PrecisionName
    runtime: str

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        ...

    @property
    def threads_per_batch(self) -> int:
        """Processors that share one batch while others are read beside it."""
        ...

    @property
    def merges_widths(self) -> bool:
        """Whether lines of several widths are read sooner together than apart."""
        ...

    def read(self, lines: np.ndarray, mask: Tensor | None, beam: int, n_best: int) -> list[LineHypothesis]:
        """Reads a batch.

        Args:
            lines: (B, H, W, channels) uint8.
            mask: (C,) of the charset, on the engine's device: 0 for what may be read (the first stands for
                nothing, or the end), -inf for the rest; None: all may be read.
            beam: Hypotheses kept; 1: greedy.
            n_best: Alternatives given from a beam; few are found sooner than many.
        """
        ...

    def read_groups(
        self, groups: Sequence[np.ndarray], mask: Tensor | None, beam: int, n_best: int
    ) -> list[list[LineHypothesis]]:
        """Reads one batch of lines of several widths, each group as `read` would, but for rounding.

        Args:
            groups: Of a width of its own each, (B, H, W, channels) uint8.
            mask: As for `read`.
            beam: As for `read`.
            n_best: As for `read`.
        """
        ...


class CtcEngine(ABC):
    """An engine whose model computes logits, one distribution a column, for CTC's post-processing."""

    device: DeviceName
    precision: PrecisionName
    runtime: str
    threads_per_batch = 1
    merges_widths = False

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        return GPU_BATCH_PIXELS if self.device == "cuda" else CPU_BATCH_PIXELS

    @abstractmethod
    def logits(self, lines: np.ndarray) -> Tensor:
        """Computes logits, (B, T, C) float, of lines, (B, H, W, channels) uint8."""

    def read(self, lines: np.ndarray, mask: Tensor | None, beam: int, n_best: int) -> list[LineHypothesis]:
        """Reads a batch: best class per column, or with a beam the likeliest text. See `Engine.read`."""
        return ctc_hypotheses(self.logits(lines), mask, beam, n_best)

    def read_groups(
        self, groups: Sequence[np.ndarray], mask: Tensor | None, beam: int, n_best: int
    ) -> list[list[LineHypothesis]]:
        """Reads one group after the other. See `Engine.read_groups`."""
        return [self.read(lines, mask, beam, n_best) for lines in groups]


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

    def logits(self, lines: np.ndarray) -> Tensor:
        """Computes logits, (B, T, C) float, of lines, (B, H, W, channels) uint8."""
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
