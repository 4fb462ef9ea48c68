"""Which database files were found to be sound, so that none is walked twice without need.

Within a process, and the workers that it hands its stores to, a file is walked once as long as its size and
time stay. A walk that took long is remembered in the user's cache folder, too.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from vocr_cli.core.data.lmdb.page_check import check_pages
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.cache_folder import cache_folder

Stamp = tuple[str, int, int, int, int]
"""The path of a file, its device and inode, its size in bytes and its time in ns."""

_FILE = "sound-databases.json"
_REMEMBERED = 200
_LONG_S = 1.0

_sound: set[Stamp] = set()


def stamp_of(file: Path) -> Stamp:
    """What tells a file from another one, and from itself after a change.

    Raises:
        OSError: It cannot be looked at.
    """
    facts = file.stat()
    return str(file.resolve()), facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def trust(stamp: Stamp) -> None:
    """Takes the word of another process for it that a file is sound."""
    _sound.add(stamp)


def require_sound(file: Path, *, writing: bool = False) -> Stamp:
    """Walks a file as `check_pages` does, unless that was done before.

    Raises:
        PageDamage: The file is damaged.
        OSError: It cannot be read.
    """
    stamp = stamp_of(file)
    if stamp in _sound or stamp in _remembered():
        return stamp
    began = time.monotonic()
    check_pages(file, writing=writing)
    trust(stamp)
    if time.monotonic() - began > _LONG_S:
        remember_sound(file)
    return stamp


def remember_sound(file: Path) -> None:
    """Notes for later processes that a file is sound as it is now."""
    with suppress(OSError):
        stamp = stamp_of(file)
        others = [known for known in _remembered() if known[0] != stamp[0]]
        with atomic_write(cache_folder() / _FILE) as temporary:
            temporary.write_text(json.dumps([*others[-_REMEMBERED:], stamp], indent=0), encoding="utf-8")


def _remembered() -> list[Stamp]:
    try:
        rows = json.loads((cache_folder() / _FILE).read_bytes())
        return [(str(path), *map(int, facts)) for path, *facts in rows if len(facts) == 4]  # type: ignore[misc]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
