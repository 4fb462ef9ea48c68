"""What every recogniser that is run as whole processes has in common. N lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class LineFolder:
    """A folder of N line images.

    Attributes:
        path: Of the folder, which holds the images and nothing else.
        names: N file names, in order.
        list_file: A file beside the folder that lists the images' full paths, one a line.
    """

    path: Path
    names: tuple[str, ...]
    list_file: Path


@dataclass(frozen=True)
class Setting:
    """One way of running a contestant.

    Attributes:
        name: What a report calls it.
        margin_px: Ground to be added on every side of each image beforehand.
        language: Traineddata that Tesseract reads with; "" for the others.
    """

    name: str
    margin_px: int = 0
    language: str = ""


class Contestant(Protocol):
    """A recogniser that starts, loads its model, reads a folder of line images, writes N texts, and ends."""

    @property
    def name(self) -> str:
        """What a report calls it."""

    def version(self) -> str:
        """Return its version, as a report shows it."""

    def settings(self) -> Sequence[Setting]:
        """Return the settings to choose the best of, the usual one first."""

    def command(self, lines: LineFolder, out: Path, setting: Setting, threads: int) -> list[str]:
        """Return the command that reads `lines` and writes `out`."""

    def environment(self, threads: int) -> Mapping[str, str]:
        """Return the variables of the process."""

    def texts(self, lines: LineFolder, out: Path) -> list[str]:
        """Return the N texts that the command wrote; "" for a line that it left out."""


class Peer(Contestant, Protocol):
    """A contestant that may have to be installed first."""

    def is_installed(self) -> bool:
        """Return whether it can run."""

    def install(self, on_message: Callable[[str], None]) -> None:
        """Install it.

        Raises:
            DependencyError: That failed, or it is not for vocr to install.
        """

    @property
    def remedy(self) -> str:
        """What to do where it is not installed, as a whole sentence."""


def usual_environment() -> dict[str, str]:
    """Return this process's variables, but byte code is kept, as it is after an installation."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def first_texts(texts: Sequence[str], count: int) -> list[str]:
    """Return `count` texts: those that are there, then empty ones."""
    return [*texts, *[""] * (count - len(texts))][:count]
