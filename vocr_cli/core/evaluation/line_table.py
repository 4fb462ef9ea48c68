"""Every line that was scored, as a table: TSV and CSV with a heading, or JSONL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from vocr_cli.core.evaluation.line_scores import UNREAD, LineScore
from vocr_cli.core.text import readable

TableFormat = Literal["tsv", "csv", "jsonl"]

COLUMNS = ("path", "label", "reading", "edits", "cer", "confidence", "flags")


def format_lines(
    lines: Sequence[LineScore], table_format: TableFormat, errors: Mapping[str, str] | None = None
) -> Iterator[str]:
    r"""Yields the rows, each with its newline.

    A confidence that is not known is an empty cell, in JSONL null. Flags are parted by spaces, in JSONL a
    list. A tab or line break in a path is written as `\t`, `\n` or `\r` in TSV; texts hold none, being
    cleaned.

    Args:
        lines: What `score_lines` gave.
        table_format: The format.
        errors: Why lines could not be read, by their paths; JSONL has them under `error`.
    """
    if table_format == "jsonl":
        for line in lines:
            yield json.dumps(_record(line, errors or {}), ensure_ascii=False) + "\n"
        return
    if table_format == "tsv":
        yield "\t".join(COLUMNS) + "\n"
        for line in lines:
            path, *others = _cells(line)
            path = path.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
            yield "\t".join([path, *others]) + "\n"
        return
    for row in [COLUMNS, *map(_cells, lines)]:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(row)
        yield buffer.getvalue()


def _cells(line: LineScore) -> list[str]:
    confidence = "" if line.confidence is None else f"{line.confidence:.4f}"
    counts = str(line.edits), f"{line.cer:.4f}", confidence
    return [readable(line.path), line.reference, line.reading, *counts, " ".join(line.flags)]


def _record(line: LineScore, errors: Mapping[str, str]) -> dict[str, object]:
    record: dict[str, object] = {
        "path": readable(line.path),
        "label": line.reference,
        "reading": line.reading,
        "edits": line.edits,
        "cer": round(line.cer, 6),
        "confidence": None if line.confidence is None else round(line.confidence, 6),
        "flags": list(line.flags),
    }
    return record | {"error": errors.get(line.path)} if UNREAD in line.flags else record
