"""The images that a list, a table, Parquet or a data set names or holds, whether they have labels or not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from vocr_cli.core.data.readers.entries import Source
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import DataError, ImageError, VocrError

_ROW = re.compile(r", row \d+$")
"""Ends the names of images that have none in their table."""

Listed = tuple[str, str | bytes | VocrError]
"""The name of an image, and its file, its bytes, or why there is none."""


def listed_lines(path: Path) -> Iterator[Listed]:
    """The lines in a list or table, in its order; what cannot be opened is a line that raises when loaded."""
    try:
        source = open_source(path, SourceOptions(for_images=True))
    except DataError as problem:
        fix = f"{problem.fix} A list of images alone is given with --from-file {path}."
        yield (str(path), DataError(problem.problem, fix if path.suffix == ".txt" else problem.fix))
    except VocrError as problem:
        yield (str(path), problem)
    else:
        yield from _lines_of(source, path)


def lines_of_data_set(folder: Path) -> Iterator[Listed]:
    """The lines in a folder without images: in Parquet, Arrow or tars, or listed from elsewhere; or none."""
    try:
        source = open_source(folder, SourceOptions(for_images=True))
    except DataError:  # whoever finds no line at all says so
        return
    held_back: list[Listed] = []  # without one image, the folder holds none
    lines = _lines_of(source, folder)
    for line in lines:
        held_back.append(line)
        if not isinstance(line[1], VocrError):
            break
    else:
        return
    yield from chain(held_back, lines)


def _lines_of(source: Source, path: Path) -> Iterator[Listed]:
    folder = path if path.is_dir() else path.parent
    is_tar = "tar" in source.layout
    for entry in source:
        if isinstance(entry.image, str):
            file = os.path.normpath(entry.image)
            yield (file, file)
        elif entry.image:
            has_own_name = not is_tar and not _ROW.search(entry.name)
            yield (entry.name if has_own_name else str(folder / entry.name), entry.image)
        else:
            name = entry.name or f"{path}, line {entry.number}"
            yield (name, ImageError(f"{path}, line {entry.number}: {entry.fault}.", entry.remedy))
