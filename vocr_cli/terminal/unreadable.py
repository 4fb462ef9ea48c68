"""What a run could not read, named on stderr."""

from __future__ import annotations

from collections.abc import Sequence

from vocr_cli.terminal import console


def show_unreadable(
    heading: str, count: int, reasons: Sequence[str], remedies: Sequence[str], listed: str
) -> None:
    """Names what could not be read, the first of them with their reasons, and what can be done.

    Args:
        heading: Says how many of how many.
        count: How many there are.
        reasons: Of the first.
        remedies: Each once.
        listed: Where all of them can be seen.
    """
    console.unusable_input(f"Warning: {heading}:")
    for reason in reasons:
        console.unusable_input(f"  {reason}")
    if more := count - len(reasons):
        console.unusable_input(f"  and {more:,} more; {listed}.")
    for remedy in remedies:
        console.unusable_input(f"Remedy: {remedy}")
