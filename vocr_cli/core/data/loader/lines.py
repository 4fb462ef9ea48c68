"""Labelled lines to train or validate on: a database, or an annotation file and its images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.file_kinds import MAX_PIXELS
from vocr_cli.core.data.images.open_image import open_line, read_image_file
from vocr_cli.core.data.lmdb.layout import read_characters
from vocr_cli.core.data.lmdb.store import LineStore, StoredLine
from vocr_cli.core.data.progress import OnProgress, ignore_progress
from vocr_cli.core.data.readers.annotations import AnnotatedLine, BadLine, Manifest, read_annotations
from vocr_cli.core.errors import DataError, ImageError
from vocr_cli.core.machine.files.input_file import open_input

_THREADS = 8
_CHUNK_LINES = 64


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


class AnnotatedLines:
    """The usable lines of an annotation file, their images read when they are asked for.

    Args:
        manifest: The checked annotations.
        on_progress: Called with the number of images whose size was read since the last call.

    Attributes:
        path: The annotation file.
        widths: (N,) int32, px of the images as they are shown (EXIF rotation applied).
        heights: (N,) int32, the same.
        bad: The lines that cannot be used, in file order.
        unopened: Those of them that have a label, but an image that cannot be opened.

    Raises:
        DataError: No line can be used.
    """

    def __init__(self, manifest: Manifest, on_progress: OnProgress = ignore_progress) -> None:
        self.path, self._manifest = manifest.source, manifest
        self._lines: list[AnnotatedLine] = []
        self.bad = list(manifest.bad)
        self.unopened: list[AnnotatedLine] = []
        sizes: list[tuple[int, int]] = []
        with ThreadPoolExecutor(_THREADS) as threads:
            starts = range(0, len(manifest.lines), _CHUNK_LINES)
            chunks = [manifest.lines[start : start + _CHUNK_LINES] for start in starts]
            for chunk, found in zip(chunks, threads.map(self._sizes, chunks), strict=True):
                for line, size in zip(chunk, found, strict=True):
                    if isinstance(size, str):
                        self.bad.append(BadLine(line.line_number, size, f"{line.path}\t{line.text}"))
                        self.unopened.append(line)
                    else:
                        self._lines.append(line)
                        sizes.append(size)
                on_progress(len(chunk))
        self.bad.sort(key=lambda line: line.line_number)
        if not self._lines:
            first = self.bad[0]
            raise DataError(
                f"{self.path}: no line can be used; line {first.line_number}: {first.reason}.",
                "Correct the file, or name the folder that its paths start from.",
            )
        table = np.array(sizes, np.int32)  # (N, 2)
        self.widths, self.heights = table[:, 0], table[:, 1]

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, number: int) -> StoredLine:
        """Line `number` with its image's bytes.

        Raises:
            ImageError: The image's file is gone, or too large.
        """
        line = self._lines[number]
        data = read_image_file(self._manifest.file(line), self.line_name(number))
        return StoredLine(data, line.text, line.path)

    @property
    def label_lengths(self) -> np.ndarray:
        """(N,) int32, characters."""
        return np.array([len(line.text) for line in self._lines], np.int32)

    @property
    def characters(self) -> str:
        """The characters of all labels, each once, in order."""
        return read_characters(line.text for line in self._lines)

    def text(self, number: int) -> str:
        """The cleaned label of line `number`."""
        return self._lines[number].text

    def line_name(self, number: int) -> str:
        """How errors call line `number`: by its number in the file, from 1, and its image."""
        line = self._lines[number]
        return f"line {line.line_number} of {self.path}, {line.path}"

    def _sizes(self, lines: list[AnnotatedLine]) -> list[tuple[int, int] | str]:
        return [self._size(line) for line in lines]

    def _size(self, line: AnnotatedLine) -> tuple[int, int] | str:
        """Width and height from the image's header, or why there are none."""
        file = self._manifest.file(line)
        try:
            with open_input(file, pipes=False) as stream, Image.open(stream) as image:
                width, height = image.size
                plain = image.format != "EPS" and not {"exif", "xmp", "Raw profile type exif"} & set(
                    image.info
                )
                if plain and 0 < width * height <= MAX_PIXELS:
                    return width, height
        except Exception:  # decoders raise anything: `open_line` says what it means
            pass
        try:
            return open_line(file, line.path).size
        except ImageError as error:
            return error.problem.removeprefix(f"{line.path}: ")


def holds_annotations(path: Path) -> bool:
    """Whether a path names an annotation file, rather than a database."""
    if path.exists():
        return path.is_file() and path.suffix.lower() != ".mdb"
    return path.suffix.lower() in (".txt", ".tsv", ".csv")


def open_lines(
    path: Path, images: Path | None = None, on_progress: OnProgress = ignore_progress
) -> LineStore | AnnotatedLines:
    """Opens a database or an annotation file.

    Args:
        path: Of either.
        images: The folder that an annotation file's paths start from; its own by default.
        on_progress: Called with the number of lines looked at since the last call: images of an annotation
            file; lines of a database that carries no index.

    Raises:
        DataError: It is missing, damaged, or holds no line that can be used.
    """
    if holds_annotations(path):
        return AnnotatedLines(read_annotations(path, images), on_progress)
    store = LineStore(path)
    if not len(store):
        raise DataError(f"{path} holds no lines.", "Build it anew with `vocr build-lmdb`.")
    store.survey(on_progress)
    return store
