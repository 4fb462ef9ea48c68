"""VietOCR's models in torch: features once, then character after character. B lines, H and W px, C classes.

Classes are the model's own here: `specials` that are no characters, then the charset's in order.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor

from vocr_cli.core.decoding.beam import beam_search
from vocr_cli.core.decoding.greedy import DecodeOptions, TokenPath, greedy
from vocr_cli.core.decoding.incremental import make_stepper
from vocr_cli.core.inference.engines import (
    TORCH_DTYPES,
    LinePath,
    fold_batch_norms,
    keep_kernels,
    use_threads,
)
from vocr_cli.core.models.vietocr import VietocrRecognizer
from vocr_cli.core.precision import DeviceName, PrecisionName
from vocr_cli.core.text import Charset

LEADERS = " .·…-–_"
"""Characters that may go on as long as they like: forms lead the eye with them."""

# How these models use processors and memory, all to be set by measurement, per machine if need be.
THREADS_PER_BATCH = 1
"""Processors that share one batch while others are read beside it; a batch that comes alone has them all."""
CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 3_000_000


def reading_options(charset: Charset, specials: int) -> DecodeOptions:
    """How lines are read, in validation as in use; `specials` classes stand before the charset's."""
    leaders = charset.encode("".join(char for char in LEADERS if char in charset))
    return DecodeOptions(specials=specials, leaders=frozenset(number - 1 + specials for number in leaders))


class Seq2SeqEngine:
    """A backbone, its BatchNorms folded into the convolutions, and a decoder that keeps what it computed.

    Args:
        module: Left as it is; a copy is changed.
        charset: What its classes mean.
        device: Where it runs.
        precision: fp32, bf16 or fp16; the last layer stays in fp32.
        threads: Processors that a batch shares which the calling thread reads, alone.
    """

    threads_per_batch = THREADS_PER_BATCH

    def __init__(
        self,
        module: VietocrRecognizer,
        charset: Charset,
        device: DeviceName,
        precision: PrecisionName,
        threads: int = 1,
    ) -> None:
        if device == "cpu":
            use_threads(threads)
        keep_kernels()
        self.device = device
        self.precision = precision
        self.runtime = f"torch {torch.__version__}"
        self._dtype = TORCH_DTYPES[precision]
        self._specials = module.config.specials
        self._options = reading_options(charset, self._specials)
        module = copy.deepcopy(module).eval().to(device)
        self._stepper = make_stepper(module, self._dtype, self._options.max_steps)
        backbone = fold_batch_norms(module.cnn).to(self._dtype)
        self._backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._classes = module.classes

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        return GPU_BATCH_PIXELS if self.device == "cuda" else CPU_BATCH_PIXELS

    def read(self, lines: np.ndarray, mask: Tensor | None, beam: int, n_best: int) -> list[LinePath]:
        """Reads a batch, greedily or with a beam. See `Engine.read`."""
        options = self._options.model_copy(update={"beam": beam, "n_best": n_best})
        with torch.inference_mode():
            images = torch.from_numpy(lines).to(self.device).permute(0, 3, 1, 2)  # channels-last as it comes
            features = self._backbone(images.float().div_(255).to(self._dtype))  # (S, B, hidden)
            stepper = copy.copy(self._stepper)  # shares the weights, not what it holds of a batch
            blocked = None if mask is None else self._own_mask(mask)
            if beam > 1:
                return [self._n_best(found) for found in beam_search(stepper, features, options, blocked)]
            return [self._line_path(path) for path in greedy(stepper, features, options, blocked)]

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
