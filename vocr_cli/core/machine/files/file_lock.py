"""A lock that ends with the process which holds it, on every system and every file system.

POSIX's `flock` and Windows' `msvcrt.locking` are let go of by the system when a process ends. Where a file
system has neither, as some of the network's, a file that only one process can make stands for the lock; it
says whose it is, so that what a killed process left behind on the same machine does not lock for ever.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
from pathlib import Path
from typing import Any

from vocr_cli.core.machine.memory import psutil_without_proc

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class FileLock:
    """A lock by the name of a file, which is made for it and removed behind it.

    Args:
        path: The file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = self._held = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Takes the lock; False where another process, or another object of this one, has it.

        Raises:
            OSError: The file cannot be made.
        """
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                taken = _lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                if error.errno not in _NO_LOCKS:
                    raise
                return self._acquire_by_making()
            if taken and self._is_current(descriptor):
                self._descriptor, self._held = descriptor, self._path
                with contextlib.suppress(OSError):  # who has it is told where that can be written
                    os.truncate(descriptor, 0)
                    os.write(descriptor, _owner().encode())
                return True
            os.close(descriptor)
            if not taken:
                return False  # else the file was another's, who has removed it meanwhile: look again

    def holder(self) -> str:
        """Says which process has the lock, by machine and number; empty where that cannot be read."""
        for path in (self._mark, self._path):
            with contextlib.suppress(OSError, UnicodeDecodeError):  # Windows reads no locked file
                node, _, pid = path.read_text(encoding="utf-8").rpartition(" ")
                if pid.isdigit():
                    return f"process {pid} of {node}"
        return ""

    def release(self) -> None:
        """Lets another process have the lock; nothing where it is not held."""
        if self._descriptor is None:
            return
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(self._descriptor)
            with contextlib.suppress(OSError):  # another process was quicker
                self._held.unlink()
        else:
            self._held.unlink(missing_ok=True)
            os.close(self._descriptor)
        self._descriptor = None

    @property
    def _mark(self) -> Path:
        """What stands for the lock where files cannot be locked."""
        return self._path.with_name(f"{self._path.name}-held")

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked file is still the one of that name."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _acquire_by_making(self) -> bool:
        self._path.unlink(missing_ok=True)  # nothing can be locked by it
        mark = self._mark
        for _ in range(2):
            try:
                self._descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                if not _is_left_behind(mark):
                    return False
                mark.unlink(missing_ok=True)
                continue
            os.write(self._descriptor, _owner().encode())
            self._held = mark
            return True
        return False


def _owner() -> str:
    """This process, as its locks name it."""
    return f"{platform.node()} {os.getpid()}"


def _lock(descriptor: int) -> bool:
    """Locks an open file; False where it is locked already."""
    try:
        if sys.platform == "win32":
            windows: Any = __import__("msvcrt")
            windows.locking(descriptor, windows.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def _is_left_behind(mark: Path) -> bool:
    """Whether a lock's file is of a process of this machine that is gone."""
    try:
        node, _, pid = mark.read_text(encoding="utf-8").rpartition(" ")
    except OSError:
        return True
    if node != platform.node() or not pid.isdigit():
        return False
    if sys.platform == "win32":  # where `kill` with 0 is Ctrl-C
        psutil = psutil_without_proc()
        return psutil is not None and not psutil.pid_exists(int(pid))
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    return False
