"""Pages as text: plain, as Markdown, as one JSON object or as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from vocr_cli.core.pages.page import Page, PageLine
from vocr_cli.core.text import readable

_HYPHENS = "-‐\u00ad"
TSV_HEADING = "path\tpage\tblock\trow\tcell\tleft\ttop\tright\tbottom\tconfidence\ttext\n"


@dataclass(frozen=True)
class TextOptions:
    """How lines become text.

    Attributes:
        joins: Whether plain text joins the lines of a paragraph, as Markdown does.
        hyphens: Whether a word that a hyphen parts at a line's end keeps it, where lines are joined.
    """

    joins: bool = False
    hyphens: Literal["keep", "join"] = "keep"


def plain_text(page: Page, options: TextOptions) -> str:
    """Lines as they stand; paragraphs are parted by an empty line, cells of a row by a tab."""
    paragraphs = []
    for lines in blocks_of(page):
        found = list(rows(lines))
        paragraphs.append(
            f"{joined(found, options)}\n" if options.joins else "".join(f"{row}\n" for row in found)
        )
    return "\n".join(paragraphs)


def blocks_of(page: Page) -> Iterator[list[PageLine]]:
    """The paragraphs of a page, and rows of tables, in reading order."""
    for _, lines in groupby(page.lines, key=lambda line: line.block):
        yield list(lines)


def rows(lines: list[PageLine]) -> Iterator[str]:
    """The rows of a paragraph as text, its cells parted by tabs."""
    for _, row in groupby(lines, key=lambda line: line.row):
        cells = groupby(row, key=lambda line: line.cell)
        yield "\t".join(" ".join(line.reading.text for line in cell) for _, cell in cells)


def joined(found: list[str], options: TextOptions) -> str:
    """The lines of a paragraph as one."""
    text = ""
    for row in found:
        if not text:
            text = row
        elif text[-1] in _HYPHENS and text[-2:-1].isalpha() and row[:1].islower():
            text = (text if options.hyphens == "keep" else text[:-1]) + row
        else:
            text += f" {row}"
    return text


def markdown(page: Page, options: TextOptions) -> str:
    """Paragraphs joined, rows of a table as one of Markdown's."""
    return "\n".join(f"{joined(list(rows(lines)), options)}\n" for lines in blocks_of(page))


def json_line(page: Page, options: TextOptions) -> str:
    """Everything that is known, one JSON object a line."""
    record = page.record()
    return json.dumps({**record, "path": readable(page.path)}, ensure_ascii=False) + "\n"


def table_rows(page: Page, options: TextOptions) -> str:
    """A row for each line; boxes are upright, px."""
    found = []
    path = readable(page.path).replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    for line in page.lines:
        xs, ys = zip(*line.corners, strict=True)
        box = "\t".join(str(round(value)) for value in (min(xs), min(ys), max(xs), max(ys)))
        found.append(
            f"{path}\t{page.number}\t{line.block}\t{line.row}\t{line.cell}\t{box}\t{line.reading.confidence:.4f}\t"
            f"{line.reading.text}\n"
        )
    return "".join(found)
