"""Greedy search: the best class at every step. B lines, R rows still open, T steps, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from vocr_cli.core.decoding.decode_options import LONGEST_PERIOD, DecodeOptions
from vocr_cli.core.decoding.incremental import IncrementalDecoder
from vocr_cli.core.decoding.token_hypothesis import (
    LIVE_FRACTION,
    TokenHypothesis,
    cut_hypotheses,
    guard_due,
)
from vocr_cli.core.models.vietocr.constants import EOS, SOS


@torch.inference_mode()
def greedy(
    decoder: IncrementalDecoder,
    features: Tensor,
    options: DecodeOptions,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> list[TokenHypothesis]:
    """Reads every line by its best class at each step.

    Lines that ended leave the batch. Only which lines are open crosses to the CPU, on GPUs every fourth step.

    Args:
        decoder: The model's decoder; its state is replaced.
        features: (S, B, hidden), padded behind the end of a line.
        options: `beam` and `n_best` are not looked at.
        mask: (C,) bool, classes that may be chosen; the end always may, the other specials never. None: all.
        lengths: (B,) int64 on the CPU, columns of each line, 1..S; None: all have S.

    Returns:
        One hypothesis per line.

    Raises:
        ValueError: The mask is no (C,) bool, or the lengths do not fit.
        ModelError: The lines are longer than the model's table of positions.
    """
    count, device = features.shape[1], features.device
    limit = min(options.max_steps, decoder.max_steps)
    look_every = 1 if device.type == "cpu" else 4
    blocked = blocked_classes(mask, decoder.classes, options, device)
    decoder.start(features, lengths=lengths)
    chosen = torch.zeros((limit, count), dtype=torch.int64, device=device)  # (T, B) classes
    log_probs = torch.zeros((limit, count), device=device)  # (T, B)
    stopped = torch.zeros(count, dtype=torch.int64, device=device)  # (B,) steps of a line the guard stopped
    lines = torch.arange(count, device=device)  # (R,) which line each row reads
    tokens = torch.full((count,), SOS, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    for step in range(limit):
        logits = decoder.step(tokens)  # (R, C)
        if blocked is not None:
            logits = logits.masked_fill(blocked, -torch.inf)
        best, tokens = logits.max(dim=-1)
        chosen[step].index_copy_(0, lines, tokens)
        log_probs[step].index_copy_(0, lines, best - logits.logsumexp(dim=-1))
        ended |= tokens == EOS
        if guard_due(step, options):
            repeats = ~ended & runaway(chosen[: step + 1, lines].T, options)
            stopped[lines] += repeats * (step + 1)
            ended |= repeats
        if (step + 1) % look_every == 0:
            rows = (~ended).nonzero().flatten()
            if not len(rows):
                break
            if len(rows) <= LIVE_FRACTION * len(lines):
                decoder.keep(rows)
                tokens, lines, ended = tokens[rows], lines[rows], ended[rows]
    columns = chosen[: step + 1].T.tolist(), log_probs[: step + 1].T.tolist()
    return cut_hypotheses(*columns, stopped.tolist(), options)


def blocked_classes(
    mask: Tensor | None, classes: int, options: DecodeOptions, device: torch.device
) -> Tensor | None:
    """Returns the classes that a mask of allowed ones forbids, (C,) bool: all specials but the end, too.

    Raises:
        ValueError: The mask is no (C,) bool.
    """
    if mask is None:
        return None
    if mask.dtype != torch.bool or mask.shape != (classes,):
        raise ValueError(f"the mask is {mask.dtype} {tuple(mask.shape)}, not bool ({classes},)")
    blocked = ~mask.to(device)
    blocked[: options.specials] = True
    blocked[EOS] = False
    return blocked


def runaway(emitted: Tensor, options: DecodeOptions) -> Tensor:
    """Returns which rows have said the same few tokens over and over.

    A period of up to four tokens is also one of its multiples between five and eight, so four periods are
    looked at. Rows that consist of `leaders` alone do not count.

    Args:
        emitted: (..., T) int64, the tokens so far, T at least `repetition_steps`.
        options: Length of the repetition, and the leaders.

    Returns:
        (...) bool.
    """
    last = emitted[..., -options.repetition_steps :]
    periods = range(LONGEST_PERIOD // 2 + 1, LONGEST_PERIOD + 1)
    repeats = torch.stack([(last[..., p:] == last[..., :-p]).all(-1) for p in periods]).any(0)
    leaders = torch.tensor(sorted(options.leaders), device=emitted.device, dtype=emitted.dtype)
    return repeats & ~torch.isin(last, leaders).all(-1)
