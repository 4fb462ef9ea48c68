"""Files that lie under another name until they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.atomic_write import replace_durably


def partial_name(path: Path) -> Path:
    """Gives the name that a file has until it is complete."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Names the file in what the system says about writing it.

    Raises:
        DataError: It cannot be written.
    """
    try:
        yield
    except IsADirectoryError:
        raise DataError(f"{path} is a folder.", f"Name a file, such as {path / 'readings.tsv'}.") from None
    except (FileExistsError, NotADirectoryError):
        raise DataError(
            f"{path} cannot be written: what would be its folder is a file.", "Name a file in another folder."
        ) from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free disk space, check the permissions, or name another file.",
        ) from None


def refuse_folder(path: Path) -> None:
    """Refuses the name of a folder, as `.` is, which nothing typed becomes, too.

    Raises:
        DataError: It is one.
    """
    with write_errors(path):
        if path.is_dir():
            raise IsADirectoryError


def prepare_folder(path: Path) -> None:
    """Makes the folder that a file is to lie in.

    Raises:
        OSError: It cannot be made, or a folder has the file's name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(21, "it is a folder")


def give_name(path: Path) -> None:
    """Puts the complete file in its place.

    Raises:
        DataError: That cannot be done.
    """
    with write_errors(path):
        replace_durably(partial_name(path), path)
