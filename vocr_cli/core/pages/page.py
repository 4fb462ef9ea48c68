"""A page that was read: its lines in order, each with its corners and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vocr_cli.core.inference.reading import Reading

Corners = tuple[tuple[float, float], ...]
"""Upper left, upper right, lower right, lower left as the line's reader sees them; px of the page."""


@dataclass(frozen=True)
class PageLine:
    """A line of a page.

    Attributes:
        corners: Where it lies.
        reading: What it says.
        block: The paragraph, cell or column that it belongs to; ascending in reading order.
        row: Lines of one row stand side by side, as the cells of a table do; ascending in reading order.
        cell: Lines of one cell of a row follow each other; ascending from left to right.
        course: Where its middle runs from begin to end, if it bends; px of the page.
        words: Where each word begins and ends, as fractions of the line's width; one for each of the
            reading's words.
        source: What the layout file that it comes from calls it.
    """

    corners: Corners
    reading: Reading
    block: int = 0
    row: int = 0
    cell: int = 0
    words: tuple[tuple[float, float], ...] = ()
    source: str = ""
    course: Corners = ()


@dataclass(frozen=True)
class Page:
    """A page that was read, or could not be.

    Attributes:
        path: The file that it is in.
        number: Which page of that file, from 1.
        width_px: Of its image.
        height_px: Of its image.
        dpi: Of its image; 0: not known.
        turned: By how many degrees clockwise its image has to be turned for the text to stand upright.
        lines: In reading order.
        image: The file of its image, where that is not `path`.
        error: Why it could not be read; then there are no lines.
        fix: What can be done about that.
        warnings: What was left out, and why.
    """

    path: str
    number: int = 1
    width_px: int = 0
    height_px: int = 0
    dpi: float = 0.0
    turned: int = 0
    lines: tuple[PageLine, ...] = ()
    image: str = ""
    error: str = ""
    fix: str = ""
    warnings: tuple[str, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """Gives the page as a JSON object, from which `page_of` makes the page again."""
        known: dict[str, Any] = {"path": self.path, "page": self.number}
        if self.error:
            return {**known, "error": self.error, "fix": self.fix}
        return {
            **known,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "dpi": round(self.dpi, 2),
            "turned": self.turned,
            **({"image": self.image} if self.image else {}),
            "lines": [_line_record(line) for line in self.lines],
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }


def page_of(record: dict[str, Any]) -> Page:
    """Makes a page of what `Page.record` gave.

    Raises:
        KeyError: Something is missing.
        TypeError: Something is of another type.
    """
    if "error" in record:
        return Page(record["path"], record["page"], error=record["error"], fix=record.get("fix", ""))
    return Page(
        record["path"],
        record["page"],
        record["width_px"],
        record["height_px"],
        record["dpi"],
        record["turned"],
        tuple(_line_of(line) for line in record["lines"]),
        record.get("image", ""),
        warnings=tuple(record.get("warnings", ())),
    )


def _line_record(line: PageLine) -> dict[str, Any]:
    reading = line.reading
    return {
        "text": reading.text,
        "confidence": round(reading.confidence, 6),
        "char_confidences": [round(value, 4) for value in reading.char_confidences],
        "flags": list(reading.flags),
        "corners": [[round(x, 1), round(y, 1)] for x, y in line.corners],
        "block": line.block,
        "row": line.row,
        "cell": line.cell,
        "words": [[round(begin, 4), round(end, 4)] for begin, end in line.words],
        **({"source": line.source} if line.source else {}),
        **({"course": [[round(x, 1), round(y, 1)] for x, y in line.course]} if line.course else {}),
    }


def _line_of(record: dict[str, Any]) -> PageLine:
    reading = Reading(
        record["text"], record["confidence"], tuple(record["char_confidences"]), tuple(record["flags"])
    )
    return PageLine(
        tuple((x, y) for x, y in record["corners"]),
        reading,
        record["block"],
        record["row"],
        record["cell"],
        tuple((begin, end) for begin, end in record["words"]),
        record.get("source", ""),
        tuple((x, y) for x, y in record.get("course", ())),
    )
