"""Decoders that read one token more at a time, each step costing the same. B lines, R rows, C classes.

A row is one open reading; a line has `beams` of them, side by side, so R = B × beams. What a step needs of
the tokens before it is kept: keys and values (transformer), the hidden state (GRU), the last inputs of every
convolution (ConvSeq2Seq). What it needs of the line is computed once, when the line starts.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vocr_cli.core.decoding.convolution_steps import IncrementalConvSeq2Seq
from vocr_cli.core.decoding.recurrent_steps import IncrementalGru
from vocr_cli.core.decoding.transformer_steps import IncrementalTransformer
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer


class IncrementalDecoder(Protocol):
    """A sequence model that is asked for one token more at a time.

    It holds the state of one batch, so every thread needs its own: a shallow copy (`copy.copy`) shares the
    weights and, from its `start` on, nothing else.

    Attributes:
        max_steps: Steps that can follow a `start`.
        classes: C.
    """

    max_steps: int
    classes: int

    def start(self, features: Tensor, beams: int = 1, lengths: Tensor | None = None) -> None:
        """Takes a batch of lines and forgets the one before.

        Args:
            features: (S, B, hidden) as the backbone gives them; behind the end of a line, anything finite.
            beams: Rows of each line, all at the beginning of the text.
            lengths: (B,) int64 on the CPU, columns of each line, 1..S; a line reads as it does alone. None:
                all have S.

        Raises:
            ModelError: The lines are longer than the model's table of positions.
            ValueError: The lengths do not fit the features.
        """
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Appends a token to every row.

        Args:
            tokens: (R,) int64, what each row holds last; SOS in the first step.

        Returns:
            (R, C) float32 logits of what comes next.
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone, in this order; whole lines leave.

        Args:
            rows: (R',) int64 on the features' device; the `beams` rows of a line stay side by side.
        """
        ...

    def reorder(self, rows: Tensor) -> None:
        """Follows the beams' back-pointers: row i goes on from row `rows[i]` of the same line.

        What belongs to a line, its memory above all, is shared by its beams and stays where it is.

        Args:
            rows: (R,) int64 on the features' device.
        """
        ...


def make_incremental_decoder(
    module: VietocrRecognizer, dtype: torch.dtype, max_steps: int
) -> IncrementalDecoder:
    """Makes the incremental decoder of a model's sequence part.

    Args:
        module: Left as it is; weights that need no regrouping or converting are shared with it.
        dtype: Of weights and state; the last layer stays in float32, so that near-equal classes do not tie.
        max_steps: At most so many tokens a line; fewer where the model's table of positions ends before.
    """
    weights = {name: value.detach().float() for name, value in module.transformer.state_dict().items()}
    match module.config.sequence:
        case "transformer":
            return IncrementalTransformer(weights, module.config.transformer.heads, dtype, max_steps)
        case "seq2seq":
            return IncrementalGru(weights, dtype, max_steps)
        case "convseq2seq":
            return IncrementalConvSeq2Seq(weights, dtype, max_steps)
