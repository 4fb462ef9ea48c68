"""What is exported of a VietOCR model with GRUs and additive attention (Bahdanau et al., 2015).

Legend: B lines, H and W px, S columns of a line, E width of the encoder's output, D of the decoder, R rows
(B × beams), C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.seq2seq import Seq2Seq


class GruMemory(nn.Module):
    """A line to what the decoder asks of each of its columns, and to the decoder's first state.

    Args:
        module: The model; its weights are shared.
    """

    def __init__(self, module: VietocrRecognizer) -> None:
        super().__init__()
        sequence = module.transformer
        assert isinstance(sequence, Seq2Seq)
        self.backbone, self.encoder = module.cnn, sequence.encoder
        attention = sequence.decoder.attention.attn
        width = attention.out_features
        self.keys = nn.Linear(attention.in_features - width, width, device="meta")
        self.keys.weight = nn.Parameter(attention.weight[:, width:].detach())
        self.keys.bias = nn.Parameter(attention.bias.detach())

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) float in 0..1 to (B, S, E + 2 D): outputs, keys, and the state, S times."""
        outputs, state = self.encoder(self.backbone(images))  # (S, B, E), (B, D)
        outputs = outputs.transpose(0, 1)
        states = state[:, None].expand(-1, outputs.shape[1], -1)
        return torch.cat((outputs, self.keys(outputs), states), dim=2)


class GruStep(nn.Module):
    """A token and a state a row to the logits of the next token, and the next state.

    Args:
        module: The model; its weights are shared.
    """

    def __init__(self, module: VietocrRecognizer) -> None:
        super().__init__()
        sequence = module.transformer
        assert isinstance(sequence, Seq2Seq)
        decoder = sequence.decoder
        self.embedding, self.classes, self.score = decoder.embedding, decoder.fc_out, decoder.attention.v
        self.width = decoder.attention.attn.out_features
        gru = decoder.rnn
        self.query = nn.Linear(self.width, self.width, bias=False, device="meta")
        self.query.weight = nn.Parameter(decoder.attention.attn.weight[:, : self.width].detach())
        self.from_input = nn.Linear(gru.input_size, 3 * self.width, device="meta")
        self.from_state = nn.Linear(self.width, 3 * self.width, device="meta")
        for linear, part in ((self.from_input, "ih"), (self.from_state, "hh")):
            linear.weight = gru.get_parameter(f"weight_{part}_l0")
            linear.bias = gru.get_parameter(f"bias_{part}_l0")

    def forward(
        self, tokens: Tensor, state: Tensor, column_bias: Tensor, outputs: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            tokens: (R,) int64.
            state: (R, D).
            column_bias: (B, 1, S) float: 0 for a column of the line, -inf behind its end.
            outputs: (B, S, E) of the encoder.
            keys: (B, S, D).

        Returns:
            (R, C) logits and the next state, (R, D).
        """
        query = self.query(state).view(keys.shape[0], -1, 1, self.width)  # (B, beams, 1, D)
        scores = self.score(torch.tanh(keys.unsqueeze(1) + query)).squeeze(3)  # (B, beams, S)
        context = ((scores + column_bias).softmax(2) @ outputs).reshape(-1, outputs.shape[2])  # (R, E)
        embedded = self.embedding(tokens)
        into = self.from_input(torch.cat((embedded, context), dim=1))
        before = self.from_state(state)
        both = torch.sigmoid(into[:, : 2 * self.width] + before[:, : 2 * self.width])
        reset, update = both[:, : self.width], both[:, self.width :]
        new = torch.tanh(into[:, 2 * self.width :] + reset * before[:, 2 * self.width :])
        state = new + update * (state - new)
        return self.classes(torch.cat((state, context, embedded), dim=1)), state
