"""Where output goes that was given a name: a file, what a link leads to, or a device, pipe or descriptor.

Files are replaced in one step (`atomic_write.py`), links stay and their targets are replaced; all else is
written to as it comes, for replacing it would take `/dev/null` from a machine, and a pipe from its reader.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, cast

from vocr_cli.core.errors import DataError, reason_of

_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTORS = re.compile(r"/(?:dev|proc/self|proc/thread-self)/fd/(\d+)")
_MOST_LINKS = 40


def is_stream(path: Path) -> bool:
    """Whether a name stands for a device, a pipe, a socket, or a descriptor that is open already."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def final_path(path: Path) -> Path:
    """The file or folder that a link leads to, there or not; of any other path, itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() and not is_stream(path) else path


def open_stream(path: Path) -> BinaryIO:
    """Opens what `is_stream` knows for writing; waits until somebody reads a pipe.

    Raises:
        OSError: It cannot be written to.
    """
    descriptor = _descriptor(path)
    if descriptor is not None:  # opened by its name, a file that stdout was sent to would be cut off
        return cast(BinaryIO, os.fdopen(os.dup(descriptor), "wb"))
    return cast(BinaryIO, os.fdopen(os.open(path, os.O_WRONLY), "wb"))


def require_writable(path: Path) -> None:
    """Finds out before long work whether its result could be written.

    Raises:
        DataError: The name is that of a folder, or its folder cannot be made or written to.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError
        if is_stream(path):
            place = path if _descriptor(path) is None else Path()
        else:
            place = final_path(path).absolute().parent
            while not place.exists():
                place = place.parent
            if not place.is_dir():
                raise NotADirectoryError
        if not os.access(place, os.W_OK):
            raise PermissionError(13, "no permission")
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> DataError:
    """The error of a report or the like that cannot be written."""
    return DataError(
        f"{path} cannot be written: {reason_of(error)}.", "Name another file, in a folder you may write to."
    )


def _descriptor(path: Path) -> int | None:
    """The number of the open descriptor that a name, or what it links to, stands for."""
    name = os.fspath(path)
    for _ in range(_MOST_LINKS):
        if name in _STANDARD:
            return _STANDARD[name]
        if match := _DESCRIPTORS.fullmatch(name):
            return int(match[1])
        try:
            name = os.path.join(os.path.dirname(name), os.readlink(name))
        except (OSError, ValueError):
            return None
    return None
