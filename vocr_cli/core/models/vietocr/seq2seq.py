"""VietOCR's GRU encoder and decoder with additive attention (Bahdanau et al., 2015).

Legend: B lines, S features of a line, L tokens, F width of the features, E of the encoder's output (both
directions), D of the decoder, C classes. VietOCR puts the sequence first.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from vocr_cli.core.config.families import Seq2SeqConfig
from vocr_cli.core.models.layers.dropout import Dropout
from vocr_cli.core.models.layers.recompute import Recomputable
from vocr_cli.core.models.recognition_model import Stages


class Encoder(nn.Module):
    """A GRU over the features in both directions; its last states start the decoder."""

    def __init__(self, config: Seq2SeqConfig, features: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(features, config.encoder_hidden, bidirectional=True)
        self.fc = nn.Linear(2 * config.encoder_hidden, config.decoder_hidden)
        self.dropout = Dropout(config.dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(S, B, F) to the memory (S, B, E) and the decoder's first state (B, D)."""
        memory, last = self.rnn(self.dropout(features))
        state = torch.tanh(self.fc(torch.cat((last[0], last[1]), dim=1)))
        return memory, state


class Attention(nn.Module):
    """Which parts of the memory matter to a state; the state's D inputs come before the memory's E."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        width = config.decoder_hidden
        self.attn = nn.Linear(2 * config.encoder_hidden + width, width)
        self.v = nn.Linear(width, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """The memory's part of the hidden layer, the same at every step: (S, B, E) to (S, B, D)."""
        width = self.attn.out_features
        return nn.functional.linear(memory, self.attn.weight[:, width:], self.attn.bias)

    def forward(self, state: Tensor, keys: Tensor) -> Tensor:
        """(B, D) and (S, B, D) to weights (S, B) that sum to 1 over S."""
        query = nn.functional.linear(state, self.attn.weight[:, : self.attn.out_features])
        scores: Tensor = self.v(torch.tanh(keys + query)).squeeze(2)
        return scores.softmax(0)


class Decoder(nn.Module):
    """One character a step, from the state, what it attends to, and the character before."""

    def __init__(self, config: Seq2SeqConfig, classes: int) -> None:
        super().__init__()
        memory, width = 2 * config.encoder_hidden, config.decoder_hidden
        self.attention = Attention(config)
        self.embedding = nn.Embedding(classes, config.embedding)
        self.rnn = nn.GRU(memory + config.embedding, width)
        self.fc_out = nn.Linear(memory + width + config.embedding, classes)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, state: Tensor, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """One step: (B,) int64, (B, D), (S, B, E), (S, B, D) to logits (B, C) and the next state (B, D)."""
        embedded = self.dropout(self.embedding(tokens))
        weights = self.attention(state, keys)  # (S, B)
        context = torch.einsum("sb,sbe->be", weights, memory)
        output, _ = self.rnn(torch.cat((embedded, context), dim=1)[None], state[None])
        state = output[0]
        return self.fc_out(torch.cat((state, context, embedded), dim=1)), state


class Seq2Seq(Recomputable):
    """Features to class logits.

    Args:
        config: Sizes.
        features: F.
        classes: C.
    """

    RECOMPUTABLE: ClassVar = ("encoder", "decoder")
    STAGES: ClassVar[Stages] = {"encoder": ("encoder",), "decoder": ("decoder",), "head": ("decoder.fc_out",)}
    CLASS_ROWS: ClassVar = ("decoder.embedding.weight", "decoder.fc_out.weight", "decoder.fc_out.bias")
    POSITION_TABLE: ClassVar[str | None] = None

    def __init__(self, config: Seq2SeqConfig, features: int, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(config, features)
        self.decoder = Decoder(config, classes)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """(S, B, F) and (B, L) to (B, L, C) logits, each of what follows the tokens up to there."""
        memory, state = self.run_stage("encoder", self.encoder, features)
        keys = self.decoder.attention.keys(memory)
        steps = []
        for step in tokens.T:
            logits, state = self.run_stage("decoder", self.decoder, step, state, memory, keys)
            steps.append(logits)
        return torch.stack(steps, dim=1)
