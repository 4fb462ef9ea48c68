"""VietOCR's ConvSeq2Seq (Gehring et al., 2017), one token at a time.

Legend: B lines, R rows (B × beams), S columns of the line, E width of embeddings, D width of the
convolutions, K kernel, C classes.

Every decoder layer keeps its last K - 1 inputs, so a step costs one column. All layers look at the line
through the same two linear layers; both are applied to the line once instead of to every step of every layer,
and the factors √½ of the sums go into what is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vocr_cli.core.decoding.linear import Linear
from vocr_cli.core.decoding.padding import check_columns, padded_columns

_ROOT_HALF = 0.5**0.5
"""Factor that keeps the variance of a sum of two."""


class IncrementalConvSeq2Seq:
    """An `IncrementalDecoder` over a `ConvSeq2Seq`.

    Args:
        weights: The state dict of the sequence model, in float32, named as VietOCR names it.
        dtype: Of weights and state; the class layer stays in float32.
        max_steps: Tokens of a line, at most.
    """

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype, max_steps: int) -> None:
        positions = weights["decoder.pos_embedding.weight"]  # (longest, E)
        self.max_steps = min(max_steps, len(positions))
        self._dtype = dtype
        self._encoder_positions = weights["encoder.pos_embedding.weight"].to(dtype)
        self._encoder_in = _linear(weights, "encoder.emb2hid.", dtype)
        self._convs = [
            _pair(weights, f"encoder.convs.{i}.", dtype) for i in range(_layers(weights, "encoder"))
        ]
        self._encoder_out = _linear(weights, "encoder.hid2emb.", dtype)

        self._tokens = weights["decoder.tok_embedding.weight"].to(dtype)
        self._positions = positions[: self.max_steps].to(dtype)
        self._decoder_in = _linear(weights, "decoder.emb2hid.", dtype)
        self._layers = [
            Linear(taps.permute(0, 2, 1).flatten(1), bias, dtype)  # (2 D, K D), the oldest column first
            for taps, bias in (
                _pair(weights, f"decoder.convs.{i}.", dtype) for i in range(_layers(weights, "decoder"))
            )
        ]
        self._attention_in = _pair(weights, "decoder.attn_hid2emb.", dtype)
        self._attention_out = _linear(weights, "decoder.attn_emb2hid.", dtype)
        down, down_bias = _pair(weights, "decoder.hid2emb.", torch.float32)
        classes, classes_bias = _pair(weights, "decoder.fc_out.", torch.float32)
        # Nothing stands between the two layers, so they become one.
        self._classes = Linear(classes @ down, classes @ down_bias + classes_bias, torch.float32)
        self.classes = len(classes)

    def start(self, features: Tensor, beams: int = 1, lengths: Tensor | None = None) -> None:
        """Encodes (S, B, E) lines and applies to them what the decoder's layers share."""
        columns, lines, _ = features.shape
        check_columns(columns, len(self._encoder_positions))
        embedded = features.transpose(0, 1).to(self._dtype) + self._encoder_positions[:columns]  # (B, S, E)
        x = self._encoder_in(embedded).transpose(1, 2)  # (B, D, S)
        padded = padded_columns(lengths, features)
        for taps, bias in self._convs:
            if padded is not None:  # a convolution sees zeros behind the end of a line
                x = x.masked_fill(padded[:, None], 0)
            x = (F.glu(F.conv1d(x, taps, bias, padding=taps.shape[2] // 2), dim=1) + x) * _ROOT_HALF
        keys = self._encoder_out(x.transpose(1, 2).contiguous())  # (B, S, E)
        values = (keys + embedded) * _ROOT_HALF
        keys = keys * _ROOT_HALF
        attention_in, attention_bias = self._attention_in
        constant = (keys @ attention_bias).unsqueeze(1)  # (B, 1, S)
        if padded is not None:
            constant.masked_fill_(padded[:, None], -torch.inf)
        self._beams = beams
        self._held = 0
        self._memory = (
            keys.transpose(1, 2).contiguous(),  # (B, E, S): against a token's embedding
            constant,
            (keys @ attention_in).transpose(1, 2).contiguous(),  # (B, D, S): against a layer's column
            self._attention_out(values) * 0.5,  # (B, S, D), scaled twice by √½
        )
        size = (lines * beams, self._layers[0].weight.shape[1] - x.shape[1])  # (R, (K - 1) D)
        self._last_inputs = [x.new_zeros(size) for _ in self._layers]

    def step(self, tokens: Tensor) -> Tensor:
        """Returns (R, C) logits of the tokens that follow (R,) tokens."""
        if self._held == self.max_steps:
            raise ValueError(f"a line takes at most {self.max_steps} steps here")
        token_keys, constant, column_keys, values = self._memory
        embedded = F.embedding(tokens, self._tokens).add_(self._positions[self._held])  # (R, E)
        self._held += 1
        rows = len(embedded)
        grouped = embedded.view(-1, self._beams, embedded.shape[1])
        base = torch.baddbmm(constant, grouped, token_keys)  # (B, beams, S)
        x = self._decoder_in(embedded)  # (R, D)
        width = x.shape[1]
        for index, layer in enumerate(self._layers):
            window = torch.cat((self._last_inputs[index], x), dim=1)  # (R, K D)
            self._last_inputs[index] = window.narrow(1, width, window.shape[1] - width)
            column = F.glu(layer(window), dim=1)  # (R, D)
            scores = torch.baddbmm(base, column.view(-1, self._beams, width), column_keys)
            attended = scores.softmax(2).bmm(values).view(rows, width)
            x = attended.add_(column, alpha=0.5).add_(x, alpha=_ROOT_HALF)
        return self._classes(x.float())

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows, and the lines they belong to, alone."""
        lines = rows[:: self._beams] // self._beams
        first, second, third, fourth = (tensor.index_select(0, lines) for tensor in self._memory)
        self._memory = first, second, third, fourth
        self.reorder(rows)

    def reorder(self, rows: Tensor) -> None:
        """Has row i go on from row `rows[i]` of the same line."""
        self._last_inputs = [held.index_select(0, rows) for held in self._last_inputs]


def _pair(weights: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return weights[f"{name}weight"].to(dtype), weights[f"{name}bias"].to(dtype)


def _linear(weights: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Linear:
    return Linear(weights[f"{name}weight"], weights[f"{name}bias"], dtype)


def _layers(weights: Mapping[str, Tensor], stack: str) -> int:
    return sum(name.startswith(f"{stack}.convs.") and name.endswith(".weight") for name in weights)
