"""How long work on lines reports how far it has come."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int], None]
"""Called with the number of lines that were done since the last call."""


def ignore_progress(count: int) -> None:
    """Does nothing: for callers who show no progress."""
