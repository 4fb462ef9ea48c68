"""The lines of a report as the JSON that its script reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from vocr_cli.core.evaluation.edit_classes import EDIT_CLASSES, classify, edits, spans
from vocr_cli.core.evaluation.line_scores import LineScore
from vocr_cli.core.evaluation.metrics import worst_first
from vocr_cli.core.evaluation.report.images import data_address
from vocr_cli.core.text import readable

MOST_LINES = 100_000
"""Lines that a page holds; with more, browsers take seconds to open it."""


def lines_in_page(lines: Sequence[LineScore]) -> list[LineScore]:
    """Chooses the lines that a page holds: all, or those with the most edits, in their order."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    worst = worst_first(lines)[:MOST_LINES]
    right = [line for line in lines if not line.edits][: MOST_LINES - len(worst)]
    return sorted([*worst, *right], key=lambda line: line.index)


def lines_json(lines: Sequence[LineScore], images: Mapping[int, bytes]) -> str:
    """Returns columns of N lines, to stand in a <script> element, which no text in them can end.

    `spans` are those that differ, four numbers each: where they begin and end in the label and in the
    reading, in code points. `kinds` and `marks` have a bit for each of `edit_classes` and `flags`. A reading
    that is its label is null.

    Args:
        lines: The lines.
        images: JPEGs by the indices of lines.
    """
    flags = sorted({flag for line in lines for flag in line.flags})
    columns = {
        "index": [line.index for line in lines],
        "paths": [readable(line.path) for line in lines],
        "labels": [line.reference for line in lines],
        "readings": [line.reading if line.edits else None for line in lines],
        "edits": [line.edits for line in lines],
        "confidences": [_rounded(line.confidence) for line in lines],
        "marks": [sum(1 << flags.index(flag) for flag in set(line.flags)) for line in lines],
        "kinds": [_kinds(line) for line in lines],
        "spans": [_differences(line) for line in lines],
        "edit_classes": EDIT_CLASSES,
        "flags": flags,
        "images": {index: data_address(image) for index, image in images.items()},
    }
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _rounded(confidence: float | None) -> float | None:
    return None if confidence is None else round(confidence, 6)


def _kinds(line: LineScore) -> int:
    if not line.edits:
        return 0
    kinds = {classify(edit) for edit in edits(line.reference, line.reading)}
    return sum(1 << EDIT_CLASSES.index(kind) for kind in kinds)


def _differences(line: LineScore) -> list[int]:
    """Where label and reading differ: begin and end in the label, begin and end in the reading, and so on."""
    if not line.edits:
        return []
    found: list[int] = []
    at_label = at_reading = 0
    for span in spans(line.reference, line.reading):
        to_label, to_reading = at_label + len(span.reference), at_reading + len(span.reading)
        if not span.same:
            found += (at_label, to_label, at_reading, to_reading)
        at_label, at_reading = to_label, to_reading
    return found
