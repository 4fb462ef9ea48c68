"""Where the lines to read come from: files, folders, archives, databases. Found lazily, in natural order.

What opens databases, archives and labelled sets is loaded when there is one.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, starmap
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from vocr_cli.core.data.images.file_kinds import is_image_name, is_tar
from vocr_cli.core.data.images.open_image import first_page, open_line, read_image_file
from vocr_cli.core.data.images.pages import pages_to_expect
from vocr_cli.core.data.readers.folders.files_below import files_below
from vocr_cli.core.data.readers.layout.parse_xml import SUFFIXES as LAYOUT_SUFFIXES
from vocr_cli.core.errors import DataError, ImageError, VocrError
from vocr_cli.core.inference.inputs.natural_order import in_natural_order
from vocr_cli.core.inference.outputs.batch_log import ReadBefore
from vocr_cli.core.machine.files.folder_walk import is_folder
from vocr_cli.core.machine.files.input_file import lines_within

if TYPE_CHECKING:
    from vocr_cli.core.data.lmdb.store import LineStore
    from vocr_cli.core.data.readers.labelled import StoredLines
    from vocr_cli.core.data.readers.source_options import SourceOptions

_DATABASE_SUFFIXES = (".mdb", ".lmdb")
LIST_SUFFIXES = LAYOUT_SUFFIXES | set(".txt .tsv .csv .json .jsonl .ndjson .parquet .arrow .lmdb".split())
"""What files that may name or hold images end in."""

_Inside = frozenset[tuple[int, int]]
"""Device and inode of each folder that a folder lies in."""


@dataclass(frozen=True)
class LineInput:
    """A line to read: an image's file or its bytes, a line of a database, or why it was not found.

    In place of these, the result that an interrupted run has read.

    Of the millions in a folder, files are named by text: a `Path` takes as long as looking a reading up. A
    `Path` is what the user named himself, and may be a pipe.
    """

    path: str
    source: str | Path | bytes | tuple[StoredLines, int] | VocrError | ReadBefore
    prefix: str = ""  # stands before the name that a database has for the line, to tell it from others'
    first_page: bool = False  # whether of an image of several pages the first is meant

    def load(self) -> tuple[str, Image.Image]:
        """The name to report, and the image, mode RGB or L.

        Raises:
            VocrError: It cannot be read.
        """
        if isinstance(self.source, str | Path) and not self.first_page:
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
            name, data = self.path, self.source
        elif isinstance(self.source, str | Path):
            name, data = self.path, read_image_file(self.source, pipes=isinstance(self.source, Path))
        else:
            assert not isinstance(self.source, ReadBefore)  # nobody opens it again
            store, number = self.source
            line = store[number]
            name, data = self.prefix + line.path, line.image
        return name, first_page(data, name) if self.first_page else data


@dataclass(frozen=True)
class DataLine:
    """A line, and what it says where that is known."""

    line: LineInput
    label: str | None


def find_lines(
    paths: Iterable[Path], piped: bytes | None = None, *, pipes: bool = False
) -> Iterator[LineInput]:
    """The lines in files, folders (recursively), archives, databases, lists and tables, in the order given.

    A folder's come in natural order, a2 before a10. Lazy, in bounded memory however large a folder is. What
    cannot be listed or opened comes as a line that raises when loaded. Archives and tables inside folders
    that hold images are passed by. Of several inputs, lines of databases are called by their database, too.

    Args:
        paths: Files, folders, archives, databases, lists.
        piped: The bytes of an image that came by a pipe: what the path `-` stands for.
        pipes: Whether files may be pipes, for which the reader waits: of those that the user named himself.
    """
    rest = iter(paths)
    first = list(islice(rest, 2))
    for path in chain(first, rest):
        if piped is not None and path == Path("-"):
            yield LineInput("-", piped)
        else:
            yield from lines_in(path, is_only=len(first) == 1, pipes=pipes)


def lines_in(path: Path, *, is_only: bool, pipes: bool = False) -> Iterator[LineInput]:
    """The lines in one input.

    Args:
        path: The input.
        is_only: Whether the names of a database's lines need not be told from others'.
        pipes: As for `find_lines`.
    """
    file = path if pipes else str(path)
    if path.suffix == ".mdb" or os.path.isdir(path):
        lines = _in_folder(path, frozenset(), path if is_only else None)
        found = next(lines, None)
        yield from _of_data_set(path) if found is None else chain([found], lines)
    elif is_tar(path):
        from vocr_cli.core.inference.inputs.archives import tar_images

        for name, content in tar_images(path):
            yield LineInput(name, content)
    elif not _may_list(path):
        yield LineInput(str(path), file)
    elif _database(path) is not None:
        yield from _in_folder(path, frozenset(), path if is_only else None)
    elif path.suffix.lower() in LIST_SUFFIXES:
        from vocr_cli.core.inference.inputs.lists import listed_lines

        yield from starmap(LineInput, listed_lines(path))
    else:
        yield LineInput(str(path), file)


def count_lines(paths: Iterable[Path]) -> int | None:
    """How many lines `find_lines` will give; None if only reading an archive or a list would tell."""
    total = 0
    for path in paths:
        if path.suffix == ".mdb" or os.path.isdir(path) or (_may_list(path) and _database(path) is not None):
            count = _count_folder(path, frozenset())
            if not count:
                return None
            total += count
        elif is_tar(path) or _may_list(path):
            return None
        else:
            total += pages_to_expect(path)
    return total


def listed_paths(lines: BinaryIO) -> Iterator[Path]:
    """The paths of a list, one a line, in the file system's encoding; empty lines and a BOM are passed by."""
    for number, line in enumerate(lines_within(lines)):
        name = line.content.rstrip(b"\r\n").removeprefix(b"" if number else codecs.BOM_UTF8)
        if name:
            yield Path(os.fsdecode(name))


def take_shard(lines: Iterable[LineInput], index: int, count: int) -> Iterator[LineInput]:
    """Gives every `count`-th line from line `index` on, from 1: together the shards hold all, once."""
    return islice(iter(lines), index - 1, None, count)


def load_data(data: Path, limit: int, options: SourceOptions | None = None) -> list[DataLine]:
    """At most `limit` lines of a labelled set of any kind, or of a folder of images.

    Raises:
        DataError: There is nothing there, or no line in it.
    """
    from vocr_cli.core.data.readers.labelled import load_labelled
    from vocr_cli.core.data.readers.source_options import SourceOptions, SplitNeeded

    options = options or SourceOptions()
    try:
        labelled = load_labelled(data, limit, options)
    except DataError as problem:
        if isinstance(problem, SplitNeeded) or options.given or not data.is_dir():
            raise
        lines = [DataLine(line, None) for line in islice(find_lines([data]), limit)]
        if not lines:
            raise
        return lines
    return [DataLine(LineInput(line.name, line.image), line.label) for line in labelled.lines]


def _may_list(path: Path) -> bool:
    """Whether a file may be a database, a list or a table, by its name: no image of a usual kind is."""
    return not is_image_name(path.name) and (not path.suffix or path.suffix.lower() in LIST_SUFFIXES)


def _of_data_set(folder: Path) -> Iterator[LineInput]:
    from vocr_cli.core.inference.inputs.lists import lines_of_data_set

    return starmap(LineInput, lines_of_data_set(folder))


def _in_folder(folder: Path, above: _Inside, only: Path | None) -> Iterator[LineInput]:
    """Goes through a folder; `above` identifies the folders it lies in, lest a link leads round and round.

    The names that a database has for its lines begin with its own, unless all input is the folder `only`, and
    no other database is in it.
    """
    try:
        if (store := _database(folder)) is not None:
            prefix = f"{folder}/" if only is None or (above and _holds_several(only)) else ""
            for number in range(len(store)):
                yield LineInput(f"{folder}, line {number}", (store, number), prefix)
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
            yield from _in_folder(folder / name, above | {here}, only)
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
                total += (
                    _count_folder(folder / name, above | {here}) if below else pages_to_expect(folder / name)
                )
        return total
    except (OSError, DataError):
        return 1


def _database(folder: Path) -> LineStore | None:
    """Opens the database that a folder or a file is; None: it is none."""
    if os.path.isdir(folder) and not os.path.exists(folder / "data.mdb"):
        return None
    from vocr_cli.core.data.lmdb.environments import is_database
    from vocr_cli.core.data.lmdb.store import LineStore

    return LineStore(folder) if is_database(folder) else None


def _holds_several(folder: Path) -> bool:
    """Whether a folder holds more than one database, in the folders below it, too."""
    from vocr_cli.core.data.lmdb.environments import is_database

    files = (Path(file) for file in files_below(str(folder)) if file.endswith(_DATABASE_SUFFIXES))
    databases = (file for file in files if not file.name.startswith("lock.") and is_database(file))
    return len(list(islice(databases, 2))) > 1


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


def _wanted(entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, bool]]:
    """Names of folders, databases and images that are not hidden, and whether it is none of an image."""
    for entry in entries:
        if not entry.name.startswith("."):
            goes_on = is_folder(entry) or (entry.name.endswith(_DATABASE_SUFFIXES) and _holds_lines(entry))
            if goes_on or is_image_name(entry.name):
                yield entry.name, goes_on


def _holds_lines(entry: os.DirEntry[str]) -> bool:
    """Whether a file is a database, and not the lock of one."""
    from vocr_cli.core.data.lmdb.environments import is_database

    return not entry.name.startswith("lock.") and is_database(Path(entry.path))
