"""What single lines count for: edits and characters, in `vocr eval` and in training's validation alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from vocr_cli.core.text import clean

UNREAD = "unread"
"""Flag of a line whose image could not be read: it counts as read empty."""


class LineCounts(NamedTuple):
    """How far a reading is from the label; both are cleaned (NFC, single spaces).

    Attributes:
        reference: The label.
        reading: What was read; "" for a line that could not be read.
        edits: The least number of characters to insert, delete and replace (Levenshtein, 1966).
    """

    reference: str
    reading: str
    edits: int

    @property
    def characters(self) -> int:
        """Of the label: what the edits are measured against."""
        return len(self.reference)


@dataclass(frozen=True)
class LineScore:
    """A line and how it was read: its index among the N lines, from 0; both texts are cleaned."""

    index: int
    path: str
    reference: str
    reading: str
    edits: int
    confidence: float | None
    flags: tuple[str, ...] = ()

    @property
    def cer(self) -> float:
        """Of this line alone; see `error_rate`."""
        return error_rate(self.edits, len(self.reference))


def count_line(label: str, reading: str) -> LineCounts:
    """Cleans both texts and counts the edits between them."""
    reference, read = clean(label), clean(reading)
    return LineCounts(reference, read, 0 if reference == read else Levenshtein.distance(reference, read))


def error_rate(errors: int, total: int) -> float:
    """Returns errors over the total; of nothing, 0 where there is no error and 1 where there is one."""
    return errors / total if total else float(errors > 0)


def score_lines(
    references: Sequence[str],
    readings: Sequence[str],
    *,
    paths: Sequence[str] = (),
    confidences: Sequence[float | None] = (),
    flags: Sequence[tuple[str, ...]] = (),
) -> list[LineScore]:
    """Scores each of N lines.

    Args:
        references: N texts as they stand in the images.
        readings: N texts as they were read; "" for a line that could not be read.
        paths: N names, or none.
        confidences: N confidences, 0..1 or None, or none.
        flags: N lists of what makes a line doubtful, or none.

    Raises:
        ValueError: The sequences differ in length.
    """
    if any(len(optional) not in (0, len(references)) for optional in (paths, confidences, flags)):
        raise ValueError("paths, confidences and flags need one entry a line, or none")
    lines = []
    for index, (label, text) in enumerate(zip(references, readings, strict=True)):
        reference, reading, edits = count_line(label, text)
        lines.append(
            LineScore(
                index,
                paths[index] if paths else "",
                reference,
                reading,
                edits,
                confidences[index] if confidences else None,
                flags[index] if flags else (),
            )
        )
    return lines
