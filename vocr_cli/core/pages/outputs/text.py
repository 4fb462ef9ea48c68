"""Pages as plain text: lines as they stand, paragraphs parted by an empty line, cells of a row by a tab."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from vocr_cli.core.pages.page import Page, PageLine


def plain_text(page: Page) -> str:
    """The text of a page; empty where it has none, else it ends with a line break."""
    blocks = ["".join(f"{row}\n" for row in rows(lines)) for lines in blocks_of(page)]
    return "\n".join(blocks)


def blocks_of(page: Page) -> Iterator[list[PageLine]]:
    """The paragraphs of a page, and rows of tables, in reading order."""
    for _, lines in groupby((line for line in page.lines if line.reading.text), key=lambda line: line.block):
        yield list(lines)


def rows(lines: list[PageLine]) -> Iterator[str]:
    """The rows of a paragraph as text, its cells parted by tabs."""
    for _, row in groupby(lines, key=lambda line: line.row):
        yield "\t".join(line.reading.text for line in row)
