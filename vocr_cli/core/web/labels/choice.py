"""Which lines would teach a model most: doubtful ones, and no two that teach the same."""

from __future__ import annotations

import heapq
import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vocr_cli.core.web.labels.catalogue import TEXT, UNDECIDED, Catalogue

_DOUBTFUL = 0.97
_CHOOSE_AGAIN = 1.5  # times as many lines read as when it was chosen last
POOL_LINES = 20_000
"""The most doubtful lines, among which is chosen: with more, choosing would take longer than some seconds."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that may be chosen: its index, what was read, its confidence, and its characters', 0..1."""

    index: int
    text: str
    confidence: float
    chars: tuple[float, ...]


def choose_lines(candidates: Iterable[Candidate], count: int, taken: Iterable[Candidate] = ()) -> list[int]:
    """Chooses lines by uncertainty and variety; returns their indices, the one that teaches most first.

    What a line teaches are its doubtful characters, each between its two neighbours. Their weights add up
    under a square root for each such triple, so that the tenth line with the same doubt brings little: a
    monotone submodular function, whose greedy maximum is at least 63 % of the best there is (Nemhauser et
    al., 1978; for choosing data to learn from: Wei, Iyer and Bilmes, "Submodularity in Data Subset Selection
    and Active Learning", 2015). Evaluated lazily (Minoux, 1978).

    Args:
        candidates: Any number; the `POOL_LINES` most doubtful are looked at.
        count: How many to choose, at most.
        taken: Lines that are labelled already: what they teach counts as taught.
    """
    pool = heapq.nsmallest(POOL_LINES, candidates, key=lambda candidate: candidate.confidence)
    lessons = {candidate.index: _lessons(candidate) for candidate in pool}
    taught: defaultdict[str, float] = defaultdict(float)
    for candidate in taken:
        _teach(taught, _lessons(candidate))
    heap = [(-_gain(taught, lessons[one.index]), order, one.index) for order, one in enumerate(pool)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < count:
        _, order, index = heapq.heappop(heap)
        gain = _gain(taught, lessons[index])
        if heap and gain < -heap[0][0] - 1e-12:  # others, whose bounds are older, may teach more by now
            heapq.heappush(heap, (-gain, order, index))
            continue
        _teach(taught, lessons[index])
        chosen.append(index)
    return chosen


def _lessons(candidate: Candidate) -> dict[str, float]:
    """Weights of the doubtful characters between their neighbours.

    The weight is the variance of right or wrong, p (1 - p): a character that the model is all at sea about
    stands in a line that nobody can read, more often than not.
    """
    text = candidate.text
    chars = candidate.chars
    if len(chars) != len(text):  # a file of readings may have the confidence of the line alone
        chars = (candidate.confidence ** (1 / max(1, len(text))),) * len(text)
    padded = f" {text} "
    weights: defaultdict[str, float] = defaultdict(float)
    for position, value in enumerate(chars):
        if value < _DOUBTFUL:
            weights[padded[position : position + 3]] += 4 * value * (1 - value)
    if not weights and candidate.confidence < _DOUBTFUL:  # all characters are sure, the line is not
        weights[""] = 1 - candidate.confidence
    return weights


def _gain(taught: Mapping[str, float], lessons: Mapping[str, float]) -> float:
    return sum(
        math.sqrt(taught.get(lesson, 0.0) + weight) - math.sqrt(taught.get(lesson, 0.0))
        for lesson, weight in lessons.items()
    )


def _teach(taught: defaultdict[str, float], lessons: Mapping[str, float]) -> None:
    for lesson, weight in lessons.items():
        taught[lesson] += weight


class Picker:
    """Keeps the choice up to date while a model reads a catalogue.

    Args:
        catalogue: The lines.
        count: How many to choose.
        chosen: Names of those that an earlier session chose; while one of them is undecided, they stay.

    Attributes:
        chosen: Indices of the chosen lines; first those that are decided by now.
        is_final: Whether all lines were read when they were chosen.
    """

    def __init__(self, catalogue: Catalogue, count: int, chosen: Iterable[str] = ()) -> None:
        self.chosen: list[int] = []
        self.is_final = False
        self._catalogue, self._count, self._earlier = catalogue, count, list(chosen)
        self._read_lines = 0
        self._lock = threading.Lock()

    def update(self) -> None:
        """Chooses, unless that would come out much as it did last; from one thread at a time."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if not self.is_final:
                self._update()
        finally:
            self._lock.release()

    def _update(self) -> None:
        catalogue = self._catalogue
        with catalogue.lock:
            if catalogue.is_complete and (earlier := self._still_open()):
                self.chosen, self.is_final = earlier, True
                return
            read = [index for index, one in enumerate(catalogue.readings) if one is not None]
            is_final = catalogue.is_complete and len(read) == len(catalogue) > 0
            if len(read) < _CHOOSE_AGAIN * max(1, self._read_lines) and not is_final:
                return
            done = [index for index in self.chosen if catalogue.state[index] != UNDECIDED]
            open_lines = [
                _candidate(catalogue, index) for index in read if catalogue.state[index] == UNDECIDED
            ]
            taken = [_candidate(catalogue, index) for index in read if catalogue.state[index] == TEXT]
        legible = [candidate for candidate in open_lines if candidate is not None]
        chosen = choose_lines(legible, self._count - len(done), [one for one in taken if one is not None])
        self._read_lines, self.is_final = len(read), is_final
        self.chosen = done + chosen

    def _still_open(self) -> list[int]:
        """The lines of an earlier session, if one of them is undecided."""
        indices = [self._catalogue.index(name) for name in self._earlier]
        known = [index for index in indices if index is not None]
        return known if any(self._catalogue.state[index] == UNDECIDED for index in known) else []


def _candidate(catalogue: Catalogue, index: int) -> Candidate | None:
    reading = catalogue.readings[index]
    if reading is None or reading.error:
        return None
    return Candidate(index, reading.text, reading.confidence, tuple(value / 255 for value in reading.chars))
