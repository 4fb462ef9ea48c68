"""Greedy search with arrays, as `decoding/greedy.py` has it with tensors. Loads no torch.

Legend: B lines, R rows still open, T steps, C classes.
"""

from __future__ import annotations

import numpy as np

from vocr_cli.core.decoding.decode_options import LONGEST_PERIOD, DecodeOptions
from vocr_cli.core.decoding.token_hypothesis import (
    LIVE_FRACTION,
    TokenHypothesis,
    cut_hypotheses,
    guard_due,
)
from vocr_cli.core.inference.engines.onnx_sequence.decoder import OnnxDecoder
from vocr_cli.core.models.vietocr.constants import EOS, SOS


def greedy(
    decoder: OnnxDecoder, lines: int, options: DecodeOptions, allowed: np.ndarray | None = None
) -> list[TokenHypothesis]:
    """Reads every line by its best class at each step; lines that ended leave the batch.

    Args:
        decoder: Started with the lines, one row each.
        lines: B.
        options: `beam` and `n_best` are not looked at.
        allowed: (C,) bool, classes that may be chosen; the end always may, the other specials never. None:
            all.
    """
    limit = min(options.max_steps, decoder.max_steps)
    blocked = None if allowed is None else _blocked(allowed, options)
    chosen = np.zeros((lines, limit), np.int64)  # (B, T) classes
    log_probs = np.zeros((lines, limit), np.float32)
    stopped = np.zeros(lines, np.int64)  # (B,) steps of a line that the guard stopped
    of_line = np.arange(lines)  # (R,) which line each row reads
    tokens = np.full(lines, SOS)
    ended = np.zeros(lines, bool)
    for step in range(limit):
        logits = decoder.step(tokens)  # (R, C)
        if blocked is not None:
            logits = np.where(blocked, -np.inf, logits)
        tokens = logits.argmax(1)
        best = logits.max(1, keepdims=True)
        chosen[of_line, step] = tokens
        log_probs[of_line, step] = -np.log(np.exp(logits - best).sum(1))
        ended = ended | (tokens == EOS)
        if guard_due(step, options):
            repeats = ~ended & _runaway(chosen[of_line, : step + 1], options)
            stopped[of_line] += repeats * (step + 1)
            ended |= repeats
        rows = np.flatnonzero(~ended)
        if not len(rows):
            break
        if len(rows) <= LIVE_FRACTION * len(of_line):
            decoder.keep(rows)
            tokens, of_line, ended = tokens[rows], of_line[rows], ended[rows]
    steps = step + 1
    return cut_hypotheses(
        chosen[:, :steps].tolist(), log_probs[:, :steps].tolist(), stopped.tolist(), options
    )


def _blocked(allowed: np.ndarray, options: DecodeOptions) -> np.ndarray:
    blocked = ~allowed
    blocked[: options.specials] = True
    blocked[EOS] = False
    return blocked


def _runaway(emitted: np.ndarray, options: DecodeOptions) -> np.ndarray:
    """Returns which rows of (R, T) tokens have said the same few over and over, leaders alone aside.

    A period of up to four tokens is also one of its multiples between five and eight.
    """
    last = emitted[:, -options.repetition_steps :]
    periods = range(LONGEST_PERIOD // 2 + 1, LONGEST_PERIOD + 1)
    repeats = np.any([(last[:, p:] == last[:, :-p]).all(1) for p in periods], axis=0)
    verdict: np.ndarray = repeats & ~np.isin(last, sorted(options.leaders)).all(1)
    return verdict
