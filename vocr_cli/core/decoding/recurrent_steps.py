"""VietOCR's GRU decoder with additive attention (Bahdanau et al., 2015), one token at a time.

Legend: B lines, R rows (B × beams), S columns of the line, H hidden width of the encoder (each direction), E
width of its output (2 H), D width of the decoder, C classes.

The line's part of the attention is computed once. All that depends on the token alone becomes a table by
class: its part of the GRU's gates and its part of the logits. The two products that read the old hidden state
are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vocr_cli.core.decoding.linear import Linear
from vocr_cli.core.decoding.padding import padded_columns


class IncrementalGru:
    """An `IncrementalDecoder` over a `Seq2Seq`.

    Args:
        weights: The state dict of the sequence model, in float32, named as VietOCR names it.
        dtype: Of weights and state; the class layer stays in float32.
        max_steps: Tokens of a line, at most.
    """

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype, max_steps: int) -> None:
        self.max_steps = max_steps
        self._dtype = dtype
        self._encoder = _encoder(weights, "encoder.rnn.", dtype)
        self._first = Linear(weights["encoder.fc.weight"], weights["encoder.fc.bias"], dtype)

        attention = weights["decoder.attention.attn.weight"]  # (D, D + E): the state's part comes first
        width = len(attention)
        self._keys = Linear(attention[:, width:], weights["decoder.attention.attn.bias"], dtype)
        self._score = weights["decoder.attention.v.weight"].t().contiguous().to(dtype)  # (D, 1)
        self._from_state = Linear(  # 3 D gates, then the attention's D
            torch.cat((weights["decoder.rnn.weight_hh_l0"], attention[:, :width])),
            torch.cat((weights["decoder.rnn.bias_hh_l0"], torch.zeros_like(attention[:, 0]))),
            dtype,
        )
        embedding = weights["decoder.embedding.weight"]  # (C, embedding width)
        gates = weights["decoder.rnn.weight_ih_l0"]  # (3 D, embedding width + E)
        embedding_width = embedding.shape[1]
        self._gates_of_token = F.linear(
            embedding, gates[:, :embedding_width], weights["decoder.rnn.bias_ih_l0"]
        ).to(dtype)
        self._gates_of_line = Linear(gates[:, embedding_width:], None, dtype)
        classes = weights["decoder.fc_out.weight"]  # (C, D + E + embedding width)
        rest = classes.shape[1] - embedding_width
        self._logits_of_token = F.linear(embedding, classes[:, rest:], weights["decoder.fc_out.bias"])
        self._classes = Linear(classes[:, :rest], None, torch.float32)
        self.classes = len(classes)

    def start(self, features: Tensor, beams: int = 1, lengths: Tensor | None = None) -> None:
        """Encodes (S, B, hidden) lines."""
        padded = padded_columns(lengths, features)
        outputs, last = self._encode(features.to(self._dtype), lengths, padded)  # (S, B, E), (2, B, H)
        outputs = outputs.transpose(0, 1).contiguous()
        state = self._first(torch.cat((last[0], last[1]), dim=1)).tanh_()
        self._beams = beams
        self._memory = outputs, self._keys(outputs).unsqueeze(1)  # (B, S, E), (B, 1, S, D)
        self._padded = None if padded is None else padded[:, None]  # (B, 1, S)
        self._state = state.repeat_interleave(beams, dim=0)  # (R, D)

    def step(self, tokens: Tensor) -> Tensor:
        """Returns (R, C) logits of the tokens that follow (R,) tokens."""
        old = self._state
        outputs, keys = self._memory
        rows, width = old.shape
        from_state = self._from_state(old)  # (R, 4 D)
        query = from_state.narrow(1, 3 * width, width).view(-1, self._beams, 1, width)
        scores = (keys + query).tanh_().matmul(self._score).squeeze(3)  # (B, beams, S)
        if self._padded is not None:
            scores = scores.masked_fill(self._padded, -torch.inf)
        context = scores.softmax(2).bmm(outputs).view(rows, -1)  # (R, E)
        gates = self._gates_of_line.onto(F.embedding(tokens, self._gates_of_token), context)  # (R, 3 D)
        self._state = _gated(gates, from_state, old)
        state_and_context = torch.cat((self._state, context), dim=1).float()
        return self._classes.onto(F.embedding(tokens, self._logits_of_token), state_and_context)

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows, and the lines they belong to, alone."""
        lines = rows[:: self._beams] // self._beams
        self._memory = self._memory[0].index_select(0, lines), self._memory[1].index_select(0, lines)
        if self._padded is not None:
            self._padded = self._padded.index_select(0, lines)
        self.reorder(rows)

    def reorder(self, rows: Tensor) -> None:
        """Has row i go on from row `rows[i]` of the same line."""
        self._state = self._state.index_select(0, rows)

    def _encode(
        self, features: Tensor, lengths: Tensor | None, padded: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Maps (S, B, hidden) to every output (S, B, E) and the last of each direction (2, B, H)."""
        if isinstance(self._encoder, _BidirectionalGru):
            return self._encoder(features, padded)
        if lengths is None:
            outputs, last = self._encoder(features)
            return outputs, last
        packed, last = self._encoder(pack_padded_sequence(features, lengths, enforce_sorted=False))
        return pad_packed_sequence(packed, total_length=len(features))[0], last


class _BidirectionalGru:
    """The encoder's GRU on CPUs: both directions advance together, and their products use prepared weights.

    `nn.GRU` runs one direction after the other there; a single line gains nothing by this, a batch does.
    """

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        first, second = "l0", "l0_reverse"
        self._inputs = Linear(
            torch.cat((weights[f"weight_ih_{first}"], weights[f"weight_ih_{second}"])),
            torch.cat((weights[f"bias_ih_{first}"], weights[f"bias_ih_{second}"])),
            dtype,
        )
        self._states = [
            Linear(weights[f"weight_hh_{direction}"], weights[f"bias_hh_{direction}"], dtype)
            for direction in (first, second)
        ]

    def __call__(self, features: Tensor, padded: Tensor | None) -> tuple[Tensor, Tensor]:
        """Maps (S, B, inputs) to every output (S, B, E) and the last of each direction (2, B, H).

        In columns that are `padded`, (B, S) bool or None, a state stays as it is: backward it starts with
        zeros at the end of each line, forward it ends with the state there.
        """
        forward, backward = self._inputs(features).chunk(2, dim=2)
        gates = torch.stack((forward, backward.flip(0)), dim=1)  # (S, 2, B, 3 H)
        state = gates.new_zeros((2, gates.shape[2], gates.shape[3] // 3))
        states = []
        stays: Sequence[Tensor | None] = [None] * len(gates)
        if padded is not None:
            stays = torch.stack((padded.T, padded.T.flip(0)), dim=1)[..., None].unbind(0)  # S × (2, B, 1)
        for step_gates, stays_step in zip(gates.unbind(0), stays, strict=True):
            from_state = torch.stack([linear(x) for linear, x in zip(self._states, state, strict=True)])
            new = _gated(step_gates, from_state, state)
            state = new if stays_step is None else torch.where(stays_step, state, new)
            states.append(state)
        forward, backward = torch.stack(states, dim=1).unbind(0)  # (S, B, H) each
        return torch.cat((forward, backward.flip(0)), dim=2), state


def _encoder(weights: Mapping[str, Tensor], prefix: str, dtype: torch.dtype) -> _BidirectionalGru | nn.GRU:
    gru_weights = {
        name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)
    }
    gates, inputs = gru_weights["weight_ih_l0"].shape
    if gru_weights["weight_ih_l0"].device.type == "cpu":
        return _BidirectionalGru(gru_weights, dtype)
    gru = nn.GRU(inputs, gates // 3, bidirectional=True, device=gru_weights["weight_ih_l0"].device)
    gru.load_state_dict(gru_weights)
    return gru.to(dtype).requires_grad_(False)


def _gated(gates: Tensor, from_state: Tensor, old: Tensor) -> Tensor:
    """Returns a GRU's next state (Cho et al., 2014), the reset gate applied behind the product as in cuDNN.

    Args:
        gates: (..., 3 D) computed from the input: reset, update, new; is overwritten.
        from_state: (..., 3 D or more) computed from the old state, in the same order.
        old: (..., D).
    """
    width = old.shape[-1]
    both = gates.narrow(-1, 0, 2 * width).add_(from_state.narrow(-1, 0, 2 * width)).sigmoid_()
    reset, update = both.chunk(2, dim=-1)
    new = gates.narrow(-1, 2 * width, width).addcmul_(reset, from_state.narrow(-1, 2 * width, width)).tanh_()
    return torch.lerp(new, old, update)
