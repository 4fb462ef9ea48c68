"""Labelled lines to train or validate on: a database, or any other source."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.file_kinds import MAX_PIXELS
from vocr_cli.core.data.images.open_image import open_line, read_image_file
from vocr_cli.core.data.images.pages import is_one_page
from vocr_cli.core.data.lmdb.environments import is_database
from vocr_cli.core.data.lmdb.layout import read_characters
from vocr_cli.core.data.lmdb.store import LineStore, StoredLine
from vocr_cli.core.data.progress import OnProgress, ignore_progress
from vocr_cli.core.data.readers.labelled import (
    BadLine,
    LabelledLine,
    LabelledSet,
    load_labelled,
    nothing_usable,
)
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions
from vocr_cli.core.errors import DataError, ImageError
from vocr_cli.core.machine.files.input_file import open_input

_THREADS = 8
_CHUNK_LINES = 64
_LISTED_SUFFIXES = {
    ".txt",
    ".tsv",
    ".csv",
    ".json",
    ".jsonl",
    ".ndjson",
    ".parquet",
    ".arrow",
    ".tar",
    ".tgz",
}


class Lines(Protocol):
    """Lines by number, from 0.

    `widths` and `heights` are (N,) px of the stored images, `label_lengths` (N,) characters; `characters`
    are those of all labels, each once.
    """

    path: Path

    @property
    def widths(self) -> np.ndarray: ...  # noqa: D102
    @property
    def heights(self) -> np.ndarray: ...  # noqa: D102
    @property
    def label_lengths(self) -> np.ndarray: ...  # noqa: D102
    @property
    def characters(self) -> str: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __getitem__(self, number: int) -> StoredLine: ...

    def text(self, number: int) -> str:
        """The cleaned label, without reading the image."""
        ...

    def line_name(self, number: int) -> str:
        """How errors call the line."""
        ...

    def place(self, number: int) -> tuple[str, int, str]:
        """The path of the source that has the line, its number there, and its image's name."""
        ...


class ListedLines:
    """The usable lines of a source that is no single database, their images read when they are asked for.

    Args:
        labelled: The lines.
        on_progress: Called with the number of images whose size was read since the last call.

    Attributes:
        path: The source.
        widths: (N,) int32, px of the images as they are shown (EXIF rotation applied).
        heights: (N,) int32, the same.
        bad: The lines that cannot be used, in the source's order.
        unopened: Those of them that have a label, but an image that cannot be opened.
        notes: What was chosen to read it.
        uses: The options that mean something to it.

    Raises:
        DataError: No line can be used.
    """

    def __init__(self, labelled: LabelledSet, on_progress: OnProgress = ignore_progress) -> None:
        self.path, self.notes, self.uses = labelled.path, labelled.notes, labelled.uses
        self._lines: list[LabelledLine] = []
        self.bad = list(labelled.bad)
        self.unopened: list[LabelledLine] = []
        sizes: list[tuple[int, int]] = []
        with ThreadPoolExecutor(_THREADS) as threads:
            starts = range(0, len(labelled.lines), _CHUNK_LINES)
            chunks = [labelled.lines[start : start + _CHUNK_LINES] for start in starts]
            for chunk, found in zip(chunks, threads.map(_sizes, chunks), strict=True):
                for line, size in zip(chunk, found, strict=True):
                    if isinstance(size, ImageError):
                        reason = size.problem.removeprefix(f"{line.name}: ")
                        content = f"{line.name}\t{line.label}"
                        self.bad.append(BadLine(line.number, reason, content, line.source, size.fix))
                        self.unopened.append(line)
                    else:
                        self._lines.append(line)
                        sizes.append(size)
                on_progress(len(chunk))
        self.bad.sort(key=lambda line: (line.source, line.number))
        if not self._lines:
            raise nothing_usable(self.path, self.bad)
        table = np.array(sizes, np.int32)  # (N, 2)
        self.widths, self.heights = table[:, 0], table[:, 1]

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, number: int) -> StoredLine:
        """Line `number` with its image's bytes.

        Raises:
            ImageError: The image's file is gone, or too large.
            DataError: Its record in a database is damaged.
        """
        line = self._lines[number]
        if isinstance(line.image, str):
            return StoredLine(read_image_file(line.image, self.line_name(number)), line.label, line.name)
        store, stored = line.image
        return StoredLine(store[stored].image, line.label, line.name)

    @property
    def label_lengths(self) -> np.ndarray:
        """(N,) int32, characters."""
        return np.array([len(line.label) for line in self._lines], np.int32)

    @property
    def characters(self) -> str:
        """The characters of all labels, each once, in order."""
        return read_characters(line.label for line in self._lines)

    def text(self, number: int) -> str:
        """The cleaned label of line `number`."""
        return self._lines[number].label

    def line_name(self, number: int) -> str:
        """How errors call line `number`: by its number in its source, and its image."""
        line = self._lines[number]
        return f"line {line.number} of {line.source}, {line.name}"

    def place(self, number: int) -> tuple[str, int, str]:
        """The path of the source that has line `number`, its number there, and its image's name."""
        line = self._lines[number]
        return line.source, line.number, line.name


def _sizes(lines: Sequence[LabelledLine]) -> list[tuple[int, int] | ImageError]:
    return [_size(line) for line in lines]


def _size(line: LabelledLine) -> tuple[int, int] | ImageError:
    """Width and height from the image's header or its database's index, or why there are none."""
    if isinstance(line.image, tuple) and isinstance(store := line.image[0], LineStore):
        size = int(store.widths[line.image[1]]), int(store.heights[line.image[1]])
        if all(size):
            return size
    try:
        with _opened(line) as stream, Image.open(stream) as image:
            width, height = image.size
            plain = image.format != "EPS" and not {"exif", "xmp", "Raw profile type exif"} & set(image.info)
            if plain and 0 < width * height <= MAX_PIXELS and is_one_page(image, stream):
                return width, height
    except Exception:  # decoders raise anything: `open_line` says what it means
        pass
    try:
        if isinstance(line.image, str):
            return open_line(Path(line.image), line.name).size
        return open_line(line.image[0][line.image[1]].image, line.name).size
    except ImageError as error:
        return error
    except DataError as error:
        return ImageError(error.problem, error.fix)


def _opened(line: LabelledLine) -> BinaryIO:
    if isinstance(line.image, str):
        return open_input(line.image, pipes=False)
    store, number = line.image
    return BytesIO(store[number].image)


def is_listed(path: Path) -> bool:
    """Whether a path names lines that are no single database: a list, a table, a folder of any kind."""
    if path.exists():
        return not is_database(path)
    return path.suffix.lower() in _LISTED_SUFFIXES


def open_lines(
    path: Path, options: SourceOptions = AS_FOUND, on_progress: OnProgress = ignore_progress
) -> LineStore | ListedLines:
    """Opens labelled lines of any kind, to be read in any order.

    Args:
        path: A database, or another source.
        options: What the user says of it.
        on_progress: Called with the number of lines looked at since the last call: images of lists; lines of
            a database that carries no index.

    Raises:
        ConfigError: An option means nothing to it.
        DataError: It is missing, damaged, or holds no line that can be used.
        DependencyError: Its kind needs a package that is not installed.
    """
    if is_listed(path):
        return ListedLines(load_labelled(path, options=options), on_progress)
    store = LineStore(path)
    if not len(store):
        raise DataError(f"{path} holds no lines.", "Build it anew with `vocr build-lmdb`.")
    store.survey(on_progress)
    return store
