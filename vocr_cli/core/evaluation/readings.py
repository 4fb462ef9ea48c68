"""Readings that were made elsewhere, matched with a labelled set. N lines."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.data.readers.labelled import LabelledLine
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean


@dataclass(frozen=True)
class GivenReading:
    """A reading from a file."""

    text: str
    confidence: float | None


def load_readings(file: Path) -> dict[str, GivenReading]:
    """Readings by path, from lines of `path<TAB>text[<TAB>confidence]`; a path alone is an empty reading.

    Raises:
        DataError: The file cannot be read as UTF-8, or gives two different readings for one path.
    """
    try:
        rows = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}.", "Give a file of path<TAB>text lines."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    readings: dict[str, GivenReading] = {}
    for number, row in enumerate(rows, start=1):
        path, *columns = row.rstrip("\r").split("\t")
        if not path or (number == 1 and (path, columns[:1]) == ("path", ["text"])):
            continue
        reading = GivenReading(clean(columns[0]) if columns else "", _confidence(columns[1:]))
        if path in readings and readings[path].text != reading.text:
            raise DataError(
                f"{file}, line {number}: {path} was read differently further up.",
                "Keep one reading for each path.",
            )
        readings[path] = reading
    return readings


def match_readings(
    lines: Sequence[LabelledLine], readings: dict[str, GivenReading], file: Path
) -> list[GivenReading | None]:
    """One reading a line, None where the file has none: (N,).

    A reading belongs to a line when it names it as the annotation does, or names the same file, its path
    taken from the working directory or from the folder of `file`.

    Raises:
        DataError: Not one reading belongs to a line.
    """
    by_file: dict[str, GivenReading] = {}
    for folder in (file.parent, Path()):  # the working directory wins
        by_file.update({os.path.abspath(folder / path): reading for path, reading in readings.items()})
    matched = []
    for line in lines:
        place = os.path.abspath(line.image) if isinstance(line.image, Path) else ""
        matched.append(readings.get(line.name) or by_file.get(place))
    if lines and not any(matched):
        example = next(iter(readings), "(nothing)")
        raise DataError(
            f"No reading in {file} belongs to the data: it names {example!r}, the data {lines[0].name!r}.",
            "Let the first column name the images as the annotation does, or as files that exist.",
        )
    return matched


def _confidence(columns: Sequence[str]) -> float | None:
    try:
        value = float(columns[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None
