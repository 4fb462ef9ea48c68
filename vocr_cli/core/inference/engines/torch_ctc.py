"""Models in torch: what all of them need, and the engine of those that compute logits.

B lines, H and W px, T columns, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import islice, pairwise
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vocr_cli.core.config.tree import COLUMN_PX
from vocr_cli.core.decoding.ctc_torch import ctc_greedy_on_device, to_numpy
from vocr_cli.core.inference.engines.base import (
    CPU_BATCH_PIXELS,
    GPU_BATCH_PIXELS,
    CtcEngine,
    gpu_batch_pixels,
)
from vocr_cli.core.inference.engines.column_mask import ColumnMask, pad_together
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.post_processing import (
    LineHypothesis,
    ctc_hypotheses,
    searched_hypotheses,
)
from vocr_cli.core.machine.memory import raise_onednn_cache
from vocr_cli.core.machine.precision import DeviceName, PrecisionName
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.recognition_model import RecognitionModel

Module = TypeVar("Module", bound=nn.Module)

PIXEL_BYTES = 110.0
"""Of a model of the default size: twice the 56 bytes that its tensors take at most, for cuDNN's workspace."""


class TorchEngine(CtcEngine):
    """A module, its BatchNorms folded into the convolutions, in the precision asked for.

    The last layer stays in fp32: it costs little, and two near-equal classes must not tie by rounding.

    Args:
        module: In evaluation mode; left as it is, a copy is changed.
        device: Where it runs; on the CPU, torch is told to use one thread for each caller.
        precision: fp32, bf16 or fp16.
        merges_widths: Whether lines of several widths are read in one padded batch; None: on a CUDA GPU,
            which few lines leave idle. Threads that read at once then take turns.
        pixel_bytes: Memory that a pixel takes on a GPU at the peak of a forward pass in fp32.
    """

    def __init__(
        self,
        module: RecognitionModel,
        device: DeviceName,
        precision: PrecisionName,
        *,
        merges_widths: bool | None = None,
        pixel_bytes: float = PIXEL_BYTES,
    ) -> None:
        if device == "cpu":
            use_threads(1)
        raise_onednn_cache()
        self.device = device
        self.precision = precision
        self.runtime = f"torch {torch.__version__}"
        self._dtype = TORCH_DTYPES[precision]
        module = fold_batch_norms(copy.deepcopy(module).eval())
        names = {key.rpartition(".")[0] for key in module.class_rows()}
        unrounded = {name: copy.deepcopy(module.get_submodule(name)) for name in names}
        module = module.to(self._dtype)
        for name, layer in unrounded.items():
            module.set_submodule(name, _Float32(layer))
        self._module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.merges_widths = device == "cuda" if merges_widths is None else merges_widths
        self._column_mask = ColumnMask(self._module) if self.merges_widths else None
        # The mask is one batch's, and any forward pass meets it.
        self._turn = Lock() if self.merges_widths else nullcontext()
        self._batch_pixels = CPU_BATCH_PIXELS
        if device != "cpu":
            self._batch_pixels = gpu_batch_pixels(
                GPU_BATCH_PIXELS, pixel_bytes * self._dtype.itemsize / torch.float32.itemsize
            )

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together; on a GPU, by its free memory when it was loaded."""
        return self._batch_pixels

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
        return self._read_on_device(self._logits(lines), None, decoding)

    def read_groups(self, groups: Sequence[np.ndarray], decoding: Decoding) -> list[list[LineHypothesis]]:
        """Reads all groups in one padded batch, where the engine merges widths. See `Engine.read_groups`."""
        whole = all(group.shape[2] % ColumnMask.WIDTH_MULTIPLE_PX == 0 for group in groups)
        if self._column_mask is None or len(groups) == 1 or not whole:
            return super().read_groups(groups, decoding)
        widths = torch.tensor([group.shape[2] for group in groups for _ in group])  # (B,)
        padded = pad_together(groups)
        logits = self._logits(padded, widths)
        columns = widths * logits.shape[1] // padded.shape[2]  # (B,)
        if self.device == "cpu" or decoding.beam > 1:
            rows = to_numpy(logits)
            found = ctc_hypotheses([row[:end] for row, end in zip(rows, columns, strict=True)], decoding)
        else:
            found = self._read_on_device(logits, columns, decoding)
        hypotheses = iter(found)
        return [list(islice(hypotheses, len(group))) for group in groups]

    def _read_on_device(
        self, logits: Tensor, columns: Tensor | None, decoding: Decoding
    ) -> list[LineHypothesis]:
        """Decodes (B, T, C) logits greedily where they lie; `columns` (B,) before padding, None: all."""
        if decoding.mask is not None:
            logits = logits + torch.from_numpy(decoding.mask).to(logits.device)  # a tensor of inference mode
        found = ctc_greedy_on_device(logits, columns)
        ends = [logits.shape[1]] * len(logits) if columns is None else columns.tolist()
        return searched_hypotheses(found, lambda line: to_numpy(logits[line, : ends[line]]), decoding)

    def _logits(self, lines: np.ndarray, widths: Tensor | None = None) -> Tensor:
        """Computes logits of (B, H, W, channels) lines; `widths` (B,) px before padding, None: all have W."""
        with self._turn, torch.inference_mode():
            images = to_tensor(lines, self.device, self._dtype)
            if widths is None or self._column_mask is None:
                whole: Tensor = self._module(images)
                return whole
            self._column_mask.set_widths(widths.to(self.device), lines.shape[2])
            try:
                logits: Tensor = self._module(images, (widths // COLUMN_PX).to(self.device))
            finally:
                self._column_mask.set_widths(None)
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
