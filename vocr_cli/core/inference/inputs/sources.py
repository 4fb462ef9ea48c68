"""Where the lines to read come from: files, folders, archives, databases. Found lazily, in natural order.

What opens databases, archives and labelled sets is loaded when there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from vocr_cli.core.data.images.file_kinds import is_image_name, is_tar
from vocr_cli.core.data.images.open_image import open_line, read_image_file
from vocr_cli.core.errors import DataError, ImageError, VocrError
from vocr_cli.core.inference.inputs.natural_order import in_natural_order
from vocr_cli.core.machine.files.folder_walk import is_folder
from vocr_cli.core.machine.files.input_file import lines_within

if TYPE_CHECKING:
    from vocr_cli.core.data.lmdb.store import LineStore

_Inside = frozenset[tuple[int, int]]
"""Device and inode of each folder that a folder lies in."""


@dataclass(frozen=True)
class LineInput:
    """A line to read: an image's file or its bytes, a line of a database, or why it was not found.

    Of the millions in a folder, files are named by text: a `Path` takes as long as looking a reading up. A
    `Path` is what the user named himself, and may be a pipe.
    """

    path: str
    source: str | Path | bytes | tuple[LineStore, int] | VocrError

    def load(self) -> tuple[str, Image.Image]:
        """The name to report, and the image, mode RGB or L.

        Raises:
            VocrError: It cannot be read.
        """
        if isinstance(self.source, str | Path):
            return self.path, open_line(Path(self.source), pipes=isinstance(self.source, Path))
        name, data = self.encoded()
        return name, open_line(data, name)

    def encoded(self) -> tuple[str, bytes]:
        """The name to report, and the image's bytes as they are stored.

        Raises:
            VocrError: They cannot be read, or are too many for a line image.
        """
        if isinstance(self.source, VocrError):
            raise self.source
        if isinstance(self.source, bytes):
            return self.path, self.source
        if isinstance(self.source, str | Path):
            return self.path, read_image_file(self.source, pipes=isinstance(self.source, Path))
        store, number = self.source
        line = store[number]
        return line.path, line.image


@dataclass(frozen=True)
class DataLine:
    """A line, and what it says where that is known."""

    line: LineInput
    label: str | None


def find_lines(
    paths: Iterable[Path], piped: bytes | None = None, *, pipes: bool = False
) -> Iterator[LineInput]:
    """The lines in files, folders (recursively), tar archives and databases, in the order given.

    A folder's come in natural order, a2 before a10. Lazy, in bounded memory however large a folder is. What
    cannot be listed or opened comes as a line that raises when loaded. Archives inside folders are passed by.

    Args:
        paths: Files, folders, archives, databases.
        piped: The bytes of an image that came by a pipe: what the path `-` stands for.
        pipes: Whether files may be pipes, for which the reader waits: of those that the user named himself.
    """
    for path in paths:
        if piped is not None and path == Path("-"):
            yield LineInput("-", piped)
        elif path.suffix == ".mdb" or os.path.isdir(path):
            yield from _in_folder(path, frozenset())
        elif is_tar(path):
            from vocr_cli.core.inference.inputs.archives import tar_images

            for name, found in tar_images(path):
                yield LineInput(name, found)
        else:
            yield LineInput(str(path), path if pipes else str(path))


def count_lines(paths: Iterable[Path]) -> int | None:
    """How many lines `find_lines` will give; None if only reading an archive would tell."""
    total = 0
    for path in paths:
        if path.suffix == ".mdb" or os.path.isdir(path):
            total += _count_folder(path, frozenset())
        elif is_tar(path):
            return None
        else:
            total += 1
    return total


def listed_paths(lines: BinaryIO) -> Iterator[Path]:
    """The paths of a list, one a line, in the file system's encoding; empty lines are passed by."""
    for line in lines_within(lines):
        name = line.content.rstrip(b"\r\n")
        if name:
            yield Path(os.fsdecode(name))


def take_shard(lines: Iterable[LineInput], index: int, count: int) -> Iterator[LineInput]:
    """Gives every `count`-th line from line `index` on, from 1: together the shards hold all, once."""
    return islice(iter(lines), index - 1, None, count)


def load_data(data: Path, limit: int) -> list[DataLine]:
    """At most `limit` lines of a labelled set (annotation file, folder with one, database) or of a folder.

    Raises:
        DataError: There is nothing there, or no line in it.
    """
    from vocr_cli.core.data.readers.labelled import ANNOTATION_NAMES, load_labelled

    labelled = not data.is_dir() or any((data / name).is_file() for name in ("data.mdb", *ANNOTATION_NAMES))
    if not labelled:
        lines = [DataLine(line, None) for line in islice(find_lines([data]), limit)]
        if not lines:
            raise DataError(f"{data} holds no image.", "Name a folder of line images, or an annotation file.")
        return lines
    found = load_labelled(data, limit)
    return [
        DataLine(LineInput(line.name, _source(line.image, found.store)), line.label) for line in found.lines
    ]


def _source(image: Path | int, store: LineStore | None) -> str | tuple[LineStore, int]:
    if isinstance(image, Path):
        return str(image)
    assert store is not None
    return store, image


def _in_folder(folder: Path, above: _Inside) -> Iterator[LineInput]:
    """Goes through a folder; `above` identifies the folders it lies in, lest a link leads round and round."""
    try:
        if (store := _database(folder)) is not None:
            for number in range(len(store)):
                yield LineInput(f"{folder}, line {number}", (store, number))
            return
        here = _identity(folder)
        if here in above:
            return
        with os.scandir(folder) as entries:
            names = in_natural_order(_wanted(entries))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = ImageError(f"{folder}: the folder cannot be listed: {reason}.", "Check its permissions.")
        yield LineInput(str(folder), problem)
        return
    except DataError as damaged:
        yield LineInput(str(folder), damaged)
        return
    start = "" if folder == Path() else os.path.join(folder, "")
    for name, below in names:
        if below:
            yield from _in_folder(folder / name, above | {here})
        else:
            yield LineInput(start + name, start + name)


def _count_folder(folder: Path, above: _Inside) -> int:
    """As many as `_in_folder` gives, without sorting; one for a folder that it will report as unreadable."""
    try:
        if (store := _database(folder)) is not None:
            return len(store)
        here = _identity(folder)
        if here in above:
            return 0
        total = 0
        with os.scandir(folder) as entries:
            for name, below in _wanted(entries):
                total += _count_folder(folder / name, above | {here}) if below else 1
        return total
    except (OSError, DataError):
        return 1


def _database(folder: Path) -> LineStore | None:
    """Opens the database that a folder or a .mdb file is; None: it is none."""
    if folder.suffix != ".mdb" and not (folder / "data.mdb").exists():
        return None
    from vocr_cli.core.data.lmdb.environments import is_database
    from vocr_cli.core.data.lmdb.store import LineStore

    return LineStore(folder) if is_database(folder) else None


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


def _wanted(entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, bool]]:
    """Names of folders and images, and whether it is a folder's; hidden ones are passed by."""
    for entry in entries:
        if not entry.name.startswith("."):
            below = is_folder(entry)
            if below or is_image_name(entry.name):
                yield entry.name, below
