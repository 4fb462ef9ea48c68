"""VietOCR's transformer over features: post-norm encoder and decoder (Vaswani et al., 2017).

Legend: B lines, S features of a line, L tokens, D width, N heads, C classes. VietOCR puts the sequence first.
Attention is written with its own products so that a decoder may keep keys and values; the names of the
weights are those of torch's `nn.Transformer`, which VietOCR uses.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.config.families import TransformerConfig
from vocr_cli.core.models.layers.attention import AttentionModule, attend
from vocr_cli.core.models.layers.dropout import Dropout
from vocr_cli.core.models.layers.recompute import LIGHT, Recomputable
from vocr_cli.core.models.recognition_model import Stages


class Attention(AttentionModule):
    """Scaled dot products in N heads; queries, keys and values come from one stacked weight."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Attends from (L, B, D) to (S, B, D).

        `mask`, broadcast to (B, N, L, S), is added to the scores; `causal` instead of it hides what is ahead.
        """
        weights, biases, width = self.in_proj_weight, self.in_proj_bias, x.shape[2]
        if memory is x:  # one product instead of three: under autocast each would convert x and its gradient
            queries, keys, values = F.linear(x, weights, biases).chunk(3, -1)
        else:
            queries = F.linear(x, weights[:width], biases[:width])
            keys, values = F.linear(memory, weights[width:], biases[width:]).chunk(2, -1)
        q, k, v = self._split_heads(queries), self._split_heads(keys), self._split_heads(values)
        dropout = self.dropout if self.training else 0.0
        # (B, N, L, D / N)
        attended = attend(q, k, v, mask, causal=causal, dropout=dropout, form=self.attention_form)
        out: Tensor = self.out_proj(attended.permute(2, 0, 1, 3).flatten(2))
        return out

    def _split_heads(self, x: Tensor) -> Tensor:
        """(L, B, D) to (B, N, L, D / N)."""
        return x.unflatten(2, (self.heads, -1)).permute(1, 2, 0, 3)


class _FeedForwardLayer(Recomputable):
    """What both kinds of layers end with: a feed-forward layer."""

    RECOMPUTABLE: ClassVar = (LIGHT,)
    linear1: nn.Linear
    linear2: nn.Linear
    dropout: Dropout

    def fed(self, x: Tensor) -> Tensor:
        """(..., D) to the same shape; of the stage `light`, the hidden layer is recomputed."""
        out: Tensor = self.run_stage(LIGHT, self._feed, x)
        return out

    def _feed(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear2(self.dropout.relu(self.linear1(x)))
        return out


class EncoderLayer(_FeedForwardLayer):
    """Self-attention and a feed-forward layer, a norm behind each."""

    WITHIN: ClassVar = "encoder"

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn = Attention(width, config.heads, config.dropout)
        self.linear1 = nn.Linear(width, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(S, B, D) to the same shape."""
        x = self.norm1(x + self.dropout(self.self_attn(x, x)))
        out: Tensor = self.norm2(x + self.dropout(self.fed(x)))
        return out


class DecoderLayer(_FeedForwardLayer):
    """Self-attention, attention to the encoder's output and a feed-forward layer, a norm behind each."""

    WITHIN: ClassVar = "decoder"

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn = Attention(width, config.heads, config.dropout)
        self.multihead_attn = Attention(width, config.heads, config.dropout)
        self.linear1 = nn.Linear(width, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """(L, B, D) and (S, B, D) to (L, B, D); without a mask, what is ahead is hidden."""
        x = self.norm1(x + self.dropout(self.self_attn(x, x, mask, causal=mask is None)))
        x = self.norm2(x + self.dropout(self.multihead_attn(x, memory)))
        out: Tensor = self.norm3(x + self.dropout(self.fed(x)))
        return out


class Encoder(Recomputable):
    """The encoder's layers and one more norm."""

    RECOMPUTABLE: ClassVar = ("encoder",)

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(S, B, D) to the same shape."""
        for layer in self.layers:
            x = self.run_stage("encoder", layer, x)
        out: Tensor = self.norm(x)
        return out


class Decoder(Recomputable):
    """The decoder's layers and one more norm."""

    RECOMPUTABLE: ClassVar = ("decoder",)

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """(L, B, D) and (S, B, D) to (L, B, D); without a mask, what is ahead is hidden."""
        for layer in self.layers:
            x = self.run_stage("decoder", layer, x, memory, mask)
        out: Tensor = self.norm(x)
        return out


class Transformer(nn.Module):
    """Encoder and decoder; all matrices start by Glorot and Bengio, 2010, as in `nn.Transformer`."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)


def sinusoids(positions: int, width: int) -> Tensor:
    """The fixed table of positions, (positions, 1, D): sines in even columns, cosines in odd ones."""
    position = torch.arange(positions, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10_000.0) / width))
    table = torch.zeros(positions, width)
    table[:, 0::2] = torch.sin(position * rates)
    table[:, 1::2] = torch.cos(position * rates)
    return table[:, None]


class PositionalEncoding(nn.Module):
    """Adds the table of positions, which is stored among the weights."""

    pe: Tensor

    def __init__(self, positions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.register_buffer("pe", sinusoids(positions, width))

    def forward(self, x: Tensor) -> Tensor:
        """(L, B, D) to the same shape, L at most the length of the table."""
        out: Tensor = self.dropout(x + self.pe[: x.shape[0]])
        return out


class LanguageTransformer(nn.Module):
    """Features to class logits.

    Args:
        config: Sizes.
        classes: C.
    """

    STAGES: ClassVar[Stages] = {
        "encoder": ("transformer.encoder",),
        "decoder": ("embed_tgt", "transformer.decoder"),
        "head": ("fc",),
    }
    CLASS_ROWS: ClassVar = ("embed_tgt.weight", "fc.weight", "fc.bias")
    POSITION_TABLE: ClassVar[str | None] = "pos_enc.pe"

    def __init__(self, config: TransformerConfig, classes: int) -> None:
        super().__init__()
        self.scale = math.sqrt(config.d_model)
        self.embed_tgt = nn.Embedding(classes, config.d_model)
        self.pos_enc = PositionalEncoding(config.positions, config.d_model, config.position_dropout)
        self.transformer = Transformer(config)
        self.fc = nn.Linear(config.d_model, classes)

    def encode(self, features: Tensor) -> Tensor:
        """(S, B, D) to the memory, the same shape."""
        memory: Tensor = self.transformer.encoder(self.pos_enc(features * self.scale))
        return memory

    def decode(self, tokens: Tensor, memory: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, L) int64 and (S, B, D) to (B, L, C) logits, each of what follows the tokens up to there.

        Padding (B, L) bool adds 1 to the scores of its positions instead of hiding them, as VietOCR's float
        mask does; positions before it do not see it anyway.
        """
        mask = None
        if padding is not None:
            length = tokens.shape[1]
            ahead = torch.full((length, length), -math.inf, dtype=memory.dtype, device=memory.device)
            mask = ahead.triu(1) + padding[:, None, None, :].to(memory.dtype)  # (B, 1, L, L)
        x = self.pos_enc(self.embed_tgt(tokens.T) * self.scale)
        logits: Tensor = self.fc(self.transformer.decoder(x, memory, mask).transpose(0, 1))
        return logits

    def forward(self, features: Tensor, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """(S, B, D) and (B, L) to (B, L, C)."""
        return self.decode(tokens, self.encode(features), padding)
