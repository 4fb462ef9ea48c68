"""LMDB environments, one per process and file. LMDB allows no second one, and none may cross a fork."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from vocr_cli.core.data.lmdb.page_format import HEAD_BYTES, NotLmdb, PageDamage, begins_as_lmdb
from vocr_cli.core.data.lmdb.soundness import Stamp, require_sound, stamp_of, trust
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import open_input
from vocr_cli.core.machine.hardware import read_hardware

_COPY_AGAIN = "Copy or build the database again."


class _SharedEnvironment:
    """An open environment, what its file was when it was found to be sound, and the objects that use it."""

    def __init__(self, environment: lmdb.Environment, stamp: Stamp) -> None:
        self.environment, self.stamp = environment, stamp
        self.users: weakref.WeakSet[object] = weakref.WeakSet()


_environments: dict[tuple[str, int, int], _SharedEnvironment] = {}
_lock = threading.RLock()


def _forget_after_fork() -> None:
    """Closes the parent's environments in a forked child; being read only, they stay open in the parent."""
    global _lock
    _lock = threading.RLock()
    for shared in _environments.values():
        shared.environment.close()
    _environments.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def is_database(path: Path) -> bool:
    """Whether a path names a database: a folder with `data.mdb`, an `.mdb` file, or one that begins so.

    An `.mdb` file counts, there or not; LMDB's option `subdir=False` writes files of any name.
    """
    return path.suffix.lower() == ".mdb" or (path / "data.mdb").is_file() or _begins_as_database(path)


def _begins_as_database(path: Path) -> bool:
    """Whether a file, and nothing else is opened, begins with LMDB's first page."""
    try:
        if not path.is_file():
            return False
        with open_input(path, pipes=False) as stream:
            return begins_as_lmdb(stream.read(HEAD_BYTES))
    except (OSError, ValueError):
        return False


def data_file(path: Path) -> Path:
    """The file that holds the data of a database given as a folder or as a file.

    Raises:
        DataError: There is none.
    """
    file = path / "data.mdb" if path.is_dir() else path
    if not file.exists():
        what = f"{path} holds no data.mdb" if path.is_dir() else f"No database at {path}"
        raise DataError(
            f"{what}.", "Build one with `vocr build-lmdb ANNOTATIONS OUT`, or name another folder."
        )
    return file


class ReadTransaction:
    """A read transaction on the database at `path`, shared by all users in this process.

    Args:
        user: The object that reads; the environment stays open until each of them calls `release` or is gone.
        path: A folder with `data.mdb`, or an `.mdb` file.
        trusted: The stamp of a file that another process has found to be sound.

    Raises:
        DataError: There is no database, or it is damaged.
    """

    def __init__(self, user: object, path: Path, trusted: Stamp | None = None) -> None:
        self._path = path
        self._transaction = _environment(user, path, trusted).begin(buffers=True)

    def __enter__(self) -> lmdb.Transaction:
        return self._transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transaction.abort()
        if isinstance(error, lmdb.Error):
            raise DataError(f"{self._path} is damaged: {reason_of(error)}.", _COPY_AGAIN) from error


def read_settings(size_bytes: int, available_bytes: int | None) -> dict[str, Any]:
    """How a database is opened for reading.

    Readahead fetches many pages around each one that is asked for. Where the whole file fits in memory, they
    are wanted soon and the disk is read in large pieces; where it does not, they push out pages that are
    wanted, and far more is read than used. `lock` is off: no one writes to a finished database, and a
    folder may be read-only. `meminit` and `max_readers` matter to writers and to locks alone; the map is as
    large as the file. `benchmarks/lmdb_settings.py` measures what each is worth.

    Args:
        size_bytes: Of the file.
        available_bytes: Memory that can be had, file caches included; None where it is not known.
    """
    fits = available_bytes is None or size_bytes < available_bytes
    return {"subdir": False, "readonly": True, "lock": False, "create": False, "readahead": fits}


def sound_stamp(user: object) -> Stamp | None:
    """What worker processes may be told of the file that `user` reads here: that it was found to be sound."""
    return next((shared.stamp for shared in _environments.values() if user in shared.users), None)


def release(user: object) -> None:
    """Lets go of `user`'s environment, and closes it if no one else in this process uses it."""
    with _lock:
        for shared in _environments.values():
            shared.users.discard(user)
        _close_unused()


def _environment(user: object, path: Path, trusted: Stamp | None) -> lmdb.Environment:
    with _lock:
        for shared in _environments.values():  # the common case, without touching the file system
            if user in shared.users:
                return shared.environment
        if trusted is not None:
            trust(trusted)
        file = data_file(path).resolve()
        facts = file.stat()
        name = (str(file), facts.st_dev, facts.st_ino)  # a database replaced under its name is another one
        _close_unused()
        if name not in _environments:
            _environments[name] = _open(file)
        elif _environments[name].stamp != stamp_of(file):  # written to since
            _environments[name].stamp = _sound(file)
        _environments[name].users.add(user)
        return _environments[name].environment


def _close_unused() -> None:
    for name, shared in list(_environments.items()):
        if not shared.users:
            shared.environment.close()
            del _environments[name]


def _open(file: Path) -> _SharedEnvironment:
    stamp = _sound(file)
    try:
        settings = read_settings(stamp[3], read_hardware(torch_facts=False).available_bytes)
        return _SharedEnvironment(lmdb.open(str(file), **settings), stamp)
    except (lmdb.Error, OSError) as error:
        raise _not_opened(file, error) from None


def _sound(file: Path) -> Stamp:
    try:
        return require_sound(file)
    except PageDamage as damage:
        raise damaged(file, damage) from None
    except OSError as error:
        raise _not_opened(file, error) from None


def _not_opened(file: Path, error: Exception) -> DataError:
    reason = reason_of(error).removeprefix(f"{file}: ")  # lmdb names it, too
    return DataError(f"{file} cannot be opened as an LMDB: {reason}.", _COPY_AGAIN)


def damaged(file: Path, damage: PageDamage) -> DataError:
    """The error of a file that is no LMDB, or a damaged one."""
    if isinstance(damage, NotLmdb):
        return DataError(
            f"{file} is not an LMDB database.",
            "Name a folder with a data.mdb or an .mdb file; of labels, `vocr build-lmdb` makes one.",
        )
    return DataError(f"{file} is a damaged LMDB: {damage}.", _COPY_AGAIN)
