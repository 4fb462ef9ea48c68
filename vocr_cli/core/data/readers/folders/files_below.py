"""The files in a folder and the folders below it; links are followed, hidden ones left out."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vocr_cli.core.machine.files.folder_walk import OnError

_NOT_OURS = {"__MACOSX"}


def files_below(root: str, on_error: OnError = lambda error: None) -> Iterator[str]:
    """Gives the paths of all files below a folder, a folder's own before those of the folders in it.

    Args:
        root: The folder.
        on_error: Told of each folder that cannot be listed.
    """
    seen = set[tuple[int, int]]()
    for folder, folders, names in os.walk(root, onerror=on_error, followlinks=True):
        try:
            facts = os.stat(folder)
        except OSError as error:
            on_error(error)
            continue
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_OURS)
        yield from (os.path.join(folder, name) for name in sorted(names) if not name.startswith("."))
