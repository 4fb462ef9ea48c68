"""What is exported of a VietOCR model with a transformer. Nothing is masked but padding.

Legend: B lines, H and W px, S columns of a line, D width, N heads, L decoder layers, R rows (B × beams), T
tokens held, C classes. Post-norm layers (Vaswani et al., 2017), as `nn.Transformer` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.models.vietocr.language_transformer import (
    DecoderLayer,
    EncoderLayer,
    LanguageTransformer,
)
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer


class TransformerMemory(nn.Module):
    """A line to the keys and values that all decoder layers attend to.

    Args:
        module: The model; its weights are shared.
    """

    positions: Tensor

    def __init__(self, module: VietocrRecognizer) -> None:
        super().__init__()
        sequence = module.transformer
        assert isinstance(sequence, LanguageTransformer)
        self.backbone, self.scale = module.cnn, sequence.scale
        self.encoder = sequence.transformer.encoder
        self.register_buffer("positions", sequence.pos_enc.pe[:, 0])
        self.projections = nn.ModuleList(_qkv(layer) for layer in _encoder_layers(self.encoder))
        layers = _decoder_layers(sequence.transformer.decoder)
        self.heads = layers[0].multihead_attn.heads
        width = sequence.fc.in_features
        self.head_width = width // self.heads
        self.keys_and_values = _linear(
            torch.cat([layer.multihead_attn.in_proj_weight[width:] for layer in layers]),
            torch.cat([layer.multihead_attn.in_proj_bias[width:] for layer in layers]),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) float in 0..1 to (B, S, 2 L D), each layer's keys before its values."""
        features = self.backbone(images).transpose(0, 1) * self.scale  # (B, S, D)
        x = features + self.positions[: features.shape[1]]
        for layer, projection in zip(_encoder_layers(self.encoder), self.projections, strict=True):
            x = self._encode(layer, cast(nn.Linear, projection), x)
        memory: Tensor = self.keys_and_values(self.encoder.norm(x))
        return memory

    def _encode(self, layer: EncoderLayer, projection: nn.Linear, x: Tensor) -> Tensor:
        by_head = projection(x).view(*x.shape[:2], 3, self.heads, self.head_width)
        qkv = by_head.permute(2, 0, 3, 1, 4)  # (3, B, N, S, D/N)
        attended = _attend(qkv[0], qkv[1], qkv[2], self.head_width).transpose(1, 2).flatten(2)  # (B, S, D)
        x = layer.norm1(x + layer.self_attn.out_proj(attended))
        out: Tensor = layer.norm2(x + layer.linear2(F.relu(layer.linear1(x))))
        return out


class TransformerStep(nn.Module):
    """A token a row to the logits of the next, with keys and values of the tokens before it given.

    Args:
        module: The model; its weights are shared.
    """

    tokens: Tensor
    positions: Tensor

    def __init__(self, module: VietocrRecognizer) -> None:
        super().__init__()
        sequence = module.transformer
        assert isinstance(sequence, LanguageTransformer)
        self.decoder, self.classes = sequence.transformer.decoder, sequence.fc
        layers = _decoder_layers(self.decoder)
        self.heads = layers[0].self_attn.heads
        self.register_buffer("tokens", sequence.embed_tgt.weight * sequence.scale)
        self.register_buffer("positions", sequence.pos_enc.pe[:, 0])
        self.projections = nn.ModuleList(_qkv(layer) for layer in layers)
        width = sequence.fc.in_features
        self.head_width = width // self.heads  # sizes that are numbers here are constants in the graph
        self.queries = nn.ModuleList(
            _linear(layer.multihead_attn.in_proj_weight[:width], layer.multihead_attn.in_proj_bias[:width])
            for layer in layers
        )

    def forward(
        self, tokens: Tensor, position: Tensor, held_bias: Tensor, column_bias: Tensor, *kept: Tensor
    ) -> tuple[Tensor, ...]:
        """One step.

        Args:
            tokens: (R,) int64.
            position: (1,) int64, of the tokens in their lines.
            held_bias: (T,) float: 0 where `kept` holds a token, -inf behind.
            column_bias: (B, 1, 1, S) float: 0 for a column of the line, -inf behind its end.
            kept: Of each layer the line's keys and values, (B, N, S, D/N); then of each layer the held
                tokens' keys and values, (R, N, T, D/N).

        Returns:
            (R, C) logits; then of each layer the tokens' own keys and values, (R, N, D/N).
        """
        memory, held = kept[: len(kept) // 2], kept[len(kept) // 2 :]
        x = self.tokens[tokens] + self.positions[position]  # (R, D)
        lines = column_bias.shape[0]
        new: list[Tensor] = []
        for index, layer in enumerate(_decoder_layers(self.decoder)):
            qkv = self.projections[index](x).view(-1, 3, self.heads, self.head_width)  # (R, 3, N, D/N)
            query, key, value = qkv[:, 0], qkv[:, 1], qkv[:, 2]
            attended = self._attend_to_tokens(query, key, value, held_bias, held[2 * index : 2 * index + 2])
            x = layer.norm1(x + layer.self_attn.out_proj(attended))
            attended = self._attend_to_line(
                self.queries[index](x).view(lines, -1, self.heads, self.head_width),
                column_bias,
                memory[2 * index : 2 * index + 2],
            )
            x = self._feed_forward(layer, layer.norm2(x + layer.multihead_attn.out_proj(attended)))
            new += [key, value]
        return (self.classes(self.decoder.norm(x)), *new)

    def _attend_to_tokens(
        self, query: Tensor, key: Tensor, value: Tensor, held_bias: Tensor, held: tuple[Tensor, ...]
    ) -> Tensor:
        """The newest token is not among those held: its score stands behind theirs."""
        query = query * self.head_width**-0.5
        # Keys times query: the runtime would copy the keys to transpose them.
        before = (held[0] @ query.unsqueeze(3)).squeeze(3).unsqueeze(2) + held_bias  # (R, N, 1, T)
        own = (query * key).sum(2, keepdim=True).unsqueeze(2)  # (R, N, 1, 1)
        weights = torch.cat((before, own), dim=3).softmax(3)
        attended = weights[..., :-1] @ held[1] + weights[..., -1:] * value.unsqueeze(2)
        return attended.view(-1, self.heads * self.head_width)

    def _attend_to_line(self, query: Tensor, column_bias: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        """The beams of a line, side by side among the rows, share its keys and values."""
        keys, values = memory
        scores = keys @ (query * self.head_width**-0.5).permute(0, 2, 3, 1)  # (B, N, S, beams)
        attended = (scores.transpose(2, 3) + column_bias).softmax(3) @ values  # (B, N, beams, D/N)
        return attended.transpose(1, 2).reshape(-1, self.heads * self.head_width)

    def _feed_forward(self, layer: DecoderLayer, x: Tensor) -> Tensor:
        out: Tensor = layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))
        return out


def _attend(query: Tensor, key: Tensor, value: Tensor, head_width: int) -> Tensor:
    """Scaled dot products, (B, N, queries, D/N) with (B, N, S, D/N), in operations that every runtime has."""
    return ((query * head_width**-0.5) @ key.transpose(2, 3)).softmax(3) @ value


def _encoder_layers(encoder: nn.Module) -> Sequence[EncoderLayer]:
    return cast(Sequence[EncoderLayer], encoder.layers)


def _decoder_layers(decoder: nn.Module) -> Sequence[DecoderLayer]:
    return cast(Sequence[DecoderLayer], decoder.layers)


def _qkv(layer: EncoderLayer | DecoderLayer) -> nn.Linear:
    return _linear(layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return linear
