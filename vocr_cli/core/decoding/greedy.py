"""Greedy search: the best class at every step. B lines, R rows still open, T steps, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocr_cli.core.decoding.decode_options import LONGEST_PERIOD, DecodeOptions
from vocr_cli.core.decoding.incremental import IncrementalDecoder
from vocr_cli.core.models.vietocr.constants import EOS, SOS

STEP_LIMIT = "step-limit"
"""Flag: the line had not ended when the steps were used up."""

REPETITION = "repetition"
"""Flag: the line was stopped because it said the same few characters over and over."""

LIVE_FRACTION = 0.75
"""Lines that ended leave the batch once those that go on are no more than this fraction of it.

Leaving costs a copy of what is held of the others: at this fraction at most three times the batch in all.
"""

GUARD_EVERY = 8
"""The guard looks every so many steps; a multiple, so that what it sees does not depend on the batch."""


@dataclass(frozen=True)
class TokenHypothesis:
    """A text that a line may say, in VietOCR's class numbers.

    Attributes:
        classes: What was chosen between start and end. Specials in the middle stay, as in VietOCR, which
            prints them: `<pad>` (0), `<sos>` (1) and, of four specials, `*` (3, the mask). A trained model
            never chooses them; under a mask of classes they cannot be chosen.
        confidences: The probability of each class, among those the mask allows.
        score: Σ log p over `classes` and the end (where it was reached), over the number of these steps to
            the power of the length penalty. Of an empty reading: the log-probability of its end.
        flags: `step-limit` or `repetition`, or none.
    """

    classes: list[int]
    confidences: list[float]
    score: float
    flags: tuple[str, ...] = ()


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
    return _hypotheses(chosen[: step + 1], log_probs[: step + 1], stopped, options)


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


def guard_due(step: int, options: DecodeOptions) -> bool:
    """Returns whether `runaway` looks after step number `step` (from 0)."""
    done = step + 1
    return 0 < options.repetition_steps <= done and done % GUARD_EVERY == 0


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


def finished_hypothesis(
    classes: Sequence[int],
    log_probs: Sequence[float],
    *,
    ended: bool,
    flags: tuple[str, ...],
    options: DecodeOptions,
) -> TokenHypothesis:
    """Makes a hypothesis of its steps and their log-probabilities; where it `ended`, the last is the end."""
    emitted = len(classes) - ended
    confidences = torch.tensor(log_probs[:emitted]).exp().tolist()
    score = options.length_normalized(sum(log_probs), len(classes))
    return TokenHypothesis(list(classes[:emitted]), confidences, score, flags)


def _hypotheses(
    chosen: Tensor, log_probs: Tensor, stopped: Tensor, options: DecodeOptions
) -> list[TokenHypothesis]:
    """Cuts (T, B) tokens and log-probabilities at each line's end."""
    hypotheses = []
    columns = zip(chosen.T.tolist(), log_probs.T.tolist(), stopped.tolist(), strict=True)
    for classes, line_log_probs, stop in columns:
        ended = EOS in classes and not stop
        steps = stop or (classes.index(EOS) + 1 if ended else len(classes))
        flags = () if ended else (REPETITION if stop else STEP_LIMIT,)
        hypotheses.append(
            finished_hypothesis(
                classes[:steps], line_log_probs[:steps], ended=ended, flags=flags, options=options
            )
        )
    return hypotheses
