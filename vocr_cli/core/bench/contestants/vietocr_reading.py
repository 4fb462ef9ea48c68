"""Reading the way VietOCR 0.3 does it: line by line, the decoder going over its whole prefix at every step.

B lines, C classes, S columns of features, T steps, L tokens so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.loader.batching import batches_of_one_width
from vocr_cli.core.decoding.ctc_torch import ctc_greedy_on_device
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.layers.attention import set_attention
from vocr_cli.core.models.vietocr.constants import EOS, SOS
from vocr_cli.core.models.vietocr.convseq2seq import ConvSeq2Seq
from vocr_cli.core.models.vietocr.language_transformer import LanguageTransformer
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.seq2seq import Seq2Seq
from vocr_cli.core.training.step.objective import autocast, to_model_input


class LineByLine:
    """Reads VietOCR's way.

    Args:
        model: The model; it is put on the device.
        device: Where.
        options: Steps at most; lines are not stopped for repeating themselves.
        cached: Whether the decoder keeps what it computed instead of going over its prefix again.
        lines: Read together, of one width, at most; 1: as VietOCR's Predictor does.
        dtype: Of the forward pass.
    """

    def __init__(
        self,
        model: ModelFile,
        device: torch.device,
        options: DecodeOptions,
        *,
        cached: bool = False,
        lines: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._model, self._device, self._options = model, device, options
        self._lines, self._dtype = lines, dtype
        self._module = model.module.eval().to(device)
        set_attention(self._module, "sdpa")  # as torch's nn.Transformer attends, which VietOCR's is
        self._stepper = None
        if cached and isinstance(self._module, VietocrRecognizer):
            self._stepper = make_incremental_decoder(self._module, dtype, options.max_steps)

    @torch.inference_mode()
    def read(self, images: Sequence[Image.Image]) -> list[str]:
        """Return the texts of images of any sizes, in their order."""
        fitted = [fit_line(image, self._model.image) for image in images]
        texts = [""] * len(fitted)
        widths = [line.shape[1] for line in fitted]
        for indices in batches_of_one_width(widths, self._model.image.height_px, 1 << 40, self._lines):
            lines = torch.from_numpy(np.stack([fitted[index] for index in indices]))  # (B, H, W, channels)
            with autocast(self._device, self._dtype):
                read = self._read(to_model_input(lines, self._device, channels_last=False))
            for index, classes in zip(indices, read, strict=True):
                texts[index] = self._model.charset.decode(classes)
        return texts

    def _read(self, images: Tensor) -> list[list[int]]:
        module = self._module
        if not isinstance(module, VietocrRecognizer):
            return [path.classes for path in ctc_greedy_on_device(module(images))]
        features, specials = module.features(images), module.config.specials
        if self._stepper is not None:
            rows = [path.classes for path in greedy(self._stepper, features, self._options)]
        else:
            rows = [_until_end(row) for row in prefix_tokens(module, features, self._options).tolist()]
        return [[token - specials + 1 for token in row if token >= specials] for row in rows]


def prefix_tokens(module: VietocrRecognizer, features: Tensor, options: DecodeOptions) -> Tensor:
    """Return (B, T) best tokens, everything before a token computed again for it, until all lines have ended.

    VietOCR keeps the state of its recurrent decoder, which is kept here, too.
    """
    next_logits = _decoder(module, features)
    tokens = torch.full((features.shape[1], 1), SOS, device=features.device)
    ended = torch.zeros(features.shape[1], dtype=torch.bool, device=features.device)
    for _ in range(options.max_steps):
        best = next_logits(tokens).argmax(-1)  # (B,)
        tokens = torch.cat((tokens, best[:, None]), dim=1)
        ended |= best == EOS
        if bool(ended.all()):
            break
    return tokens[:, 1:]


def _decoder(module: VietocrRecognizer, features: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function from (B, L) tokens so far to (B, C) logits of the next."""
    sequence = module.transformer
    if isinstance(sequence, LanguageTransformer):
        memory = sequence.encode(features)
        return lambda tokens: sequence.decode(tokens, memory)[:, -1]
    if isinstance(sequence, ConvSeq2Seq):
        keys, values = sequence.encoder(features)
        return lambda tokens: sequence.decoder(tokens, keys, values)[:, -1]
    return _recurrent(sequence, features)


def _recurrent(sequence: Seq2Seq, features: Tensor) -> Callable[[Tensor], Tensor]:
    memory, state = sequence.encoder(features)
    keys = sequence.decoder.attention.keys(memory)

    def next_logits(tokens: Tensor) -> Tensor:
        nonlocal state
        logits, state = sequence.decoder(tokens[:, -1], state, memory, keys)
        return logits

    return next_logits


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(EOS)] if EOS in tokens else tokens
