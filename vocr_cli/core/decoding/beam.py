"""Beam search over all beams of all lines at once.

Legend: B lines still open, K beams, R = B × K rows, C classes, T steps so far, N best kept a line.

The open readings of a line are extended by every class. The K best extensions that do not end go on: what
ends stands beside them and takes no place. VietOCR's beam, which keeps the K best of either kind, is followed
within ours: the *core* are the open readings that its rule would go on with. They go on first, and the best
others fill the places that endings would have taken. An ending counts where it is among the K best extensions
of all or of the core; by the sum (a length penalty of 0) every ending counts, while by a mean an unlikely one
would profit from the length before it. So all that VietOCR's rule finishes is finished here too, and no best
score is worse, the guard aside.

A line is done when no open reading can still enter its N best. With one place this is the greedy search.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocr_cli.core.decoding.greedy import (
    LIVE_SHARE,
    REPETITION,
    STEP_LIMIT,
    DecodeOptions,
    TokenPath,
    blocked_classes,
    finished_path,
    guard_due,
    runaway,
)
from vocr_cli.core.decoding.incremental import Stepper
from vocr_cli.core.models.vietocr.constants import EOS, SOS

_DEMOTION = 1e6
"""Taken off the rank of a reading that the guard stopped: such readings are sure of themselves."""

_FIRST = 1e6
"""Added to the sums of the core while the readings that go on are chosen."""

_ENDED, _OPEN, _STOPPED = 0, 1, 2
_FLAGS = {_ENDED: (), _OPEN: (STEP_LIMIT,), _STOPPED: (REPETITION,)}


@torch.inference_mode()
def beam_search(
    stepper: Stepper,
    features: Tensor,
    options: DecodeOptions,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> list[list[TokenPath]]:
    """The `n_best` readings of every line.

    Args:
        stepper: Of the model; its state is replaced.
        features: (S, B, hidden), padded behind the end of a line.
        options: Width, number of readings, length penalty, limits.
        mask: (C,) bool, classes that may be chosen; the end always may, the other specials never. None: all.
        lengths: (B,) int64 on the CPU, columns of each line, 1..S; None: all have S.

    Returns:
        Per line its readings by falling score, those that the guard stopped last. Fewer than `n_best` where
        the mask or the step limit allows no more.

    Raises:
        ValueError: The mask is no (C,) bool, or the lengths do not fit.
        ModelError: The lines are longer than the model's table of positions.
    """
    count, device = features.shape[1], features.device
    beams, limit = options.beam, min(options.max_steps, stepper.max_steps)
    blocked = blocked_classes(mask, stepper.classes, options, device)
    stepper.start(features, beams, lengths)
    results: list[list[TokenPath]] = [[] for _ in range(count)]
    lines = list(range(count))  # which line each part of the state belongs to
    search = _Search.start(count, options, limit, device)
    for step in range(limit):
        logits = stepper.step(search.tokens[:, :, step].flatten())
        if blocked is not None:
            logits = logits.masked_fill(blocked, -torch.inf)
        origin = search.extend(logits.log_softmax(-1).view(len(lines), beams, -1), step)
        if beams > 1 and step + 1 < limit:
            starts = torch.arange(len(lines), device=device)[:, None] * beams
            stepper.reorder((origin + starts).flatten())
        done = search.settle(step)
        left = [place for place, over in enumerate(done.tolist()) if not over]
        if not left or step + 1 == limit:
            break
        if len(left) <= LIVE_SHARE * len(lines):
            for place in set(range(len(lines))) - set(left):
                results[lines[place]] = search.readings(place)
            kept = torch.tensor(left, device=device)
            search = search.of_lines(kept)
            stepper.keep((kept[:, None] * beams + torch.arange(beams, device=device)).flatten())
            lines = [lines[place] for place in left]
    for place, line in enumerate(lines):
        results[line] = search.readings(place)
    return results


@dataclass
class _Finished:
    """The N best finished readings of each line, best first, and one in reserve; a rank of -inf: none.

    The reserve is, of all others that the guard did not stop, the one with the greatest sum. Those before it
    may still turn out to come from a runaway, whose mean is the better the longer it goes on.
    """

    rank: Tensor  # (B, N + 1) float64, what they are ordered by
    tokens: Tensor  # (B, N + 1, limit)
    certainty: Tensor  # (B, N + 1, limit) log-probabilities
    steps: Tensor  # (B, N + 1)
    kind: Tensor  # (B, N + 1)

    def parts(self) -> tuple[Tensor, ...]:
        return self.rank, self.tokens, self.certainty, self.steps, self.kind


@dataclass
class _Search:
    """The open readings of all lines, and the finished ones."""

    options: DecodeOptions
    limit: int
    total: Tensor  # (B, K) float64, Σ log p; -inf: not a reading
    tokens: Tensor  # (B, K, limit + 1) the start, then what was chosen
    certainty: Tensor  # (B, K, limit) log-probabilities of what was chosen
    core: Tensor  # (B, K) bool, see above
    finished: _Finished

    @classmethod
    def start(cls, count: int, options: DecodeOptions, limit: int, device: torch.device) -> _Search:
        """Every line has one reading, the empty one."""
        beams, kept = options.beam, options.n_best + 1
        total = torch.full((count, beams), -torch.inf, dtype=torch.float64, device=device)
        total[:, 0] = 0
        return cls(
            options,
            limit,
            total,
            torch.full((count, beams, limit + 1), SOS, device=device),
            torch.zeros((count, beams, limit), device=device),
            total > -torch.inf,
            _Finished(
                torch.full((count, kept), -torch.inf, dtype=torch.float64, device=device),
                torch.zeros((count, kept, limit), dtype=torch.int64, device=device),
                torch.zeros((count, kept, limit), device=device),
                torch.zeros((count, kept), dtype=torch.int64, device=device),
                torch.zeros((count, kept), dtype=torch.int64, device=device),
            ),
        )

    def extend(self, certainty: Tensor, step: int) -> Tensor:
        """One class more: endings that count finish, the best others go on.

        Args:
            certainty: (B, K, C) log-probabilities of the classes after each open reading.
            step: Its number, from 0.

        Returns:
            (B, K) int64, the place from which each reading that goes on came.
        """
        beams, classes = certainty.shape[1:]
        reached = self.total[:, :, None] + certainty
        of_core = reached.masked_fill(~self.core[:, :, None], -torch.inf)
        least, least_of_core = (
            x.flatten(1).topk(beams, dim=1).values[:, -1, None] for x in (reached, of_core)
        )
        ended = reached[:, :, EOS].clone()
        if beams == 1 or self.options.length_penalty > 0:
            unlikely = (ended < least) & (of_core[:, :, EOS] < least_of_core)
            ended = ended.masked_fill(unlikely, -torch.inf)
        self._finish(ended, certainty, step)
        if beams == 1:  # greedy: what ended leaves nothing open
            reached = reached.masked_fill((ended > -torch.inf)[:, :, None], -torch.inf)
        reached[:, :, EOS] = -torch.inf
        first = (of_core >= least_of_core[:, :, None]) & (reached > -torch.inf)
        which = (reached + _FIRST * first).flatten(1).topk(beams, dim=1).indices
        origin, token = which // classes, which % classes
        self.total = reached.flatten(1).gather(1, which)
        self.core = first.flatten(1).gather(1, which)
        self.tokens = _rows(self.tokens, origin)
        self.certainty = _rows(self.certainty, origin)
        self.tokens[:, :, step + 1] = token
        self.certainty[:, :, step] = certainty.flatten(1).gather(1, which)
        return origin

    def settle(self, step: int) -> Tensor:
        """Stops runaways, takes what is open at the limit, and tells which lines (B,) are done.

        No open reading can win once the worst kept one ranks at least Σ / limit**a, where Σ is the best open
        sum and a ≥ 0 the length penalty. For log-probabilities are at most 0, so any continuation has a sum
        Σ' ≤ Σ ≤ 0 after some n steps, n ≤ limit, and scores Σ' / n**a ≤ Σ / n**a ≤ Σ / limit**a. What the
        guard stops ranks below its score, so the bound holds for it too. What is open of a line
        that is done is dropped: it may stay in the batch for a while.
        """
        if guard_due(step, self.options):
            self._stop_runaways(step)
        if step + 1 == self.limit:
            self._take(self.total, step, _OPEN)
        bound = self.total.amax(1) / self.limit**self.options.length_penalty
        done = self.finished.rank[:, self.options.n_best - 1] >= bound
        self.total = self.total.masked_fill(done[:, None], -torch.inf)
        return done

    def _stop_runaways(self, step: int) -> None:
        """Stops what repeats itself, and what left or ended such a repetition midway.

        Otherwise a reading that repeats for long and then ends somehow would win by its mean.
        """
        repeats = runaway(self.tokens[:, :, 1 : step + 2], self.options) & (self.total > -torch.inf)
        if not repeats.any():
            return
        begun = step + 1 - self.options.repetition_steps // 2  # tokens up to the middle of the repetition
        origin = self.tokens[:, :, 1 : begun + 1]  # (B, K, begun)
        finished = self.finished.tokens[:, :, :begun]
        left, ended = (
            ((part[:, :, None] == origin[:, None]).all(-1) & repeats[:, None]).any(-1)
            for part in (origin, finished)
        )
        ended &= (self.finished.steps > begun) & (self.finished.kind != _STOPPED)
        self.finished.kind[ended] = _STOPPED
        self.finished.rank[ended] -= _DEMOTION
        self._take(self.total.masked_fill(~repeats, -torch.inf), step, _STOPPED)
        self.total = self.total.masked_fill(left, -torch.inf)

    def of_lines(self, kept: Tensor) -> _Search:
        """The search over these lines (B',) alone."""
        return _Search(
            self.options,
            self.limit,
            self.total[kept],
            self.tokens[kept],
            self.certainty[kept],
            self.core[kept],
            _Finished(*(part[kept] for part in self.finished.parts())),
        )

    def readings(self, place: int) -> list[TokenPath]:
        """The finished readings of one line, best first."""
        rank, tokens, certainty, steps, kind = (part[place].tolist() for part in self.finished.parts())
        penalty = self.options.length_penalty
        return [
            finished_path(
                tokens[i][: steps[i]], certainty[i][: steps[i]], kind[i] == _ENDED, _FLAGS[kind[i]], penalty
            )
            for i in range(self.options.n_best)
            if rank[i] > -torch.inf
        ]

    def _finish(self, total: Tensor, certainty: Tensor, step: int) -> None:
        """Readings that end in this step: sums (B, K), -inf where there is none."""
        if not (total > -torch.inf).any():
            return
        tokens, certain = self.tokens.clone(), self.certainty.clone()
        tokens[:, :, step + 1] = EOS
        certain[:, :, step] = certainty[:, :, EOS]
        self._merge(total, tokens, certain, step, _ENDED)

    def _take(self, total: Tensor, step: int, kind: int) -> None:
        """Readings that are still open: sums (B, K), -inf where one does not count."""
        if (total > -torch.inf).any():
            self._merge(total, self.tokens, self.certainty, step, kind)

    def _merge(self, total: Tensor, tokens: Tensor, certainty: Tensor, step: int, kind: int) -> None:
        rank = total / (step + 1) ** self.options.length_penalty
        if kind == _STOPPED:
            rank = rank - _DEMOTION
        old = self.finished
        same = torch.ones_like(rank, dtype=torch.int64)
        new = (rank, tokens[:, :, 1:], certainty, same * (step + 1), same * kind)
        every = [torch.cat(pair, dim=1) for pair in zip(old.parts(), new, strict=True)]
        best = every[0].topk(self.options.n_best, dim=1).indices
        sums = every[0] * every[3].clamp(min=1) ** self.options.length_penalty
        others = sums.masked_fill(every[4] == _STOPPED, -torch.inf).scatter(1, best, -torch.inf)
        most, reserve = others.max(1, keepdim=True)
        order = torch.cat((best, reserve), dim=1)
        self.finished = _Finished(*(_rows(part, order) for part in every))
        self.finished.rank[:, -1:][most == -torch.inf] = -torch.inf


def _rows(x: Tensor, order: Tensor) -> Tensor:
    """Picks (B, M) rows of (B, K, ...)."""
    return x[torch.arange(len(x), device=x.device)[:, None], order]
