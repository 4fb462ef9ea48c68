"""VietOCR's models in torch: features once, then character by character. B lines, H and W px, C classes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vocr_cli.core.decoding.beam import beam_search
from vocr_cli.core.decoding.decode_options import DecodeOptions, reading_options
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder
from vocr_cli.core.decoding.token_hypothesis import TokenHypothesis
from vocr_cli.core.inference.engines.backbones import Backbone, TorchBackbone
from vocr_cli.core.inference.engines.base import gpu_batch_pixels
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.post_processing import LineHypothesis
from vocr_cli.core.inference.engines.tokens import TokenPostProcessor
from vocr_cli.core.inference.engines.torch_ctc import use_threads
from vocr_cli.core.machine.memory import raise_onednn_cache
from vocr_cli.core.machine.precision import DeviceName, PrecisionName, good_precisions
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

# How these models use processors and memory, all to be set by measurement, per machine if need be.
THREADS_PER_BATCH = 1
"""Processors that share one batch while others are read beside it; a batch that comes alone has them all."""
CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 3_000_000
PIXEL_BYTES = 1_050.0
"""Of a GPU's memory in fp32: twice the 524 bytes that a VGG's tensors take at most, for cuDNN's workspace."""


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
        decode_options: How lines are read; None: as in validation.

    Attributes:
        options: The decode options; `beam` and `n_best` are those of the caller's `Decoding`.
    """

    threads_per_batch = THREADS_PER_BATCH
    reads_singly = False
    merges_widths = True  # a step costs about the same for one row as for many

    def __init__(
        self,
        module: VietocrRecognizer,
        charset: Charset,
        device: DeviceName,
        precision: PrecisionName,
        *,
        threads: int = 1,
        backbone: Backbone | None = None,
        decode_options: DecodeOptions | None = None,
    ) -> None:
        if device == "cpu":
            use_threads(threads)
        raise_onednn_cache()
        self.device = device
        self.precision = precision
        dtype = TORCH_DTYPES[good_precisions(device)[-1] if precision == "int8" else precision]
        self._backbone = backbone or TorchBackbone(module, device, dtype)
        self.runtime = self._backbone.runtime
        specials = module.config.specials
        self.options = decode_options or reading_options(charset, specials)
        module = copy.deepcopy(module).eval().to(device)
        self._decoder = make_incremental_decoder(module, dtype, self.options.max_steps)
        self._post_processor = TokenPostProcessor(module.classes, specials)
        self._batch_pixels = CPU_BATCH_PIXELS
        if device != "cpu":
            pixel_bytes = PIXEL_BYTES * dtype.itemsize / torch.float32.itemsize
            self._batch_pixels = gpu_batch_pixels(GPU_BATCH_PIXELS, pixel_bytes)

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together; on a GPU, by its free memory when it was loaded."""
        return self._batch_pixels

    def enter_thread(self) -> None:
        """Has the calling thread share a batch among so many processors. See `Engine.enter_thread`."""
        use_threads(self.threads_per_batch)

    def read(self, lines: np.ndarray, decoding: Decoding) -> list[LineHypothesis]:
        """Reads a batch, greedily or with a beam. See `Engine.read`."""
        return self.read_groups([lines], decoding)[0]

    def read_groups(self, groups: Sequence[np.ndarray], decoding: Decoding) -> list[list[LineHypothesis]]:
        """Looks at each width by itself and writes all lines together. See `Engine.read_groups`."""
        with torch.inference_mode():
            features, lengths = _side_by_side([self.features(lines) for lines in groups])
            decoder = copy.copy(self._decoder)  # shares the weights, not what it holds of a batch
            mask = decoding.mask
            allowed = None
            if mask is not None:
                allowed = torch.from_numpy(self._post_processor.allowed_classes(mask)).to(self.device)

            def greedily(options: DecodeOptions) -> list[TokenHypothesis]:
                return greedy(decoder, features, options, allowed, lengths)

            def search(indices: Sequence[int], options: DecodeOptions) -> list[list[TokenHypothesis]]:
                some = torch.tensor(list(indices))
                of_lines = None if lengths is None else lengths[some]
                return beam_search(decoder, features[:, some.to(self.device)], options, allowed, of_lines)

            count = features.shape[1]
            hypotheses = iter(self._post_processor.read(count, greedily, search, self.options, decoding))
        return [list(islice(hypotheses, len(lines))) for lines in groups]

    def features(self, lines: np.ndarray) -> Tensor:
        """Computes features, (S, B, hidden), of lines, (B, H, W, channels) uint8."""
        with torch.inference_mode():
            return self._backbone.features(lines)


def _side_by_side(features: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Puts (S, B, hidden) features of several lengths into one batch, zeros behind each line's end.

    Returns:
        The features, and (B,) int64 columns of each line; None where all have the same.
    """
    columns = [len(group) for group in features]
    if len(set(columns)) == 1:
        return (features[0] if len(features) == 1 else torch.cat(features, dim=1)), None
    longest = max(columns)
    padded = [F.pad(group, (0, 0, 0, 0, 0, longest - len(group))) for group in features]
    lines = torch.tensor([group.shape[1] for group in features])
    return torch.cat(padded, dim=1), torch.tensor(columns).repeat_interleave(lines)
