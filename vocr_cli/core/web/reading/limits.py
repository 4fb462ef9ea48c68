"""What requests may take; how often each address may ask, by a token bucket (Turner, 1986)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_KEPT_ADDRESSES = 10_000


@dataclass(frozen=True, kw_only=True)
class ServeLimits:
    """What a request may take.

    Attributes:
        body_bytes: Its size, at most.
        images: In one form, at most.
        per_second: Requests of one address; 0: any number.
        waiting: Lines that wait to be read, of all requests; more are refused.
        pages: Of one document, at most.
        page_pixels: Of one page, at most: A4 in 600 dpi has 35 million.
        documents: That wait to be read, of all requests; more are refused.
    """

    body_bytes: int = 16 << 20
    images: int = 64
    per_second: float = 0.0
    waiting: int = 1024
    pages: int = 32
    page_pixels: int = 60_000_000
    documents: int = 8


class RateLimit:
    """So many requests a second for each address, and as many at once after a pause.

    Args:
        per_second: 0: there is no limit.
        clock: Seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._most = max(1.0, per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, at what time

    def wait_s(self, address: str) -> float:
        """Counts a request; returns 0, or in how many seconds the next one is welcome."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        left, then = self._buckets.pop(address, (self._most, now))
        left = min(self._most, left + (now - then) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[address] = (left if wait else left - 1, now)
        while len(self._buckets) > _KEPT_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait


class ByteBudget:
    """Bytes of bodies that are held at once, all requests together.

    Args:
        limit_bytes: The most.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._held = limit_bytes, 0

    def take(self, size: int) -> bool:
        """Takes so many, if they are to be had; whoever takes gives back."""
        if self._held and self._held + size > self._limit:
            return False
        self._held += size
        return True

    def give_back(self, size: int) -> None:
        """Gives back what was taken."""
        self._held -= size
