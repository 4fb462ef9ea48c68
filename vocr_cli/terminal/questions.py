"""Whether there is somebody to ask."""

from __future__ import annotations

import sys


def can_ask() -> bool:
    """Whether a person sits at the terminal."""
    return sys.stdin.isatty()
