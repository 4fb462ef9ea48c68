"""Files that are replaced in one step: a reader, a kill or a power cut meets the old one or the new one."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vocr_cli.core.machine.files.output_place import final_path, is_stream, open_stream, unwritable

LONGEST_NAME_BYTES = 255
"""Of a file, on most file systems."""


@contextmanager
def atomic_write(path: Path, *, only_writer: bool = False) -> Iterator[Path]:
    """Yields the name to write to; when the block ends well, `path` is replaced by what was written there.

    The temporary file lies in the folder of `path`, since a rename is one step only within a file system. It
    is flushed to the disk before the rename: otherwise a power cut could leave the new name on an empty file.
    Where the block fails it is removed, and `path` stays as it was.

    Of a link, the target is replaced; a device, a pipe or an open descriptor such as `/dev/stdout` gets what
    was written, and stays what it is.

    Args:
        path: The file to replace; its folder is made if need be. It gets the permissions of a new file, even
            where a library writes its files for their owner alone.
        only_writer: Whether no other process writes `path` at the same time. The temporary name is then
            always the same, so that what a kill left behind is overwritten by the next write.

    Raises:
        OSError: The file cannot be written.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix="vocr-") as folder:
            written = Path(folder) / path.name
            written.touch()
            yield written
            with written.open("rb") as source, open_stream(path) as stream:
                shutil.copyfileobj(source, stream)
        return
    path = final_path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = "" if only_writer else f".{os.getpid()}"
    name = f".{path.name}{mark}.tmp"
    if len(os.fsencode(name)) > LONGEST_NAME_BYTES:
        name = f".{zlib.crc32(os.fsencode(path.name)):08x}{mark}.tmp"
    temporary = path.with_name(name)
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777
        yield temporary
        if temporary.stat().st_mode & 0o777 != mode:
            temporary.chmod(mode)
        replace_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_durably(written: Path, path: Path) -> None:
    """Renames a complete file to `path`, its content on the disk first and the new name after it.

    Raises:
        OSError: The file cannot be flushed or renamed; `path` is as it was.
    """
    with open(written, "rb+") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())
    os.replace(written, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Has the names in a folder on the disk, where the system and its file system can be asked for that."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_report(path: Path, text: str) -> None:
    """Writes a report that somebody asked for, as `atomic_write` does.

    Args:
        path: Its folder is made if need be.
        text: Is written as UTF-8, what UTF-8 cannot hold as escapes.

    Raises:
        DataError: It cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise unwritable(path, error) from None
