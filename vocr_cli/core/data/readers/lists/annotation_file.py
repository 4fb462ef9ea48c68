"""Annotation files as a source of labelled lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vocr_cli.core.data.readers.annotations import AnnotationRow, annotation_content, annotation_rows
from vocr_cli.core.data.readers.entries import Entry, writable
from vocr_cli.core.data.readers.folders.splits import split_of_image
from vocr_cli.core.data.readers.lists.find_images import ImageFolder, cell_names
from vocr_cli.core.data.readers.lists.text_form import TextForm
from vocr_cli.core.errors import DataError

_SAMPLE_ROWS = 64
_SPLIT_WORDS = (
    (b"train", b"Train", b"TRAIN"),
    (b"test", b"eval", b"Test", b"TEST"),
    (b"val", b"dev", b"Val"),
)
_SHOWN = {"\t": "tabs", " ": "spaces"}


class AnnotationFile:
    """A file with an image's path, a separator and a label in each line, as most trainers write it.

    VietOCR and PaddleOCR write tabs, older mmocr and TRDG spaces, others `||||`. A JSON list of images before
    the tab, as PaddleOCR has it, gives a line for each of them.

    Args:
        path: The annotation file.
        folder: What the images' paths start from.
        form: What stands between path and label, and whether there is a heading.
        pipes: Whether it may be a pipe, which is waited for.

    Raises:
        DataError: It is missing, unreadable or empty.
    """

    def __init__(self, path: Path, folder: ImageFolder, form: TextForm, *, pipes: bool = False) -> None:
        self.path, self._folder, self._form = path, folder, form
        self.layout = f"list with {_SHOWN.get(form.separator, form.separator)}"
        self.uses = frozenset({"images", "separator", "header"})
        self._content = annotation_content(path, pipes=pipes)
        sample = [
            name
            for row in islice(self._rows(), _SAMPLE_ROWS)
            if not row.fault
            for name in cell_names(row.path)
        ]
        self._located = folder.locate(sample, deep=True)
        self.notes = [f"{path}: {note}." for note in [self._located.note(next(iter(sample), ""))] if note]
        if form.separator != "\t":
            self.notes.insert(
                0, f"{path}: paths and labels are parted by {self.layout.partition(' with ')[2]}."
            )
        self._note_splits()

    def _note_splits(self) -> None:
        """Says so where images lie in folders of several splits: the list puts them together."""
        if sum(any(word in self._content for word in words) for words in _SPLIT_WORDS) < 2:
            return
        names = (name for row in self._rows() for name in cell_names(row.path))
        found = sorted(filter(None, {split_of_image(name) for name in names}))
        if len(found) > 1:
            self.notes.append(
                f"{self.path}: its images lie in folders of several splits: {', '.join(found)}."
            )

    @property
    def finds_images(self) -> bool:
        """Whether images of its first rows are where it says."""
        return self._located.share > 0

    @property
    def lines(self) -> int | None:
        """The number of rows, blank ones included; None: some name several images."""
        if b'["' in self._content:
            return None
        return self._content.count(b"\n") + (not self._content.endswith(b"\n"))

    def __iter__(self) -> Iterator[Entry]:
        for row in self._rows():
            if row.fault:
                name, _, label = row.content.partition("\t")
                yield Entry(row.number, name, label, b"", row.fault, remedy=row.remedy)
                continue
            for name in cell_names(row.path):
                yield self._entry(row, name)

    def fingerprint(self) -> str:
        """A fingerprint of the rows, how they are read, and the images' folder."""
        form, place = self._form, self._located.place
        read = f"{hashlib.sha256(self._content).hexdigest()} {Path(self._folder.root).resolve()}"
        if form.separator == "\t" and not form.has_heading and place == self._folder.here:
            return read  # as it was when all lists were read so: builds of that time can be gone on with
        return f"{read} {form.separator!r} {form.has_heading} {place[1:]}"

    def _rows(self) -> Iterator[AnnotationRow]:
        return annotation_rows(self._content, self._form.separator, self._form.has_heading)

    def _entry(self, row: AnnotationRow, name: str) -> Entry:
        try:
            file = self._located.file(name)
        except DataError as unclear:
            return Entry(row.number, name, row.label, b"", unclear.problem, remedy=unclear.fix)
        return writable(Entry(row.number, name, row.label, file, confidence=row.confidence))
