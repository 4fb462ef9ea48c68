"""VietOCR's models in torch: features once, then character after character. B lines, H and W px, C classes.

Classes are the model's own here: `specials` that are no characters, then the charset's in order.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vocr_cli.core.decoding.beam import beam_search
from vocr_cli.core.decoding.greedy import TokenPath, greedy
from vocr_cli.core.decoding.incremental import make_stepper
from vocr_cli.core.decoding.reading_options import reading_options
from vocr_cli.core.inference.engines.backbones import Backbone, TorchBackbone
from vocr_cli.core.inference.engines.base import LinePath, use_threads
from vocr_cli.core.machine.memory import keep_kernels
from vocr_cli.core.machine.precision import TORCH_DTYPES, DeviceName, PrecisionName, good_precisions
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

# How these models use processors and memory, all to be set by measurement, per machine if need be.
THREADS_PER_BATCH = 1
"""Processors that share one batch while others are read beside it; a batch that comes alone has them all."""
CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 3_000_000


class Seq2SeqEngine:
    """A backbone, and a decoder that keeps what it computed.

    Args:
        module: Left as it is; a copy is changed.
        charset: What its classes mean.
        device: Where it runs.
        precision: fp32, bf16 or fp16; the last layer stays in fp32. int8: what `backbone` computes in, the
            decoder takes what the processor runs best.
        threads: Processors that a batch shares which the calling thread reads, alone.
        backbone: Instead of the module's own.

    Attributes:
        options: How lines are read; `beam` and `n_best` are the caller's of `read`.
    """

    threads_per_batch = THREADS_PER_BATCH
    merges_widths = True  # a step costs about the same for one row as for many

    def __init__(
        self,
        module: VietocrRecognizer,
        charset: Charset,
        device: DeviceName,
        precision: PrecisionName,
        threads: int = 1,
        backbone: Backbone | None = None,
    ) -> None:
        if device == "cpu":
            use_threads(threads)
        keep_kernels()
        self.device = device
        self.precision = precision
        dtype = TORCH_DTYPES[good_precisions(device)[-1] if precision == "int8" else precision]
        self._backbone = backbone or TorchBackbone(module, device, dtype)
        self.runtime = self._backbone.runtime
        self._specials = module.config.specials
        self.options = reading_options(charset, self._specials)
        module = copy.deepcopy(module).eval().to(device)
        self._stepper = make_stepper(module, dtype, self.options.max_steps)
        self._classes = module.classes

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        return GPU_BATCH_PIXELS if self.device == "cuda" else CPU_BATCH_PIXELS

    def read(self, lines: np.ndarray, mask: Tensor | None, beam: int, n_best: int) -> list[LinePath]:
        """Reads a batch, greedily or with a beam. See `Engine.read`."""
        return self.read_groups([lines], mask, beam, n_best)[0]

    def read_groups(
        self, groups: Sequence[np.ndarray], mask: Tensor | None, beam: int, n_best: int
    ) -> list[list[LinePath]]:
        """Looks at each width by itself and writes all lines together. See `Engine.read_groups`."""
        options = self.options.model_copy(update={"beam": beam, "n_best": n_best})
        with torch.inference_mode():
            features, lengths = _side_by_side([self.features(lines) for lines in groups])
            stepper = copy.copy(self._stepper)  # shares the weights, not what it holds of a batch
            blocked = None if mask is None else self._own_mask(mask)
            if beam > 1:
                found = beam_search(stepper, features, options, blocked, lengths)
                paths = iter([self._n_best(readings) for readings in found])
            else:
                read = greedy(stepper, features, options, blocked, lengths)
                paths = iter([self._line_path(path) for path in read])
        return [list(islice(paths, len(lines))) for lines in groups]

    def features(self, lines: np.ndarray) -> Tensor:
        """(B, H, W, channels) uint8 to (S, B, hidden)."""
        with torch.inference_mode():
            return self._backbone.features(lines)

    def _own_mask(self, mask: Tensor) -> Tensor:
        """The charset's mask in the model's classes: (C,) bool, what may be chosen besides the end."""
        allowed = torch.zeros(self._classes, dtype=torch.bool, device=mask.device)
        allowed[self._specials :] = mask[1:] == 0
        return allowed

    def _n_best(self, found: list[TokenPath]) -> LinePath:
        return self._line_path(found[0], [(self._in_charset(path.classes), path.score) for path in found])

    def _line_path(self, path: TokenPath, n_best: list[tuple[list[int], float]] | None = None) -> LinePath:
        """Leaves out what is no character, which a trained model does not write."""
        sure = zip(path.classes, path.confidences, strict=True)
        confidences = [value for number, value in sure if number >= self._specials]
        empty = 0.0 if confidences else math.exp(path.score)
        return LinePath(self._in_charset(path.classes), confidences, empty, path.flags, n_best or [])

    def _in_charset(self, classes: list[int]) -> list[int]:
        return [number - self._specials + 1 for number in classes if number >= self._specials]


def _side_by_side(parts: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Puts (S, B, hidden) features of several lengths into one batch, zeros behind each line's end.

    Returns:
        The features, and (B,) int64 columns of each line; None where all have the same.
    """
    columns = [len(part) for part in parts]
    if len(set(columns)) == 1:
        return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)), None
    longest = max(columns)
    padded = [F.pad(part, (0, 0, 0, 0, 0, longest - len(part))) for part in parts]
    lines = torch.tensor([part.shape[1] for part in parts])
    return torch.cat(padded, dim=1), torch.tensor(columns).repeat_interleave(lines)
