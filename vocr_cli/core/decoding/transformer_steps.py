"""VietOCR's transformer, one token at a time.

Legend: B lines, R rows (B × beams), S columns of the line, T tokens held, D width, N heads, L decoder layers,
C classes. Post-norm layers (Vaswani et al., 2017) with a last norm after each stack, as `nn.Transformer` has.

Keys and values of the tokens are kept, those of the line are computed once for all layers. The bias of each
block's last product is moved into the scale-and-shift of the norm before it, and taken out again of the
products that read that norm: product, bias and shortcut are then a single operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vocr_cli.core.decoding.linear import Linear
from vocr_cli.core.decoding.padding import check_columns, padded_columns, padding_bias
from vocr_cli.core.machine.hardware import processor

_FIRST_CAPACITY = 32


@dataclass(frozen=True)
class _Affine:
    """A matrix and its bias, or the scale and shift of a norm; float32."""

    weight: Tensor
    bias: Tensor

    def shifted_input(self, shift: Tensor) -> _Affine:
        """Returns the product that gives the same although its input has grown by `shift`."""
        return _Affine(self.weight, self.bias - self.weight @ shift)

    def shifted_output(self, shift: Tensor) -> _Affine:
        return _Affine(self.weight, self.bias + shift)

    def linear(self, dtype: torch.dtype) -> Linear:
        return Linear(self.weight, self.bias, dtype)

    def unbiased(self, dtype: torch.dtype) -> Linear:
        return Linear(self.weight, None, dtype)

    def norm(self, dtype: torch.dtype) -> _Norm:
        return _Norm(self.weight.to(dtype), self.bias.to(dtype))


@dataclass(frozen=True)
class _Norm:
    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shift.shape, self.scale, self.shift)


@dataclass(frozen=True)
class _EncoderLayer:
    qkv: Linear
    self_attention_out: Linear
    norm1: _Norm
    feed_forward_up: Linear
    feed_forward_down: Linear
    norm2: _Norm


@dataclass(frozen=True)
class _DecoderLayer:
    """The two attentions' outputs and `feed_forward_down` have no bias: see the module's docstring."""

    qkv: Linear
    self_attention_out: Linear
    norm1: _Norm
    query: Linear
    cross_attention_out: Linear
    norm2: _Norm
    feed_forward_up: Linear
    feed_forward_down: Linear
    norm3: _Norm


class IncrementalTransformer:
    """An `IncrementalDecoder` over a `LanguageTransformer`.

    Args:
        weights: The state dict of the sequence model, in float32, named as VietOCR names it.
        heads: N.
        dtype: Of weights and caches; the class layer stays in float32.
        max_steps: Tokens of a line, at most.
    """

    def __init__(self, weights: Mapping[str, Tensor], heads: int, dtype: torch.dtype, max_steps: int) -> None:
        positions = weights["pos_enc.pe"].squeeze(1)  # (longest, D)
        self.max_steps = min(max_steps, len(positions))
        self._heads = heads
        self._head_width = weights["pos_enc.pe"].shape[2] // heads
        self._dtype = dtype
        width = positions.shape[1]
        self._root = width**0.5
        self._columns = positions.to(dtype)
        encoder = range(_count(weights, "transformer.encoder.layers."))
        self._encoder = [_encoder_layer(weights, f"transformer.encoder.layers.{i}.", dtype) for i in encoder]
        self._encoder_norm = _affine(weights, "transformer.encoder.norm.").norm(dtype)
        prefixes = [
            f"transformer.decoder.layers.{i}." for i in range(_count(weights, "transformer.decoder.layers."))
        ]
        layer_input_biases = [weights[f"{prefix}self_attn.out_proj.bias"] for prefix in prefixes]
        self._tokens = (weights["embed_tgt.weight"] * self._root).to(dtype)
        self._positions = (positions[: self.max_steps] + layer_input_biases[0]).to(dtype)
        layer_output_biases = [*layer_input_biases[1:], torch.zeros_like(layer_input_biases[0])]
        self._decoder = [
            _decoder_layer(weights, prefix, next_bias, dtype)
            for prefix, next_bias in zip(prefixes, layer_output_biases, strict=True)
        ]
        self._decoder_norm = _affine(weights, "transformer.decoder.norm.").norm(dtype)
        self._classes = _affine(weights, "fc.").linear(torch.float32)
        self.classes = len(weights["fc.bias"])
        self._memory_kv = _Affine(
            torch.cat([weights[f"{prefix}multihead_attn.in_proj_weight"][width:] for prefix in prefixes]),
            torch.cat([weights[f"{prefix}multihead_attn.in_proj_bias"][width:] for prefix in prefixes]),
        ).linear(dtype)
        # On CPUs attention of a single query is fastest in float32, whatever the weights are in. Those with
        # bf16 in tiles are different: with keys and values in it a step takes them two thirds of the time.
        in_float32 = positions.device.type == "cpu" and "amx_bf16" not in processor()[1]
        self._held_dtype = torch.float32 if in_float32 else dtype

    def start(self, features: Tensor, beams: int = 1, lengths: Tensor | None = None) -> None:
        """Encodes (S, B, D) lines and computes their keys and values for all layers."""
        columns, lines, width = features.shape
        check_columns(columns, len(self._columns))
        x = features.transpose(0, 1).to(self._dtype) * self._root + self._columns[:columns]  # (B, S, D)
        padded = padded_columns(lengths, features)
        encoder_bias = padding_bias(padded, self._dtype)
        for layer in self._encoder:
            x = self._encode(layer, x, encoder_bias)
        self._padding_bias = padding_bias(padded, self._held_dtype)  # (B, 1, 1, S) or None
        both = self._memory_kv(self._encoder_norm(x)).to(self._held_dtype)  # (B, S, 2 L D)
        heads = self._split(both.view(lines, columns, -1, width)).permute(2, 0, 3, 1, 4)
        self._memory = list(heads.contiguous().unflatten(0, (-1, 2)).unbind(0))  # L × (2, B, N, S, D/N)
        self._beams = beams
        self._held = 0
        self._cache = self._new_cache(lines * beams, min(_FIRST_CAPACITY, self.max_steps))

    def step(self, tokens: Tensor) -> Tensor:
        """Returns (R, C) logits of the tokens that follow (R,) tokens."""
        if self._held == self._cache.shape[4]:
            self._grow()
        rows = len(tokens)
        position = self._held
        self._held += 1
        x = F.embedding(tokens, self._tokens).add_(self._positions[position])  # (R, D)
        newest = self._cache.select(4, position).unbind(0)  # L × (2, R, N, D/N)
        held = self._cache.narrow(4, 0, self._held).unbind(0)  # L × (2, R, N, T, D/N)
        for layer, memory, new, seen in zip(self._decoder, self._memory, newest, held, strict=True):
            qkv = layer.qkv(x).view(rows, 3, self._heads, -1).to(self._held_dtype)
            new.copy_(qkv.narrow(1, 1, 2).transpose(0, 1))
            query = qkv.select(1, 0).unsqueeze(2)  # (R, N, 1, D/N)
            attended = F.scaled_dot_product_attention(query, seen[0], seen[1])
            x = layer.norm1(layer.self_attention_out.onto(x, attended.view(rows, -1).to(self._dtype)))
            query = layer.query(x).view(-1, self._beams, self._heads, self._head_width).to(self._held_dtype)
            attended = F.scaled_dot_product_attention(
                query.transpose(1, 2), memory[0], memory[1], self._padding_bias
            )
            attended = attended.transpose(1, 2).reshape(rows, -1).to(self._dtype)
            x = layer.norm2(layer.cross_attention_out.onto(x, attended))
            x = layer.norm3(layer.feed_forward_down.onto(x, layer.feed_forward_up.relu(x)))
        return self._classes(self._decoder_norm(x).float())

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows, and the lines they belong to, alone."""
        lines = rows[:: self._beams] // self._beams
        self._memory = [layer.index_select(1, lines) for layer in self._memory]
        if self._padding_bias is not None:
            self._padding_bias = self._padding_bias.index_select(0, lines)
        self.reorder(rows)

    def reorder(self, rows: Tensor) -> None:
        """Has row i go on from row `rows[i]` of the same line."""
        self._cache = self._cache.index_select(2, rows)

    def _encode(self, layer: _EncoderLayer, x: Tensor, bias: Tensor | None) -> Tensor:
        b, s, d = x.shape
        qkv = layer.qkv(x).view(b, s, 3, d)
        query, key, value = self._split(qkv).permute(2, 0, 3, 1, 4).unbind(0)  # (B, N, S, D/N) each
        attended = _attend(query, key, value, bias).transpose(1, 2).reshape(b, s, d)
        x = layer.norm1(layer.self_attention_out(attended).add_(x))
        return layer.norm2(layer.feed_forward_down(layer.feed_forward_up.relu(x)).add_(x))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self._heads, -1))

    def _new_cache(self, rows: int, capacity: int) -> Tensor:
        width = self._tokens.shape[1]
        size = (len(self._decoder), 2, rows, self._heads, capacity, width // self._heads)
        return self._tokens.new_empty(size, dtype=self._held_dtype)

    def _grow(self) -> None:
        if self._held == self.max_steps:
            raise ValueError(f"a line takes at most {self.max_steps} steps here")
        grown = self._new_cache(self._cache.shape[2], min(2 * self._held, self.max_steps))
        grown[..., : self._held, :] = self._cache
        self._cache = grown


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Attends with many queries, (B, N, S, D/N) each; torch's own attention is slow in bf16 on CPUs."""
    if query.dtype == torch.bfloat16 and query.device.type == "cpu":
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        if bias is not None:
            scores += bias
        return scores.softmax(-1) @ value
    return F.scaled_dot_product_attention(query, key, value, bias)


def _affine(weights: Mapping[str, Tensor], prefix: str) -> _Affine:
    return _Affine(weights[f"{prefix}weight"], weights[f"{prefix}bias"])


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def _encoder_layer(weights: Mapping[str, Tensor], prefix: str, dtype: torch.dtype) -> _EncoderLayer:
    qkv = _Affine(weights[f"{prefix}self_attn.in_proj_weight"], weights[f"{prefix}self_attn.in_proj_bias"])
    return _EncoderLayer(
        qkv=qkv.linear(dtype),
        self_attention_out=_affine(weights, f"{prefix}self_attn.out_proj.").linear(dtype),
        norm1=_affine(weights, f"{prefix}norm1.").norm(dtype),
        feed_forward_up=_affine(weights, f"{prefix}linear1.").linear(dtype),
        feed_forward_down=_affine(weights, f"{prefix}linear2.").linear(dtype),
        norm2=_affine(weights, f"{prefix}norm2.").norm(dtype),
    )


def _decoder_layer(
    weights: Mapping[str, Tensor], prefix: str, next_bias: Tensor, dtype: torch.dtype
) -> _DecoderLayer:
    """Regroups one layer.

    Args:
        weights: The state dict.
        prefix: The layer's, in the state dict.
        next_bias: (D,) bias of the first block's last product in the layer that follows, added in advance.
        dtype: Of the result.
    """
    self_attention_out, cross_attention_out = (
        _affine(weights, f"{prefix}self_attn.out_proj."),
        _affine(weights, f"{prefix}multihead_attn.out_proj."),
    )
    feed_forward_down = _affine(weights, f"{prefix}linear2.")
    qkv = _Affine(weights[f"{prefix}self_attn.in_proj_weight"], weights[f"{prefix}self_attn.in_proj_bias"])
    width = len(self_attention_out.bias)
    query = _Affine(
        weights[f"{prefix}multihead_attn.in_proj_weight"][:width],
        weights[f"{prefix}multihead_attn.in_proj_bias"][:width],
    )
    return _DecoderLayer(
        qkv=qkv.shifted_input(self_attention_out.bias).linear(dtype),
        self_attention_out=self_attention_out.unbiased(dtype),
        norm1=_affine(weights, f"{prefix}norm1.").shifted_output(cross_attention_out.bias).norm(dtype),
        query=query.shifted_input(cross_attention_out.bias).linear(dtype),
        cross_attention_out=cross_attention_out.unbiased(dtype),
        norm2=_affine(weights, f"{prefix}norm2.").shifted_output(feed_forward_down.bias).norm(dtype),
        feed_forward_up=_affine(weights, f"{prefix}linear1.")
        .shifted_input(feed_forward_down.bias)
        .linear(dtype),
        feed_forward_down=feed_forward_down.unbiased(dtype),
        norm3=_affine(weights, f"{prefix}norm3.").shifted_output(next_bias).norm(dtype),
    )
