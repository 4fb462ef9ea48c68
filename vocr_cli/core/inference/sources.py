"""Where the lines to read come from: files, folders, databases. Found lazily, in natural order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from vocr_cli.core.data.images import open_line
from vocr_cli.core.data.lmdb_store import LineStore
from vocr_cli.core.errors import DataError, ImageError, VocrError
from vocr_cli.core.evaluation import ANNOTATION_NAMES, load_labelled

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
"""What counts as an image inside a folder. A file that is named itself is opened whatever it is called."""


@dataclass(frozen=True)
class LineInput:
    """A line to read: an image file, a line of a database, or what kept it from being found."""

    path: str
    source: Path | tuple[LineStore, int] | VocrError

    def load(self) -> tuple[str, Image.Image]:
        """The name to report, and the image, mode RGB.

        Raises:
            VocrError: It cannot be read.
        """
        if isinstance(self.source, VocrError):
            raise self.source
        if isinstance(self.source, Path):
            return self.path, open_line(self.source)
        store, number = self.source
        line = store[number]
        return line.path, open_line(line.image, line.path)


@dataclass(frozen=True)
class DataLine:
    """A line, and what it says where that is known."""

    line: LineInput
    label: str | None


def find_lines(paths: Sequence[Path]) -> Iterator[LineInput]:
    """The lines in files, folders (recursively) and databases, in the order given; a2 comes before a10.

    Lazy: at most one folder's names are held for each level of depth. What cannot be listed or opened comes
    as a line that raises when loaded.
    """
    for place in _places(paths):
        if isinstance(place, LineStore):
            for number in range(len(place)):
                yield LineInput(f"{place.path}, line {number}", (place, number))
        else:
            yield place


def count_lines(paths: Sequence[Path]) -> int:
    """How many lines `find_lines` will give."""
    return sum(len(place) if isinstance(place, LineStore) else 1 for place in _places(paths))


def load_data(data: Path, limit: int) -> list[DataLine]:
    """At most `limit` lines of a labelled set (annotation file, folder with one, database) or of a folder.

    Raises:
        DataError: There is nothing there, or no line in it.
    """
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


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts by text and the value of numbers in it; case and leading zeros decide between equals only."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def _source(image: Path | int, store: LineStore | None) -> Path | tuple[LineStore, int]:
    if isinstance(image, Path):
        return image
    assert store is not None
    return store, image


def _places(paths: Sequence[Path]) -> Iterator[LineInput | LineStore]:
    for path in paths:
        if path.is_dir() or path.suffix == ".mdb":
            yield from _in_folder(path, frozenset())
        else:
            yield LineInput(str(path), path)


def _in_folder(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[LineInput | LineStore]:
    """Goes through a folder; `above` identifies the folders it lies in, lest a link leads round and round."""
    try:
        if folder.suffix == ".mdb" or (folder / "data.mdb").is_file():
            yield LineStore(folder)
            return
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in above:
            return
        with os.scandir(folder) as entries:
            names = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = ImageError(f"{folder}: the folder cannot be listed: {reason}.", "Check its permissions.")
        yield LineInput(str(folder), problem)
        return
    except DataError as problem:
        yield LineInput(str(folder), problem)
        return
    names = [(name, is_folder) for name, is_folder in names if is_folder or _is_image(name)]
    for name, is_folder in sorted(names, key=lambda item: natural_key(item[0])):
        if is_folder:
            yield from _in_folder(folder / name, above | {(facts.st_dev, facts.st_ino)})
        else:
            yield LineInput(str(folder / name), folder / name)


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
