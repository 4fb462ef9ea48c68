"""A run folder is one run's at a time: two that write into it would mix records and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vocr_cli.core.errors import ConfigError, reason_of
from vocr_cli.core.machine.files.file_lock import FileLock
from vocr_cli.core.training.parallel.distributed import ProcessGroup

_LOCK = ".lock"


@contextmanager
def held_run_folder(folder: Path, process_group: ProcessGroup, hold: bool = True) -> Iterator[None]:
    """Keeps other runs out of a run folder while the block runs; rank 0 does it for all ranks.

    The lock ends with the process, however that ends. A folder that was made for it and in which nothing was
    written goes again.

    Args:
        folder: The run folder; it is made if need be.
        process_group: The ranks that train together; all must come here.
        hold: Whether it is to be written to at all.

    Raises:
        ConfigError: Another process trains in it, or it cannot be written to; on every rank.
    """
    if not hold:
        yield
        return
    lock = FileLock(folder / _LOCK)
    made = _made(folder)
    met = _acquire(lock, folder) if process_group.is_primary else ("", "")
    for problem, fix in process_group.all_gather_objects(met):
        if problem:
            _forget(made)
            raise ConfigError(problem, fix)
    try:
        yield
    finally:
        if process_group.is_primary:
            lock.release()
            _forget(made)


def _made(folder: Path) -> list[Path]:
    """The folders that are not there yet, the inmost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _forget(made: list[Path]) -> None:
    """Removes folders that have stayed empty."""
    with suppress(OSError):
        for path in made:
            path.rmdir()


def _acquire(lock: FileLock, folder: Path) -> tuple[str, str]:
    """Takes the lock; what is wrong and what to do about it where that is not possible."""
    if folder.exists() and not folder.is_dir():
        return f"{folder} is a file, not a run folder.", "Name another folder with --out."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if lock.acquire():
            return "", ""
    except OSError as error:
        return (
            f"{folder} cannot be written to: {reason_of(error)}.",
            "Name a folder with --out that you may write to.",
        )
    holder = lock.holder() or "another process"
    return (
        f"{folder} is being trained in by {holder}.",
        "Wait for its end, stop it with Ctrl-C, or name another folder with --out.",
    )
