"""Which lines a step takes: a pure function of seeds, sources, weights and batch settings.

Neither the number of workers nor their speed changes the order, so a run can go on exactly where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Place(NamedTuple):
    """Where a source stands.

    Attributes:
        taken: Batches that it has given each rank.
        epoch: Its epoch; of rendered lines, the group that is under way.
        batch: Batches of that epoch that all ranks together have had; lines of that group that this rank has.
        waiting: Numbers of rendered lines whose batches are not full yet, those of like width together.
    """

    taken: int = 0
    epoch: int = 0
    batch: int = 0
    waiting: tuple[int, ...] = ()


START = Place()
"""Of every source, before the first step."""

GROUP_LINES = 32
"""Rendered lines that a worker makes at a time."""


@dataclass(frozen=True)
class Request:
    """Lines for a worker to make batches of.

    Attributes:
        numbers: (n,) int64, which lines: a batch of an epoch, or some rendered lines.
        place: For a batch, where its source stands behind it; for rendered lines, before them.
        again: Whether they are lines that wait in `place`.
    """

    numbers: np.ndarray
    place: Place
    again: bool = False


def schedule(shares: Sequence[float], taken: Sequence[int]) -> Iterator[int]:
    """The source of each step: the one furthest behind its share of the steps (after Sainte-Laguë).

    Args:
        shares: Weight of each source in steps.
        taken: Steps that each has had. The steps to come are those of a schedule that was never left.
    """
    counts = list(taken)
    while True:
        source = min(range(len(counts)), key=lambda number: (counts[number] + 0.5) / shares[number])
        counts[source] += 1
        yield source


def epoch_requests(
    plan: Callable[[int], Sequence[np.ndarray]], start: Place, rank: int, world: int
) -> Iterator[Request]:
    """One rank's batches of an endless row of epochs, of which ranks take turns.

    A turn that an epoch's end cuts short is filled from the next epoch: no rank waits, no batch is padded,
    and over all ranks every line comes exactly once an epoch.

    Args:
        plan: Batches of an epoch, not empty.
        start: Where all ranks stand.
        rank: 0..world - 1.
        world: Number of ranks.
    """
    plans: dict[int, Sequence[np.ndarray]] = {}

    def settled(epoch: int, batch: int) -> tuple[int, int]:
        while True:
            if epoch not in plans:
                plans[epoch] = plan(epoch)
            if batch < len(plans[epoch]):
                return epoch, batch
            epoch, batch = epoch + 1, batch - len(plans[epoch])

    epoch, batch = start.epoch, start.batch
    while True:
        epoch, batch = settled(epoch, batch)
        own_epoch, own_batch = settled(epoch, batch + rank)
        for past in [number for number in plans if number < epoch]:
            del plans[past]
        batch += world
        yield Request(plans[own_epoch][own_batch], Place(0, epoch, batch))


def group_requests(start: Place, rank: int, world: int) -> Iterator[Request]:
    """One rank's groups of an endless row of rendered lines, of which ranks take turns.

    Args:
        start: Where this rank stands; its waiting lines come first.
        rank: 0..world - 1.
        world: Number of ranks.
    """
    waiting = np.array(start.waiting, np.int64)
    for begin in range(0, len(waiting), GROUP_LINES):
        yield Request(waiting[begin : begin + GROUP_LINES], start, again=True)
    group, had = start.epoch, start.batch
    while True:
        first = (group * world + rank) * GROUP_LINES
        yield Request(np.arange(first + had, first + GROUP_LINES), Place(0, group, had))
        group, had = group + 1, 0
