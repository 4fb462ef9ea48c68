"""A build is locked on every system: Windows and file systems without locks are simulated."""

from __future__ import annotations

import builtins
import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.files import file_lock
from vocr_cli.core.machine.files.file_lock import FileLock


def test_one_at_a_time_and_nothing_is_left_behind(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire() and not second.acquire()
    first.release()
    assert second.acquire() and not first.acquire()
    second.release()
    second.release()
    assert not list(tmp_path.iterdir())


def _hold(path: Path, taken: Any, _end: Any) -> None:
    assert FileLock(path).acquire()
    taken.set()
    os._exit(1)  # as a kill does


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    taken = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "lock", taken, None))
    process.start()
    process.join(30)
    assert taken.is_set() and FileLock(tmp_path / "lock").acquire()


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows none, as some of the network's."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.mark.skipif(os.name == "nt", reason="fcntl is patched")
def test_where_the_file_system_has_no_locks_a_file_stands_for_one(
    tmp_path: Path, without_locks: None
) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire() and not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    assert first.acquire()
    first.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="fcntl is patched")
def test_a_file_of_a_process_that_is_gone_does_not_lock_for_ever(
    tmp_path: Path, without_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock-held").write_text(f"{file_lock.platform.node()} 4242", encoding="utf-8")

    def gone(pid: int, signal: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", lambda pid, signal: None)
    assert not FileLock(tmp_path / "lock").acquire()
    monkeypatch.setattr(os, "kill", gone)
    assert FileLock(tmp_path / "lock").acquire()
    (tmp_path / "lock-held").write_text("another-machine 4242", encoding="utf-8")
    assert not FileLock(tmp_path / "lock").acquire()


def no_fcntl(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows; its `msvcrt.locking` is stood in for by flock, which is kept aside."""
    import fcntl

    real = builtins.__import__

    def importing(name: str, *args: Any) -> Any:
        if name == "fcntl":
            raise ImportError(name)
        if name == "msvcrt":
            return type(
                "msvcrt",
                (),
                {
                    "LK_NBLCK": 2,
                    "locking": lambda descriptor, mode, count: fcntl.flock(
                        descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
                    ),
                },
            )
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.setattr(file_lock.sys, "platform", "win32")


@pytest.mark.skipif(os.name == "nt", reason="Windows is simulated")
@pytest.mark.parametrize("system", ["windows", "no locks"])
def test_two_builds_of_one_database_never_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, request: pytest.FixtureRequest
) -> None:
    if system == "windows":
        no_fcntl(monkeypatch)
    else:
        request.getfixturevalue("without_locks")
    line = StoredLine(b"x", "a", "1.png")
    with LineWriter(tmp_path / "db", fingerprint="f") as writer:
        writer.add(line, 8, 8)
        with pytest.raises(DataError, match="Another process is building"):
            LineWriter(tmp_path / "db", fingerprint="f")
    with LineStore(tmp_path / "db") as store:
        assert len(store) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db"]
