"""Which lines a step takes: a pure function of seeds, sources, weights and batch settings.

Neither the number of workers nor their speed changes the order, so a run can go on exactly where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class SourcePosition(NamedTuple):
    """How far a source has been read; the next batch follows from it alone.

    Attributes:
        taken: How many batches it has given each rank.
        epoch: Its epoch; of rendered lines, the group that is under way.
        batch: How many batches of that epoch all ranks together have had; of rendered lines, how many lines
            of that group this rank has had.
        waiting: Numbers of rendered lines whose batches are not full yet, those of like width together.
    """

    taken: int = 0
    epoch: int = 0
    batch: int = 0
    waiting: tuple[int, ...] = ()


START_POSITION = SourcePosition()
"""The position of every source before the first step."""

GROUP_LINES = 32
"""Rendered lines that a worker makes at a time."""


@dataclass(frozen=True)
class Request:
    """Lines for a worker to make batches of.

    Attributes:
        numbers: (n,) int64, which lines: a batch of an epoch, or some rendered lines.
        position: The source's position: of a batch, the one after it; of rendered lines, the one before them.
        again: Whether they are lines that wait in `position`.
    """

    numbers: np.ndarray
    position: SourcePosition
    again: bool = False


def schedule(step_weights: Sequence[float], taken: Sequence[int]) -> Iterator[int]:
    """The source of each step: the one furthest behind its fraction of the steps (after Sainte-Laguë).

    Args:
        step_weights: The weight of each source, counted in steps.
        taken: How many steps each has had. Those to come are the ones of a schedule that was never left.
    """
    counts = list(taken)
    while True:
        source = min(range(len(counts)), key=lambda number: (counts[number] + 0.5) / step_weights[number])
        counts[source] += 1
        yield source


def epoch_requests(
    plan: Callable[[int], Sequence[np.ndarray]], start: SourcePosition, rank: int, world: int
) -> Iterator[Request]:
    """One rank's batches out of endless epochs, whose batches the ranks take in turn.

    A turn that an epoch's end cuts short is filled from the next epoch: no rank waits, no batch is padded,
    and over all ranks every line comes exactly once an epoch.

    Args:
        plan: Gives the batches of an epoch, at least one.
        start: The position of all ranks.
        rank: 0..world - 1.
        world: Number of ranks.
    """
    plans: dict[int, Sequence[np.ndarray]] = {}

    def resolve(epoch: int, batch: int) -> tuple[int, int]:
        while True:
            if epoch not in plans:
                plans[epoch] = plan(epoch)
            if batch < len(plans[epoch]):
                return epoch, batch
            epoch, batch = epoch + 1, batch - len(plans[epoch])

    epoch, batch = start.epoch, start.batch
    while True:
        epoch, batch = resolve(epoch, batch)
        rank_epoch, rank_batch = resolve(epoch, batch + rank)
        for past in [number for number in plans if number < epoch]:
            del plans[past]
        batch += world
        yield Request(plans[rank_epoch][rank_batch], SourcePosition(0, epoch, batch))


def group_requests(start: SourcePosition, rank: int, world: int) -> Iterator[Request]:
    """One rank's groups of endless rendered lines, whose groups the ranks take in turn.

    Args:
        start: The position of this rank; its waiting lines come first.
        rank: 0..world - 1.
        world: Number of ranks.
    """
    waiting = np.array(start.waiting, np.int64)
    for begin in range(0, len(waiting), GROUP_LINES):
        yield Request(waiting[begin : begin + GROUP_LINES], start, again=True)
    group, done = start.epoch, start.batch
    while True:
        first = (group * world + rank) * GROUP_LINES
        yield Request(np.arange(first + done, first + GROUP_LINES), SourcePosition(0, group, done))
        group, done = group + 1, 0
