"""Beam search for models that write step by step, over all beams of all lines at once. CTC's: `ctc_beam.py`.

Legend: B lines still open, K beams, R = B × K rows, C classes, T steps so far, N best kept a line.

The open hypotheses of a line are extended by every class. The K best extensions that do not end go on: what
ends stands beside them and takes no slot of the beam. VietOCR's beam, which keeps the K best of either kind,
is followed within ours: the *core* are the open hypotheses that its rule would go on with. They go on first,
and the best others fill the slots that endings would have taken. An ending counts where it is among the K
best extensions of all or of the core; by the sum (a length penalty of 0) every ending counts, while by a mean
an unlikely one would profit from the length before it. So all that VietOCR's rule finishes is finished here
too, and no best score is worse, but for lines that the guard against repetition (`greedy.runaway`) stops.

A line is done when no open hypothesis can still enter its N best. With a beam of 1 this is the greedy search.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.greedy import blocked_classes, runaway
from vocr_cli.core.decoding.incremental import IncrementalDecoder
from vocr_cli.core.decoding.token_hypothesis import (
    LIVE_FRACTION,
    REPETITION,
    STEP_LIMIT,
    TokenHypothesis,
    finished_hypothesis,
    guard_due,
)
from vocr_cli.core.models.vietocr.constants import EOS, SOS

_DEMOTION = 1e6
"""Taken off the rank of a hypothesis that the guard stopped: such hypotheses are sure of themselves."""

_CORE_BONUS = 1e6
"""Added to the sums of the core while the hypotheses that go on are chosen."""

_ENDED, _OPEN, _STOPPED = 0, 1, 2
_FLAGS = {_ENDED: (), _OPEN: (STEP_LIMIT,), _STOPPED: (REPETITION,)}


@torch.inference_mode()
def beam_search(
    decoder: IncrementalDecoder,
    features: Tensor,
    options: DecodeOptions,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> list[list[TokenHypothesis]]:
    """Finds the `n_best` hypotheses of every line.

    Args:
        decoder: The model's decoder; its state is replaced.
        features: (S, B, hidden), padded behind the end of a line.
        options: Width, number of hypotheses, length penalty, limits.
        mask: (C,) bool, classes that may be chosen; the end always may, the other specials never. None: all.
        lengths: (B,) int64 on the CPU, columns of each line, 1..S; None: all have S.

    Returns:
        Per line its hypotheses by falling score, those that the guard stopped last. Fewer than `n_best` where
        the mask or the step limit allows no more.

    Raises:
        ValueError: The mask is no (C,) bool, or the lengths do not fit.
        ModelError: The lines are longer than the model's table of positions.
    """
    count, device = features.shape[1], features.device
    beams, limit = options.beam, min(options.max_steps, decoder.max_steps)
    blocked = blocked_classes(mask, decoder.classes, options, device)
    decoder.start(features, beams, lengths)
    results: list[list[TokenHypothesis]] = [[] for _ in range(count)]
    lines = list(range(count))  # which line each index of the state stands for
    state = _BeamState.start(count, options, limit, device)
    for step in range(limit):
        logits = decoder.step(state.tokens[:, :, step].flatten())  # (R, C)
        if blocked is not None:
            logits = logits.masked_fill(blocked, -torch.inf)
        origin = state.extend(logits.log_softmax(-1).view(len(lines), beams, -1), step)  # (B, K)
        if beams > 1 and step + 1 < limit:
            first_rows = torch.arange(len(lines), device=device)[:, None] * beams  # (B, 1)
            decoder.reorder((origin + first_rows).flatten())
        done = state.prune(step)  # (B,)
        open_indices = [index for index, over in enumerate(done.tolist()) if not over]
        if not open_indices or step + 1 == limit:
            break
        if len(open_indices) <= LIVE_FRACTION * len(lines):
            for index in set(range(len(lines))) - set(open_indices):
                results[lines[index]] = state.hypotheses(index)
            remaining = torch.tensor(open_indices, device=device)  # (B',)
            state = state.select_lines(remaining)
            decoder.keep((remaining[:, None] * beams + torch.arange(beams, device=device)).flatten())
            lines = [lines[index] for index in open_indices]
    for index, line in enumerate(lines):
        results[line] = state.hypotheses(index)
    return results


def _score_dtype(device: torch.device) -> torch.dtype:
    """Of sums of logarithms; MPS has nothing finer than fp32."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass
class _FinishedHypotheses:
    """The N best finished hypotheses of each line, best first, and one in reserve; a rank of -inf: none.

    The reserve is, of all others that the guard did not stop, the one with the greatest sum. Those before it
    may still turn out to come from a runaway, whose mean is the better the longer it goes on.
    """

    rank: Tensor  # (B, N + 1) float64, what they are ordered by
    tokens: Tensor  # (B, N + 1, limit)
    log_probs: Tensor  # (B, N + 1, limit)
    steps: Tensor  # (B, N + 1)
    kind: Tensor  # (B, N + 1)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.rank, self.tokens, self.log_probs, self.steps, self.kind


@dataclass
class _BeamState:
    """The open hypotheses of all lines, and the finished ones."""

    options: DecodeOptions
    limit: int
    total: Tensor  # (B, K) float64, Σ log p; -inf: no hypothesis
    tokens: Tensor  # (B, K, limit + 1) the start, then the classes chosen
    log_probs: Tensor  # (B, K, limit) of the classes chosen
    core: Tensor  # (B, K) bool, see the module's docstring
    finished: _FinishedHypotheses

    @classmethod
    def start(cls, count: int, options: DecodeOptions, limit: int, device: torch.device) -> _BeamState:
        """Returns the state in which every line has one hypothesis, the empty one."""
        beams, slots = options.beam, options.n_best + 1
        total = torch.full((count, beams), -torch.inf, dtype=_score_dtype(device), device=device)
        total[:, 0] = 0
        return cls(
            options,
            limit,
            total,
            torch.full((count, beams, limit + 1), SOS, device=device),
            torch.zeros((count, beams, limit), device=device),
            total > -torch.inf,
            _FinishedHypotheses(
                torch.full((count, slots), -torch.inf, dtype=_score_dtype(device), device=device),
                torch.zeros((count, slots, limit), dtype=torch.int64, device=device),
                torch.zeros((count, slots, limit), device=device),
                torch.zeros((count, slots), dtype=torch.int64, device=device),
                torch.zeros((count, slots), dtype=torch.int64, device=device),
            ),
        )

    def extend(self, log_probs: Tensor, step: int) -> Tensor:
        """Appends a class: endings that count are finished, the best other extensions go on.

        Args:
            log_probs: (B, K, C) log-probabilities of the classes after each open hypothesis.
            step: The step's index, from 0.

        Returns:
            (B, K) int64, the beam from which each hypothesis that goes on came.
        """
        beams, classes = log_probs.shape[1:]
        extended = self.total[:, :, None] + log_probs  # (B, K, C)
        core_extended = extended.masked_fill(~self.core[:, :, None], -torch.inf)
        threshold, core_threshold = (  # (B, 1) each: the K-th best
            x.flatten(1).topk(beams, dim=1).values[:, -1, None] for x in (extended, core_extended)
        )
        ended = extended[:, :, EOS].clone()  # (B, K)
        if beams == 1 or self.options.length_penalty > 0:
            unlikely = (ended < threshold) & (core_extended[:, :, EOS] < core_threshold)
            ended = ended.masked_fill(unlikely, -torch.inf)
        self._finish(ended, log_probs, step)
        if beams == 1:  # greedy: a line that ended leaves nothing open
            extended = extended.masked_fill((ended > -torch.inf)[:, :, None], -torch.inf)
        extended[:, :, EOS] = -torch.inf
        in_core = (core_extended >= core_threshold[:, :, None]) & (extended > -torch.inf)
        best = (extended + _CORE_BONUS * in_core).flatten(1).topk(beams, dim=1).indices  # (B, K)
        origin, token = best // classes, best % classes
        self.total = extended.flatten(1).gather(1, best)
        self.core = in_core.flatten(1).gather(1, best)
        self.tokens = _rows(self.tokens, origin)
        self.log_probs = _rows(self.log_probs, origin)
        self.tokens[:, :, step + 1] = token
        self.log_probs[:, :, step] = log_probs.flatten(1).gather(1, best)
        return origin

    def prune(self, step: int) -> Tensor:
        """Stops runaways, finishes all that is open at the limit, and returns which lines (B,) are done.

        No open hypothesis can win once the worst kept one ranks at least Σ / limit**a, where Σ is the best
        open sum and a ≥ 0 the length penalty. For log-probabilities are at most 0, so a continuation has sums
        Σ' ≤ Σ ≤ 0 after some n steps, n ≤ limit, and scores Σ' / n**a ≤ Σ / n**a ≤ Σ / limit**a. What the
        guard stops ranks below its score, so the bound holds for it too. What is open of a line
        that is done is dropped: it may stay in the batch for a while.
        """
        if guard_due(step, self.options):
            self._stop_runaways(step)
        if step + 1 == self.limit:
            self._finish_open(self.total, step, _OPEN)
        bound = self.options.length_normalized(self.total.amax(1), self.limit)
        done = self.finished.rank[:, self.options.n_best - 1] >= bound
        self.total = self.total.masked_fill(done[:, None], -torch.inf)
        return done

    def _stop_runaways(self, step: int) -> None:
        """Stops what repeats itself, and what left or ended such a repetition midway.

        Otherwise a hypothesis that repeats for long and then ends somehow would win by its mean.
        """
        repeats = runaway(self.tokens[:, :, 1 : step + 2], self.options) & (self.total > -torch.inf)
        if not repeats.any():
            return
        middle = step + 1 - self.options.repetition_steps // 2  # tokens up to the middle of the repetition
        open_prefixes = self.tokens[:, :, 1 : middle + 1]  # (B, K, middle)
        finished_prefixes = self.finished.tokens[:, :, :middle]  # (B, N + 1, middle)
        left, ended = (  # (B, K), (B, N + 1): whether they share the prefix of one that repeats itself
            ((prefixes[:, :, None] == open_prefixes[:, None]).all(-1) & repeats[:, None]).any(-1)
            for prefixes in (open_prefixes, finished_prefixes)
        )
        ended &= (self.finished.steps > middle) & (self.finished.kind != _STOPPED)
        self.finished.kind[ended] = _STOPPED
        self.finished.rank[ended] -= _DEMOTION
        self._finish_open(self.total.masked_fill(~repeats, -torch.inf), step, _STOPPED)
        self.total = self.total.masked_fill(left, -torch.inf)

    def select_lines(self, lines: Tensor) -> _BeamState:
        """Returns the state of these lines, (B',) int64, alone."""
        return _BeamState(
            self.options,
            self.limit,
            self.total[lines],
            self.tokens[lines],
            self.log_probs[lines],
            self.core[lines],
            _FinishedHypotheses(*(tensor[lines] for tensor in self.finished.tensors())),
        )

    def hypotheses(self, line: int) -> list[TokenHypothesis]:
        """Returns the finished hypotheses of one line, best first."""
        rank, tokens, log_probs, steps, kind = (tensor[line].tolist() for tensor in self.finished.tensors())
        return [
            finished_hypothesis(
                tokens[i][: steps[i]],
                log_probs[i][: steps[i]],
                ended=kind[i] == _ENDED,
                flags=_FLAGS[kind[i]],
                options=self.options,
            )
            for i in range(self.options.n_best)
            if rank[i] > -torch.inf
        ]

    def _finish(self, total: Tensor, log_probs: Tensor, step: int) -> None:
        """Finishes the hypotheses that end in this step: sums (B, K), -inf where there is none."""
        if not (total > -torch.inf).any():
            return
        tokens, chosen_log_probs = self.tokens.clone(), self.log_probs.clone()
        tokens[:, :, step + 1] = EOS
        chosen_log_probs[:, :, step] = log_probs[:, :, EOS]
        self._merge(total, tokens, chosen_log_probs, step, _ENDED)

    def _finish_open(self, total: Tensor, step: int, kind: int) -> None:
        """Finishes hypotheses that are still open: sums (B, K), -inf where one does not count."""
        if (total > -torch.inf).any():
            self._merge(total, self.tokens, self.log_probs, step, kind)

    def _merge(self, total: Tensor, tokens: Tensor, log_probs: Tensor, step: int, kind: int) -> None:
        """Merges (B, K) hypotheses into the N best finished ones and the reserve."""
        rank = self.options.length_normalized(total, step + 1)
        if kind == _STOPPED:
            rank = rank - _DEMOTION
        ones = torch.ones_like(rank, dtype=torch.int64)
        new = (rank, tokens[:, :, 1:], log_probs, ones * (step + 1), ones * kind)
        pairs = zip(self.finished.tensors(), new, strict=True)
        merged = _FinishedHypotheses(*(torch.cat(pair, dim=1) for pair in pairs))  # (B, N + 1 + K)
        best = merged.rank.topk(self.options.n_best, dim=1).indices  # (B, N)
        sums = self.options.summed(merged.rank, merged.steps.clamp(min=1))
        others = sums.masked_fill(merged.kind == _STOPPED, -torch.inf).scatter(1, best, -torch.inf)
        greatest, reserve = others.max(1, keepdim=True)  # (B, 1) each
        order = torch.cat((best, reserve), dim=1)
        self.finished = _FinishedHypotheses(*(_rows(tensor, order) for tensor in merged.tensors()))
        self.finished.rank[:, -1:][greatest == -torch.inf] = -torch.inf


def _rows(x: Tensor, order: Tensor) -> Tensor:
    """Gathers the rows (B, M) of (B, K, ...) into (B, M, ...)."""
    return x[torch.arange(len(x), device=x.device)[:, None], order]
