"""The inputs of a run: what was named, what a list names, and which share of it is to be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from vocr_cli.core.errors import DataError
from vocr_cli.core.inference.inputs.sources import LineInput, count_lines, find_lines, listed_paths, share


class Inputs:
    """Inputs that can be gone through more than once, except those listed by a stream.

    Args:
        paths: Files, folders, archives, databases.
        listed: A file that names more of them, one a line, or such a stream, or nothing.
        number: Which share of the lines is to be read, from 1.
        shares: How many there are; line n belongs to share 1 + (n - 1) mod `shares`.
    """

    def __init__(
        self, paths: Sequence[Path], listed: Path | BinaryIO | None = None, number: int = 1, shares: int = 1
    ) -> None:
        self._paths, self._listed, self._number, self._shares = paths, listed, number, shares

    def __str__(self) -> str:
        names = [str(path) for path in self._paths[:3]] + ["..."] * (len(self._paths) > 3)
        if self._listed is not None:
            names.append(str(self._listed) if isinstance(self._listed, Path) else "the list")
        return ", ".join(names)

    def paths(self) -> Iterator[Path]:
        """All paths, lists read line by line.

        Raises:
            DataError: The list cannot be read.
        """
        yield from self._paths
        if self._listed is None:
            return
        if not isinstance(self._listed, Path):
            yield from listed_paths(self._listed)
            return
        try:
            with self._listed.open("rb") as lines:
                yield from listed_paths(lines)
        except OSError as error:
            raise DataError(
                f"{self._listed} cannot be read: {error.strerror}.",
                "Name a text file of paths, or - for stdin.",
            ) from None

    def lines(self) -> Iterator[LineInput]:
        """The lines of the share.

        Raises:
            DataError: There is no line at all; a share may well be empty.
        """
        found = find_lines(self.paths())
        first = next(found, None)
        if first is None:
            raise self.nothing()
        return share(chain([first], found), self._number, self._shares)

    def count(self, tell: Callable[[int], None]) -> None:
        """Has a thread count the lines of the share meanwhile, and tell, unless only reading them would."""

        def counted() -> None:
            if (total := self.known_count()) is not None:
                tell(total)

        threading.Thread(target=counted, name="vocr-count", daemon=True).start()

    def known_count(self) -> int | None:
        """How many lines the share has; None where only reading would tell."""
        if self._listed is not None and not isinstance(self._listed, Path):
            return None
        total = count_lines(self.paths())
        return None if total is None else len(range(self._number - 1, total, self._shares))

    def nothing(self) -> DataError:
        """The error of inputs without a line."""
        return DataError(
            f"No image in {self}.",
            "Name line images, folders that hold some (.png, .jpg, ...), a tar archive, or an LMDB folder.",
        )
