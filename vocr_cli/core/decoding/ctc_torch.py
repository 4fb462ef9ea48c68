"""Greedy CTC decoding of logits that torch computed, on the device where they lie."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vocr_cli.core.decoding.ctc import BestPath, CtcHypothesis, ctc_greedy, merge_repeats


def ctc_greedy_on_device(logits: Tensor, columns: Tensor | None = None) -> list[CtcHypothesis]:
    """Decodes as `ctc_greedy` does; from a GPU only the best class of each column is fetched.

    Args:
        logits: (B, T, C) float of any precision, unnormalised.
        columns: (B,) int64, columns before padding, 1..T; None: all of them.

    Raises:
        ValueError: `columns` and `logits` disagree on B.
    """
    lengths = None if columns is None else columns.cpu().numpy()
    logits = logits.detach()
    if logits.device.type == "cpu":
        return ctc_greedy(logits.float().numpy(), lengths)
    best_logits, character = logits[..., 1:].max(dim=-1)  # (B, T)
    ahead, character = (best_logits - logits[..., 0]).float(), character + 1
    emitted = ahead > 0
    chosen = logits[emitted].float()  # (columns that are no blank, C): only these need a softmax
    probability = torch.sigmoid(-ahead)
    probability[emitted] = torch.exp(chosen.amax(dim=-1) - chosen.logsumexp(dim=-1))
    best = torch.where(emitted, character, 0)
    path = BestPath(*(each.cpu().numpy() for each in (best, probability, character)))
    return merge_repeats(path, lengths)


def to_numpy(logits: Tensor) -> np.ndarray:
    """Returns (B, T, C) logits as float32 in the CPU's memory."""
    fetched: np.ndarray = logits.detach().float().cpu().numpy()
    return fetched
