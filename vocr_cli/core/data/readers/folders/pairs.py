"""Folders of line images with a label beside each: `1.png` and `1.gt.txt`, `1.txt` or `1.json`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.data.readers.tables.cells import CUT_LINES, holds_boxes, text_in
from vocr_cli.core.errors import reason_of
from vocr_cli.core.machine.files.input_file import MAX_LINE_BYTES, parse_json, read_within

GROUND_TRUTH = ".gt.txt"
LABEL_SUFFIXES = (GROUND_TRUTH, ".txt", ".json")
"""What labels beside images end in; where there are several kinds, the first is taken."""

_INNER = ("", ".bin", ".nrm", ".dew")  # kraken calls its binarised images line.bin.png and the like
_LABEL_FOLDERS = {
    "images",
    "image",
    "imgs",
    "img",
    "labels",
    "label",
    "texts",
    "text",
    "gt",
    "txt",
    "transcriptions",
}
_YOLO_ROW = re.compile(r"\d+( -?\d*\.\d+){4,}\s*")
_BOXES = "positions on a page in its label (YOLO, LabelMe), not a text"


class PairFolder:
    """Images and the labels beside them, as kraken, tesstrain and VNOnDB's extractor write them.

    Images without a label, and labels without an image, are bad entries. Labels may also lie in a folder
    beside that of the images: `images/1.png` and `labels/1.txt` are a pair.

    Args:
        path: The folder.
        images: Files below it, relative to it.
        labels: The same, of one kind.
        suffix: What the labels end in.
    """

    uses = frozenset[str]()

    def __init__(self, path: Path, images: Sequence[str], labels: Sequence[str], suffix: str) -> None:
        self.path, self._suffix = path, suffix
        self.layout = f"images beside {suffix} files"
        self.notes: list[str] = []
        is_parted = not {os.path.splitext(file)[0] for file in images} & {
            _stem(file, suffix) for file in labels
        }
        key = _without_label_folders if is_parted else str
        self._images: dict[str, str] = {}
        self._doubles: list[str] = []
        for file in sorted(images):
            if self._images.setdefault(key(os.path.splitext(file)[0]), file) != file:
                self._doubles.append(file)
        self._labels = {key(_stem(file, suffix)): file for file in labels}
        stems = {stem for stem in self._images if not self._belongs_to_another(stem)}
        self._stems = sorted(stems | self._labels.keys())

    @property
    def lines(self) -> int:
        """The number of pairs, incomplete ones included."""
        return len(self._stems) + len(self._doubles)

    def __iter__(self) -> Iterator[Entry]:
        for number, stem in enumerate(self._stems, start=1):
            image, label = self._image_of(stem), self._labels.get(stem)
            if image is None:
                yield Entry(number, self._labels[stem], "", b"", "no image beside it")
            elif label is None:
                wanted = os.path.splitext(image)[0] + self._suffix
                yield Entry(number, image, "", b"", f"no {wanted} beside it")
            else:
                yield self._entry(number, image, label)
        for number, image in enumerate(self._doubles, start=len(self._stems) + 1):
            yield Entry(number, image, "", b"", "another image of its name is taken with their label")

    def fingerprint(self) -> str:
        """A fingerprint of the names, sizes and times of the labels, and the images' names."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape"))
        for stem in self._stems:
            digest.update(f"\n{stem} {self._image_of(stem)} ".encode("utf-8", "surrogateescape"))
            if (label := self._labels.get(stem)) is not None:
                digest.update(stamp(self.path / label).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _entry(self, number: int, image: str, label: str) -> Entry:
        file = self.path / label
        try:
            content = read_within(file, MAX_LINE_BYTES, pipes=False)
        except OSError as error:
            return Entry(number, image, "", b"", f"no {label} that can be read: {reason_of(error)}")
        try:
            text = content.decode("utf-8-sig")
            text, fault = _of_json(text) if self._suffix == ".json" else (text, "")
        except UnicodeDecodeError:
            return Entry(number, image, "", b"", f"{label} is not UTF-8")
        rows = text.strip().splitlines()
        if not fault and rows and all(map(_YOLO_ROW.fullmatch, rows)):
            fault = _BOXES
        elif not fault and len(rows) > 1:
            fault = "more than one line in its label"
        remedy = CUT_LINES if fault == _BOXES else ""
        return Entry(number, image, text, str(self.path / image), fault, remedy=remedy)

    def _image_of(self, stem: str) -> str | None:
        kinds = (self._images.get(stem + inner) for inner in _INNER)
        return next((image for image in kinds if image is not None), None)

    def _belongs_to_another(self, stem: str) -> bool:
        """Whether it is the binarised or normalised form of a labelled line."""
        inner = stem.rpartition(".")
        return stem not in self._labels and inner[0] in self._labels and f".{inner[2]}" in _INNER[1:]


def labels_beside(images: Sequence[str], others: Sequence[str], suffix: str) -> list[str]:
    """Those of other files that have an image's name and a suffix, in its folder or one beside it."""
    candidates = [file for file in others if file.lower().endswith(suffix)]
    for key in (str, _without_label_folders):
        stems = {key(os.path.splitext(image)[0]) for image in images}
        if labels := [file for file in candidates if key(_stem(file, suffix)) in stems]:
            return labels
    return []


def _stem(label: str, suffix: str) -> str:
    return label[: -len(suffix)]


def _without_label_folders(stem: str) -> str:
    """What an image and its label have in common where folders part them: `a/1` of `labels/a/1`."""
    *folders, name = Path(stem).parts
    return os.path.join("", *(part for part in folders if part.lower() not in _LABEL_FOLDERS), name)


def _of_json(content: str) -> tuple[str, str]:
    """The text in a JSON label, or why there is none."""
    try:
        values = parse_json(content)
    except ValueError as error:
        return "", f"its label is not JSON: {error}"
    text = text_in(values)
    if text is not None:
        return text, ""
    return "", _BOXES if holds_boxes(values) else "no text in its .json"
