"""Labelled line images that lie in files of their own: annotation files, and images beside their labels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.readers.annotations import (
    annotation_content,
    annotation_rows,
    existing_root,
    image_file,
)
from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.folder_walk import walk_files
from vocr_cli.core.machine.files.input_file import MAX_LINE_BYTES, read_within

GROUND_TRUTH = ".gt.txt"


class AnnotationFile:
    """An annotation file with `path<TAB>label` in each line, as VietOCR and PaddleOCR write it.

    Args:
        path: The annotation file.
        images_root: The folder that relative paths start from; the file's own by default.

    Raises:
        DataError: It is missing, unreadable, empty, or no line has a tab.
    """

    def __init__(self, path: Path, images_root: Path | None = None) -> None:
        self.path = path
        self._content = annotation_content(path)
        self._root = existing_root(path.parent if images_root is None else images_root)

    @property
    def lines(self) -> int:
        """The number of rows, blank ones included."""
        return self._content.count(b"\n") + (not self._content.endswith(b"\n"))

    def __iter__(self) -> Iterator[Entry]:
        root = str(self._root)
        for row in annotation_rows(self._content):
            if row.fault:
                name, _, label = row.content.partition("\t")
                yield Entry(row.number, name, label, b"", row.fault)
            else:
                yield Entry(row.number, row.path, row.label, image_file(root, row.path))

    def fingerprint(self) -> str:
        """A fingerprint of the rows and the images' folder."""
        return f"{hashlib.sha256(self._content).hexdigest()} {self._root.resolve()}"


class PairFolder:
    """A folder of `line.png` + `line.gt.txt`, as kraken and tesstrain have it; folders below it included.

    Images without a label, and labels without an image, are bad entries.

    Args:
        path: The folder.

    Raises:
        DataError: It holds no `.gt.txt`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images: dict[str, str] = {}
        self._labels: set[str] = set()
        self._unlisted: list[OSError] = []
        for found in walk_files(path, self._unlisted.append):
            file = os.path.relpath(found, path)
            if file.endswith(GROUND_TRUTH):
                self._labels.add(file.removesuffix(GROUND_TRUTH))
            elif is_image_name(file):
                # kraken calls its binarised images line.bin.png and the like
                self._images.setdefault(os.path.splitext(file)[0], file)
        if not self._labels:
            raise DataError(
                f"{path} holds no `{GROUND_TRUTH}` files.", "Name a folder of image + .gt.txt pairs."
            )
        stems = {stem for stem in self._images if not self._belongs_to_another(stem)}
        self._stems = sorted(stems | self._labels)

    @property
    def lines(self) -> int:
        """The number of pairs, incomplete ones and folders that cannot be listed included."""
        return len(self._stems) + len(self._unlisted)

    def __iter__(self) -> Iterator[Entry]:
        for number, stem in enumerate(self._stems, start=1):
            image = self._image_of(stem)
            if image is None:
                yield Entry(number, stem + GROUND_TRUTH, "", b"", "no image beside it")
                continue
            try:
                content = read_within(self.path / (stem + GROUND_TRUTH), MAX_LINE_BYTES, pipes=False)
                label = content.decode("utf-8-sig")
            except UnicodeDecodeError:
                yield Entry(number, image, "", b"", f"{stem}{GROUND_TRUTH} is not UTF-8")
            except OSError as error:
                lacking = isinstance(error, FileNotFoundError) and stem not in self._labels
                fault = "beside it" if lacking else f"that can be read: {reason_of(error)}"
                yield Entry(number, image, "", b"", f"no {stem}{GROUND_TRUTH} {fault}")
            else:
                fault = "more than one line in its label" if len(label.strip().splitlines()) > 1 else ""
                yield Entry(number, image, label, str(self.path / image), fault)
        for number, error in enumerate(self._unlisted, start=len(self._stems) + 1):
            folder = os.path.relpath(error.filename, self.path)
            yield Entry(number, folder, "", b"", f"the folder cannot be listed: {reason_of(error)}")

    def fingerprint(self) -> str:
        """A fingerprint of the names, sizes and times of the labels, and the images' names."""
        digest = hashlib.sha256(str(self.path.resolve()).encode())
        for stem in self._stems:
            digest.update(f"\n{stem} {self._image_of(stem)} ".encode("utf-8", "surrogateescape"))
            if stem in self._labels:
                digest.update(stamp(self.path / (stem + GROUND_TRUTH)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _image_of(self, stem: str) -> str | None:
        kinds = (self._images.get(stem + inner) for inner in ("", ".bin", ".nrm", ".dew"))
        return next((image for image in kinds if image is not None), None)

    def _belongs_to_another(self, stem: str) -> bool:
        """Whether it is the binarised or normalised form of a labelled line."""
        inner = stem.rpartition(".")
        return stem not in self._labels and inner[0] in self._labels and inner[2] in {"bin", "nrm", "dew"}
