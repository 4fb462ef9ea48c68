"""What reads batches: the engines, and torch as one. B lines, H and W px, T columns, C classes.

Every engine takes arrays of lines of one exact width, so no image is padded and a batch reads as its lines do
singly. Some read several such arrays together, as far as that comes to the same.
Engines are called from several threads at once, each computing on one processor: small models gain more by
that than by sharing the work within each layer, and no thread ever waits for another.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vocr_cli.core.decoding.ctc import ctc_greedy
from vocr_cli.core.decoding.ctc_beam import aligned_confidences, ctc_beam
from vocr_cli.core.machine.memory import keep_kernels
from vocr_cli.core.machine.precision import TORCH_DTYPES, DeviceName, PrecisionName
from vocr_cli.core.models.recognition_model import RecognitionModel

CROWDED = "crowded"
"""Flag: a run of one character stands closer than CTC can tell apart, so some may be lost."""

CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 6_000_000

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class LinePath:
    """What one line reads, in the charset's class numbers (the first character is 1; 0 never appears).

    Attributes:
        classes: Class numbers.
        confidences: The probability of each.
        empty_confidence: The probability that nothing stands there; for an empty path only, else 0.
        flags: What makes the reading doubtful.
        alternatives: From a beam: class numbers and score, best first, `classes` itself among them.
    """

    classes: list[int]
    confidences: list[float]
    empty_confidence: float = 0.0
    flags: tuple[str, ...] = ()
    alternatives: list[tuple[list[int], float]] = field(default_factory=list)


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

    def read(self, lines: np.ndarray, mask: Tensor | None, beam: int, n_best: int) -> list[LinePath]:
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
    ) -> list[list[LinePath]]:
        """Reads one batch of lines of several widths, each group as `read` would, but for rounding.

        Args:
            groups: Of a width of its own each, (B, H, W, channels) uint8.
            mask: As for `read`.
            beam: As for `read`.
            n_best: As for `read`.
        """
        ...


class CtcEngine(ABC):
    """An engine of the `ctc` family: computes logits, which are decoded here."""

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
        """(B, H, W, channels) uint8 to (B, T, C) float."""

    def read(self, lines: np.ndarray, mask: Tensor | None, beam: int, n_best: int) -> list[LinePath]:
        """Reads a batch: best class per column, or with a beam the likeliest text. See `Engine.read`."""
        logits = self.logits(lines)
        if mask is not None:
            logits = logits + mask
        best = ctc_greedy(logits)
        flags = [(CROWDED,) if path.crowded else () for path in best]
        if beam > 1:
            found = logits.float().log_softmax(-1).cpu().numpy()
            return [_by_beam(line, beam, n_best, flag) for line, flag in zip(found, flags, strict=True)]
        return [
            LinePath(path.classes, path.confidences, 0.0 if path.classes else _blankness(logits[line]), flag)
            for line, (path, flag) in enumerate(zip(best, flags, strict=True))
        ]

    def read_groups(
        self, groups: Sequence[np.ndarray], mask: Tensor | None, beam: int, n_best: int
    ) -> list[list[LinePath]]:
        """Reads one group after the other. See `Engine.read_groups`."""
        return [self.read(lines, mask, beam, n_best) for lines in groups]


def _by_beam(log_probabilities: np.ndarray, beam: int, n_best: int, flags: tuple[str, ...]) -> LinePath:
    """Reads (T, C) logarithms of probabilities."""
    found = ctc_beam(log_probabilities, beam)
    best = found[0].classes
    return LinePath(
        list(best),
        aligned_confidences(log_probabilities, best),
        0.0 if best else float(np.exp(log_probabilities[:, 0]).mean()),
        flags,
        alternatives=[(list(item.classes), item.score) for item in found[:n_best]],
    )


def _blankness(logits: Tensor) -> float:
    """The mean probability that (T, C) columns hold nothing."""
    return float(logits.float().softmax(-1)[:, 0].mean())


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
        keep_kernels()
        self.device = device
        self.precision = precision
        self.runtime = f"torch {torch.__version__}"
        self._dtype = TORCH_DTYPES[precision]
        module = fold_batch_norms(copy.deepcopy(module).eval()).to(self._dtype)
        for name in {key.rpartition(".")[0] for key in module.class_rows()}:
            module.set_submodule(name, _Float32(module.get_submodule(name)))
        self._module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def logits(self, lines: np.ndarray) -> Tensor:
        """(B, H, W, channels) uint8 to (B, T, C) float."""
        with torch.inference_mode():
            images = torch.from_numpy(lines).to(self.device).permute(0, 3, 1, 2)  # channels-last as it comes
            logits: Tensor = self._module(images.float().div_(255).to(self._dtype))
            return logits


class _Float32(nn.Module):
    """A layer that computes in fp32 whatever comes in."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.float()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.float())
        return logits


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
