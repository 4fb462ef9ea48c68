"""The inputs of a run: what was named, what a list names, and which shard of it is to be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.inference.inputs.pages import with_pages
from vocr_cli.core.inference.inputs.sources import (
    LineInput,
    count_lines,
    find_lines,
    listed_paths,
    take_shard,
)
from vocr_cli.core.machine.files.input_file import open_buffered


class Inputs:
    """Inputs that can be gone through more than once, except those listed by a stream.

    Args:
        paths: Files, folders, archives, databases.
        listed: A file that names more of them, one a line, or such a stream, or nothing.
        shard_index: Which shard of the lines is to be read, from 1.
        shard_count: How many there are; line n belongs to shard 1 + (n - 1) mod `shard_count`.
        piped: The bytes of an image, whose path is `-`.
        first_page: Whether of files of several pages the first alone is a line.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        listed: Path | BinaryIO | None = None,
        shard_index: int = 1,
        shard_count: int = 1,
        piped: bytes | None = None,
        first_page: bool = False,
    ) -> None:
        self._paths, self._listed, self._first_page = paths, listed, first_page
        self._shard_index, self._shard_count = shard_index, shard_count
        self._piped = piped

    def __str__(self) -> str:
        names = [str(path) for path in self._paths[:3]] + ["..."] * (len(self._paths) > 3)
        if self._listed is not None:
            names.append(str(self._listed) if isinstance(self._listed, Path) else "the list")
        return ", ".join(names)

    @property
    def come_by_stream(self) -> bool:
        """Whether a stream names them, perhaps one after the other in a while."""
        return self._listed is not None and not (isinstance(self._listed, Path) and self._listed.is_file())

    def paths(self) -> Iterator[Path]:
        """Gives all paths, lists read line by line.

        Raises:
            DataError: The list cannot be read.
        """
        yield from self._paths
        yield from self._listed_paths()

    def lines(self) -> Iterator[LineInput]:
        """Gives the lines of the shard.

        Raises:
            DataError: There is no line at all; a shard may well be empty.
        """
        named = find_lines(self._paths, self._piped, pipes=True)
        files = chain(named, find_lines(self._listed_paths(), self._piped))
        found = with_pages(files, first_page=self._first_page)
        first = next(found, None)
        if first is None:
            raise self.nothing()
        return take_shard(chain([first], found), self._shard_index, self._shard_count)

    def count(self, tell: Callable[[int], None]) -> None:
        """Has a thread count the lines of the shard, and tell, unless only reading them would."""

        def count_and_tell() -> None:
            if (total := self.known_count()) is not None:
                tell(total)

        threading.Thread(target=count_and_tell, name="vocr-count", daemon=True).start()

    def known_count(self) -> int | None:
        """Counts the lines of the shard; None where only reading would tell."""
        if self.come_by_stream:
            return None  # what comes by a pipe comes once
        total = count_lines(self.paths())
        return None if total is None else len(range(self._shard_index - 1, total, self._shard_count))

    def _listed_paths(self) -> Iterator[Path]:
        if self._listed is None:
            return
        if not isinstance(self._listed, Path):
            yield from listed_paths(self._listed)
            return
        try:
            with open_buffered(self._listed) as lines:
                yield from listed_paths(lines)
        except OSError as error:
            raise DataError(
                f"{self._listed} cannot be read: {reason_of(error)}.",
                "Name a text file of paths, or - for stdin.",
            ) from None

    def nothing(self) -> DataError:
        """The error of inputs without a line."""
        return DataError(
            f"No image in {self}.",
            "Name line images, folders that hold some (.png, .jpg, ...), a tar archive, or an LMDB folder.",
        )
