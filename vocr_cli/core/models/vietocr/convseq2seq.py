"""VietOCR's gated convolutions with attention in every decoder layer (Gehring et al., 2017).

Legend: B lines, S features of a line, L tokens, E width of a vector, D of the convolutions, C classes.
Sums of two parts are scaled by √½, to keep their variance.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.config.families import ConvSeq2SeqConfig
from vocr_cli.core.models.layers.dropout import Dropout
from vocr_cli.core.models.layers.recompute import Recomputable
from vocr_cli.core.models.recognition_model import Stages

SCALE = math.sqrt(0.5)


class Encoder(nn.Module):
    """Gated convolutions over the features and their positions."""

    def __init__(self, config: ConvSeq2SeqConfig) -> None:
        super().__init__()
        width, kernel = config.hidden, config.encoder_kernel
        self.pos_embedding = nn.Embedding(config.encoder_positions, config.embedding)
        self.emb2hid = nn.Linear(config.embedding, width)
        self.hid2emb = nn.Linear(width, config.embedding)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, 2 * width, kernel, padding=kernel // 2) for _ in range(config.encoder_layers)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(S, B, E) to what the decoder compares with and what it takes in, each (B, S, E)."""
        features = features.transpose(0, 1)
        embedded = self.dropout(features + self.pos_embedding.weight[: features.shape[1]])
        x = self.emb2hid(embedded).transpose(1, 2)  # (B, D, S)
        for conv in self.convs:
            x = (F.glu(conv(self.dropout(x)), dim=1) + x) * SCALE
        keys = self.hid2emb(x.transpose(1, 2))
        return keys, (keys + embedded) * SCALE


class Decoder(nn.Module):
    """Convolutions over the tokens so far, each followed by attention to the features."""

    def __init__(self, config: ConvSeq2SeqConfig, classes: int) -> None:
        super().__init__()
        width, self.kernel = config.hidden, config.decoder_kernel
        self.tok_embedding = nn.Embedding(classes, config.embedding)
        self.pos_embedding = nn.Embedding(config.decoder_positions, config.embedding)
        self.emb2hid = nn.Linear(config.embedding, width)
        self.hid2emb = nn.Linear(width, config.embedding)
        self.attn_hid2emb = nn.Linear(width, config.embedding)
        self.attn_emb2hid = nn.Linear(config.embedding, width)
        self.fc_out = nn.Linear(config.embedding, classes)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, 2 * width, self.kernel) for _ in range(config.decoder_layers)
        )
        self.dropout = Dropout(config.dropout)

    def attend(self, x: Tensor, embedded: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Adds to x (B, L, D) what it attends to; embedded (B, L, E), keys, values (B, S, E)."""
        query = (self.attn_hid2emb(x) + embedded) * SCALE
        weights = (query @ keys.transpose(1, 2)).softmax(2)  # (B, L, S)
        attended: Tensor = self.attn_emb2hid(weights @ values)
        return (x + attended) * SCALE

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, L) int64 and twice (B, S, E) to (B, L, C) logits."""
        length = tokens.shape[1]
        embedded = self.dropout(self.tok_embedding(tokens) + self.pos_embedding.weight[:length])
        x = self.emb2hid(embedded)  # (B, L, D)
        for conv in self.convs:
            x = self.dropout(x)
            before = F.pad(x.transpose(1, 2), (self.kernel - 1, 0))  # nothing ahead is seen
            gated = F.glu(conv(before), dim=1).transpose(1, 2)
            x = (self.attend(gated, embedded, keys, values) + x) * SCALE
        logits: Tensor = self.fc_out(self.dropout(self.hid2emb(x)))
        return logits


class ConvSeq2Seq(Recomputable):
    """Features to class logits.

    Args:
        config: Sizes.
        classes: C.
    """

    RECOMPUTABLE: ClassVar = ("encoder", "decoder")
    STAGES: ClassVar[Stages] = {"encoder": ("encoder",), "decoder": ("decoder",), "head": ("decoder.fc_out",)}
    CLASS_ROWS: ClassVar = ("decoder.tok_embedding.weight", "decoder.fc_out.weight", "decoder.fc_out.bias")
    POSITION_TABLE: ClassVar[str | None] = None

    def __init__(self, config: ConvSeq2SeqConfig, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, classes)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """(S, B, E) and (B, L) to (B, L, C) logits, each of what follows the tokens up to there."""
        keys, values = self.run_stage("encoder", self.encoder, features)
        logits: Tensor = self.run_stage("decoder", self.decoder, tokens, keys, values)
        return logits
