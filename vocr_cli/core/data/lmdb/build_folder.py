"""The hidden folder in which a database grows, and its rename to where the database shall appear."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vocr_cli.core.data.lmdb.page_check import check_pages
from vocr_cli.core.data.lmdb.page_format import PageDamage
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.atomic_write import sync_folder
from vocr_cli.core.machine.files.file_lock import FileLock


class BuildFolder:
    """The hidden folder beside `path` in which its database grows.

    Args:
        path: Where the database shall appear.
        tag: Tells builds of different inputs apart.
        overwrite: Whether a database at `path` may be replaced.

    Raises:
        DataError: `path` is taken.
    """

    def __init__(self, path: Path, tag: str, overwrite: bool) -> None:
        self.path, self._overwrite = path, overwrite
        self.folder = path.parent / f".{path.name}.tmp-{tag}"
        self._let_go: Callable[[], None] | None = None
        self.refuse_occupied()

    def acquire(self, keep: bool) -> None:
        """Makes the folder, and locks it for this process.

        Args:
            keep: Whether what an earlier build left in it stays.

        Raises:
            DataError: Another process is building there, or what an earlier build left is damaged.
            OSError: The folder cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._let_go = _lock_folder(self.folder, self.path) or _lock_beside(self.folder, self.path)
        left = self.folder / "data.mdb"
        if not keep:
            left.unlink(missing_ok=True)
        elif left.exists() and left.stat().st_size:
            try:
                check_pages(left, writing=True)
            except PageDamage as damage:
                raise self.damaged(str(damage)) from None

    def damaged(self, reason: str) -> DataError:
        """The error of an interrupted build that cannot be gone on with; the folder is let go of."""
        self.release()
        return DataError(
            f"What the interrupted build left in {self.folder} is damaged: {reason}.",
            "Build again, without --resume.",
        )

    def move_into_place(self) -> None:
        """Renames the folder to `path`; an earlier database is moved away first, and deleted after."""
        self.refuse_occupied()
        replaced = self.folder.with_name(f"{self.folder.name}-replaced")
        if self.path.exists():
            os.rename(self.path, replaced)
        os.rename(self.folder, self.path)
        sync_folder(self.path.parent)
        shutil.rmtree(replaced, ignore_errors=True)

    def release(self) -> None:
        """Lets another process take the folder."""
        if self._let_go is not None:
            self._let_go()
            self._let_go = None

    def remove(self) -> None:
        """Deletes the folder and all that was built."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def refuse_occupied(self) -> None:
        """Raises DataError if `path` holds something that must not be replaced."""
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not self.path.is_dir():
            raise DataError(
                f"{self.path} is a file, and a database is a folder.",
                "Name the labels first, and last a new folder for the database.",
            )
        if not {item.name for item in self.path.iterdir()} <= {"data.mdb", "lock.mdb"}:
            raise DataError(
                f"{self.path} is not a database folder and will not be replaced.",
                "Name another folder for the database.",
            )
        if not self._overwrite:
            raise DataError(f"{self.path} exists.", "Add --overwrite to replace it, or name another folder.")


def _lock_folder(folder: Path, target: Path) -> Callable[[], None] | None:
    """Takes a lock on a folder that ends with the process, so that two builds of one database cannot mix.

    Args:
        folder: What is locked; nothing is left behind in it.
        target: Named in errors.

    Returns:
        What lets go of the lock; None on Windows and on file systems without such locks.

    Raises:
        DataError: Another process has it.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise _occupied(target) from None
    except OSError:
        os.close(descriptor)
        return None
    return partial(os.close, descriptor)


def _lock_beside(folder: Path, target: Path) -> Callable[[], None]:
    """Takes a lock on a file beside a folder that cannot be locked itself; see `_lock_folder`."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    if not lock.acquire():
        raise _occupied(target)
    return lock.release


def _occupied(target: Path) -> DataError:
    return DataError(f"Another process is building {target}.", "Wait for its end, or name another.")
