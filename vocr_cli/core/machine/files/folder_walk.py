"""The files in a folder and in those below it, links followed, hidden ones passed by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

OnError = Callable[[OSError], object]
"""Told of a folder that cannot be listed; `filename` names it."""


def walk_files(folder: str | Path, on_error: OnError = lambda error: None) -> Iterator[str]:
    """Yields the paths of all files below a folder, each folder's in the order of their names.

    Hidden files and folders are passed by: `._a.png`, which a Mac writes beside a.png on other file systems,
    holds no picture. A link that leads back into a folder above it is not followed again.
    """
    yield from _walk(os.fspath(folder), frozenset(), on_error)


def files_ending(folder: Path, ending: str) -> Iterator[Path]:
    """Yields those files below a folder whose names end so."""
    return (Path(file) for file in walk_files(folder) if file.endswith(ending))


def _walk(folder: str, above: frozenset[tuple[int, int]], on_error: OnError) -> Iterator[str]:
    try:
        facts = os.stat(folder)
        here = (facts.st_dev, facts.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            names = sorted((entry.name, is_folder(entry)) for entry in entries)
    except OSError as error:
        error.filename = folder
        on_error(error)
        return
    for name, below in names:
        if name.startswith("."):
            continue
        path = os.path.join(folder, name)
        if below:
            yield from _walk(path, above | {here}, on_error)
        else:
            yield path


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; not where that cannot be told.

    A link in a circle, or into a folder that may not be entered, is left to whoever opens it.
    """
    try:
        return entry.is_dir()
    except OSError:
        return False
