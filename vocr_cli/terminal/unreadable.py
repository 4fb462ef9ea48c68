"""What a run could not read, named on stderr."""

from __future__ import annotations

from collections.abc import Sequence

from vocr_cli.terminal import console

LEFT_OUT = "Cannot be used as labelled lines, left out"
_SHOWN = 50


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


def show_faults(*lists: tuple[str, Sequence[tuple[str, str]]], all_in: str = "") -> bool:
    """Names labelled lines that did not count as they should; returns whether there is any.

    Args:
        lists: What became of them, and (name, reason) of each.
        all_in: What lists them all, if anything does.
    """
    for title, entries in lists:
        if entries:
            console.unusable_input(f"Warning: {title} ({len(entries):,}):")
        for name, reason in entries[:_SHOWN]:
            console.unusable_input(f"  {name}: {reason}")
        if (more := len(entries) - _SHOWN) > 0:
            console.unusable_input(f"  and {more:,} more{all_in and f'; {all_in}'}")
    return any(entries for _, entries in lists)
