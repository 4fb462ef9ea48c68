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
"""Keeps the variance of a sum of two."""


class ConvolutionSteps:
    """A `Stepper` (see `incremental`) over a `ConvSeq2Seq`.

    Args:
        weights: The state dict of the sequence model, in float32, named as VietOCR names it.
        dtype: Of weights and state; the class layer stays in float32.
        max_steps: Tokens of a line, at most.
    """

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype, max_steps: int) -> None:
        places = weights["decoder.pos_embedding.weight"]  # (longest, E)
        self.max_steps = min(max_steps, len(places))
        self._dtype = dtype
        self._columns = weights["encoder.pos_embedding.weight"].to(dtype)
        self._rise = _linear(weights, "encoder.emb2hid.", dtype)
        self._convs = [
            _pair(weights, f"encoder.convs.{i}.", dtype) for i in range(_layers(weights, "encoder"))
        ]
        self._fall = _linear(weights, "encoder.hid2emb.", dtype)

        self._tokens = weights["decoder.tok_embedding.weight"].to(dtype)
        self._places = places[: self.max_steps].to(dtype)
        self._enter = _linear(weights, "decoder.emb2hid.", dtype)
        self._layers = [
            Linear(taps.permute(0, 2, 1).flatten(1), bias, dtype)  # (2 D, K D), the oldest column first
            for taps, bias in (
                _pair(weights, f"decoder.convs.{i}.", dtype) for i in range(_layers(weights, "decoder"))
            )
        ]
        self._ask = _pair(weights, "decoder.attn_hid2emb.", dtype)
        self._take = _linear(weights, "decoder.attn_emb2hid.", dtype)
        leave, leave_bias = _pair(weights, "decoder.hid2emb.", torch.float32)
        classes, classes_bias = _pair(weights, "decoder.fc_out.", torch.float32)
        # Nothing stands between the two, so they are one.
        self._classes = Linear(classes @ leave, classes @ leave_bias + classes_bias, torch.float32)
        self.classes = len(classes)

    def start(self, features: Tensor, beams: int = 1, lengths: Tensor | None = None) -> None:
        """Encodes (S, B, E) lines and applies to them what the decoder's layers share."""
        columns, lines, _ = features.shape
        check_columns(columns, len(self._columns))
        embedded = features.transpose(0, 1).to(self._dtype) + self._columns[:columns]  # (B, S, E)
        x = self._rise(embedded).transpose(1, 2)  # (B, D, S)
        padded = padded_columns(lengths, features)
        for taps, bias in self._convs:
            if padded is not None:  # a convolution sees zeros behind the end of a line
                x = x.masked_fill(padded[:, None], 0)
            x = (F.glu(F.conv1d(x, taps, bias, padding=taps.shape[2] // 2), dim=1) + x) * _ROOT_HALF
        keys = self._fall(x.transpose(1, 2).contiguous())  # (B, S, E)
        values = (keys + embedded) * _ROOT_HALF
        keys = keys * _ROOT_HALF
        ask, ask_bias = self._ask
        constant = (keys @ ask_bias).unsqueeze(1)  # (B, 1, S)
        if padded is not None:
            constant.masked_fill_(padded[:, None], -torch.inf)
        self._beams = beams
        self._held = 0
        self._memory = (
            keys.transpose(1, 2).contiguous(),  # (B, E, S): against a token's embedding
            constant,
            (keys @ ask).transpose(1, 2).contiguous(),  # (B, D, S): against a layer's column
            self._take(values) * 0.5,  # (B, S, D), scaled twice by √½
        )
        size = (lines * beams, self._layers[0].weight.shape[1] - x.shape[1])  # (R, (K - 1) D)
        self._before = [x.new_zeros(size) for _ in self._layers]

    def step(self, tokens: Tensor) -> Tensor:
        """(R,) tokens to (R, C) logits of the next."""
        if self._held == self.max_steps:
            raise ValueError(f"a line takes at most {self.max_steps} steps here")
        against_token, constant, against_column, found = self._memory
        embedded = F.embedding(tokens, self._tokens).add_(self._places[self._held])  # (R, E)
        self._held += 1
        rows = len(embedded)
        grouped = embedded.view(-1, self._beams, embedded.shape[1])
        base = torch.baddbmm(constant, grouped, against_token)  # (B, beams, S)
        x = self._enter(embedded)  # (R, D)
        width = x.shape[1]
        for place, layer in enumerate(self._layers):
            window = torch.cat((self._before[place], x), dim=1)  # (R, K D)
            self._before[place] = window.narrow(1, width, window.shape[1] - width)
            column = F.glu(layer(window), dim=1)  # (R, D)
            scores = torch.baddbmm(base, column.view(-1, self._beams, width), against_column)
            looked = scores.softmax(2).bmm(found).view(rows, width)
            x = looked.add_(column, alpha=0.5).add_(x, alpha=_ROOT_HALF)
        return self._classes(x.float())

    def keep(self, rows: Tensor) -> None:
        """Only these rows, and the lines they belong to, go on."""
        lines = rows[:: self._beams] // self._beams
        first, second, third, fourth = (part.index_select(0, lines) for part in self._memory)
        self._memory = first, second, third, fourth
        self.reorder(rows)

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from row `rows[i]` of the same line."""
        self._before = [held.index_select(0, rows) for held in self._before]


def _pair(weights: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return weights[f"{name}weight"].to(dtype), weights[f"{name}bias"].to(dtype)


def _linear(weights: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Linear:
    return Linear(weights[f"{name}weight"], weights[f"{name}bias"], dtype)


def _layers(weights: Mapping[str, Tensor], part: str) -> int:
    return sum(name.startswith(f"{part}.convs.") and name.endswith(".weight") for name in weights)
