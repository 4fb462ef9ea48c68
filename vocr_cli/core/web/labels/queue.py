"""Which lines come next: by order, filter and search, and never the same for two people at once. N lines."""

from __future__ import annotations

import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vocr_cli.core.web.labels.catalogue import NOT_A_LINE, TEXT, UNDECIDED, UNREADABLE, Catalogue

Order = Literal["confidence", "disagreement", "teach", "shortest", "longest", "source"]
Show = Literal["undecided", "all", "text", "unreadable", "not-a-line", "changed", "failed"]
ORDERS: tuple[Order, ...] = get_args(Order)
SHOWS: tuple[Show, ...] = get_args(Show)

_STATES = {"undecided": UNDECIDED, "text": TEXT, "unreadable": UNREADABLE, "not-a-line": NOT_A_LINE}
_LEASE_S = 120.0
_KEPT_SEARCHES = 4


@dataclass(frozen=True)
class Query:
    """What a page wants to see.

    Attributes:
        order: confidence: the least sure first; disagreement: the most first; teach: the chosen lines;
            shortest and longest; source: as they are listed.
        show: Those undecided, all, those of a verdict, changed ones, or those that cannot be read.
        search: Only lines whose name, label, reading or decided text holds this.
    """

    order: Order = "source"
    show: Show = "undecided"
    search: str = ""


class Queue:
    """Answers queries over a catalogue.

    Args:
        catalogue: The lines.
        decided_text: The label that was decided for a line of that name, or "".

        chosen: Gives the indices of the lines that would teach most, in that order.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        decided_text: Callable[[str], str],
        chosen: Callable[[], list[int]] = lambda: [],
    ) -> None:
        self._catalogue, self._decided_text, self._chosen = catalogue, decided_text, chosen
        self._leases: dict[int, tuple[str, float]] = {}
        self._searches: OrderedDict[str, _Search] = OrderedDict()

    def matching(self, query: Query) -> np.ndarray:
        """Indices of the lines that a query is about, in its order; those not read yet come last."""
        with self._catalogue.lock:
            indices, keys = self._matching(query)
            return indices if keys is None else indices[np.argsort(keys, kind="stable")]

    def _matching(self, query: Query) -> tuple[np.ndarray, np.ndarray | None]:
        """Indices of the lines that a query is about, and what they are to be sorted by, or None."""
        with self._catalogue.lock:
            mask = self._shown(query.show)
            if query.search.strip():
                mask &= self._found(query.search)
            if query.order == "teach":
                return np.array([index for index in self._chosen() if mask[index]], dtype=np.int64), None
            indices = np.flatnonzero(mask)
            keys = self._keys(query.order)
            return indices, None if keys is None else keys[indices]

    def next(self, query: Query, tab: str, count: int, passed: Iterable[int] = ()) -> tuple[list[int], int]:
        """The lines that a page shall show next, and how many there are in all.

        They are kept for it some minutes: another page gets others.

        Args:
            query: What it wants to see.
            tab: Which page asks.
            count: How many it takes.
            passed: Lines that it passed by, or has at hand.
        """
        now, skipped = time.monotonic(), set(passed)
        taken: list[int] = []
        with self._catalogue.lock:
            indices, keys = self._matching(query)
            needed = count + len(skipped) + len(self._leases)
            first = indices[:needed] if keys is None else indices[_first_of(keys, needed)]
            for index in first.tolist():
                if len(taken) == count:
                    break
                holder, until = self._leases.get(index, ("", 0.0))
                if index in skipped or (holder != tab and until > now):
                    continue
                taken.append(index)
            self.lease(taken, tab)
        return taken, len(indices)

    def lease(self, indices: Iterable[int], tab: str) -> None:
        """Keeps lines for a page."""
        now = time.monotonic()
        with self._catalogue.lock:
            if len(self._leases) > 1024:
                self._leases = {index: held for index, held in self._leases.items() if held[1] > now}
            for index in indices:
                self._leases[index] = (tab, now + _LEASE_S)

    def release(self, tab: str) -> None:
        """A page was closed: others may have its lines."""
        with self._catalogue.lock:
            self._leases = {index: held for index, held in self._leases.items() if held[0] != tab}

    def _shown(self, show: Show) -> np.ndarray:
        """(N,) bool."""
        catalogue = self._catalogue
        if show == "all":
            return np.ones(len(catalogue), bool)
        if show == "changed":
            return catalogue.changed.copy()
        if show == "failed":
            failed = [reading is not None and bool(reading.error) for reading in catalogue.readings]
            return np.array(failed, dtype=bool)
        return np.asarray(catalogue.state == _STATES[show])

    def _keys(self, order: Order) -> np.ndarray | None:
        """(N,) numbers, the smallest first; NaN comes last. None: the order of the source."""
        catalogue = self._catalogue
        if order == "confidence":
            return catalogue.confidence
        if order == "disagreement":
            return -catalogue.disagreement
        if order == "shortest":
            return np.where(catalogue.length > 0, catalogue.length, np.inf)
        if order == "longest":
            return -catalogue.length
        return None

    def _found(self, text: str) -> np.ndarray:
        """(N,) bool: lines that hold the text."""
        search = self._searches.pop(text, None) or _Search(text)
        self._searches[text] = search
        while len(self._searches) > _KEPT_SEARCHES:
            self._searches.popitem(last=False)
        return search.update(self._catalogue, self._decided_text)


def _first_of(keys: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` smallest of N keys, at least, as a stable sort has them; NaN is the greatest.

    A page needs a few lines of many: to sort all for each would take most of the time that it waits.
    """
    if count >= len(keys):
        return np.argsort(keys, kind="stable")
    keys = np.where(np.isnan(keys), np.inf, keys)
    greatest = np.partition(keys, count)[count]
    less = np.flatnonzero(keys < greatest)
    return np.concatenate(
        [less[np.argsort(keys[less], kind="stable")], np.flatnonzero(keys == greatest)[:count]]
    )


class _Search:
    """A search over a catalogue that grows: what was looked at once is looked at again only if it changed.

    Capitals do not matter; marks do if the text has any.
    """

    def __init__(self, text: str) -> None:
        self._plain = _without_marks(text) == unicodedata.normalize("NFC", text.strip().casefold())
        self._text = self._folded(text.strip())
        self._revision = 0
        self._found = np.zeros(0, bool)

    def update(self, catalogue: Catalogue, decided_text: Callable[[str], str]) -> np.ndarray:
        """(N,) bool."""
        found = np.zeros(len(catalogue), bool)
        found[: len(self._found)] = self._found
        for index in catalogue.touched_since(self._revision):
            texts = (*catalogue.texts(index), decided_text(catalogue.names[index]))
            found[index] = any(self._text in self._folded(text) for text in texts)
        self._found, self._revision = found, catalogue.revision
        return found

    def _folded(self, text: str) -> str:
        return _without_marks(text) if self._plain else text.casefold()


def _mark_table() -> dict[int, str]:
    """Of each Latin letter with marks, the letter without."""
    table = {ord("đ"): "d", ord("Đ"): "d"}
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base.isascii():
            table[code] = base.lower()
    return table


_MARKS = _mark_table()


def _without_marks(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip()).translate(_MARKS).casefold()


def as_query(order: object, show: object, search: object) -> Query:
    """A query out of a page's words; what is unknown becomes the default."""
    return Query(
        order if order in ORDERS else "source",
        show if show in SHOWS else "undecided",
        search[:200] if isinstance(search, str) else "",
    )
