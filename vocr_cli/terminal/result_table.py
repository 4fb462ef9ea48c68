"""How a table of results is laid out, so that its words stay whole on a terminal of 80 columns."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

_BESIDE = 3
"""Columns of the terminal that borders and spaces take beside each column of a table."""


def result_table(
    title: str, heads: list[str], rows: list[list[str]], *, text_columns: int, width: int
) -> Table:
    """Returns the table, for a terminal of `width` columns; the first `text_columns` are left-aligned."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for index, (head, room) in enumerate(zip(heads, _widths([heads, *rows], width), strict=True)):
        justify: JustifyMethod = "left" if index < text_columns else "right"
        shown.add_column(head, justify=justify, overflow="fold", width=room)
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def _widths(rows: list[list[str]], width: int) -> list[int]:
    """Returns the width of each column.

    Each gets what its longest word takes, or a fair share if that is less; then what its longest line takes
    of what is left over.
    """
    columns = list(zip(*rows, strict=True))
    words, lines = (
        [max((cell_len(part) for cell in column for part in parts(cell)), default=1) for column in columns]
        for parts in (str.split, str.splitlines)
    )
    room = max(width - _BESIDE * len(columns) - 1, len(columns))
    widths = [0] * len(columns)
    for needs in (words, lines):
        for done, index in enumerate(sorted(range(len(columns)), key=needs.__getitem__)):
            more = min(needs[index] - widths[index], room // (len(columns) - done))
            widths[index] += more
            room -= more
    return widths
