"""Beam search over a decoder in ONNX Runtime. Loads torch, which the search is written in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vocr_cli.core.decoding.beam import beam_search
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.token_hypothesis import TokenHypothesis
from vocr_cli.core.inference.engines.onnx_sequence.decoder import OnnxDecoder


class _OfTensors:
    """An `IncrementalDecoder` that has its lines already: `start` is asked for the beams alone."""

    def __init__(self, decoder: OnnxDecoder, memories: Sequence[np.ndarray]) -> None:
        self._decoder, self._memories = decoder, memories
        self.max_steps, self.classes = decoder.max_steps, decoder.classes

    def start(self, features: Tensor, beams: int = 1, lengths: Tensor | None = None) -> None:
        self._decoder.start(self._memories, beams)

    def step(self, tokens: Tensor) -> Tensor:
        return torch.from_numpy(self._decoder.step(tokens.numpy()))

    def keep(self, rows: Tensor) -> None:
        self._decoder.keep(rows.numpy())

    def reorder(self, rows: Tensor) -> None:
        self._decoder.reorder(rows.numpy())


def search(
    decoder: OnnxDecoder,
    memories: Sequence[np.ndarray],
    options: DecodeOptions,
    allowed: np.ndarray | None,
) -> list[list[TokenHypothesis]]:
    """Finds the best hypotheses of every line; see `beam_search`.

    Args:
        decoder: Its state is replaced.
        memories: As `OnnxDecoder.start` takes them.
        options: Width of the beam, and what belongs to it.
        allowed: (C,) bool, classes that may be chosen; None: all.
    """
    no_features = torch.empty((0, sum(map(len, memories)), 0))  # (S, B, hidden): the decoder has its lines
    mask = None if allowed is None else torch.from_numpy(allowed)
    return beam_search(_OfTensors(decoder, memories), no_features, options, mask)
