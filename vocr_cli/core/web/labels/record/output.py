"""What labelling writes: the annotation file, the list of who changed what, and copies of images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vocr_cli.core.data.readers.annotations import annotation_rows, label_fault
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.text import readable
from vocr_cli.core.web.labels.record.decisions import Decision

_CHANGES_HEADING = ("path", "verdict", "text", "before", "by", "time", "decisions", "reading", "model")
_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


class OutputFiles:
    """The files of one output, all in one folder: of labels.tsv, `labels.…` beside it.

    Attributes:
        labels: The annotation file.
        journal: Each decision, as it was taken.
        changes: Who decided what, when, and what stood there before, a line each.
        images: Copies of images that the annotation file cannot name where they are.
        readings: What models read, so that no restart reads it again.
    """

    def __init__(self, out: Path) -> None:
        self.labels = out
        self.journal = out.with_name(f"{out.stem}.journal.jsonl")
        self.changes = out.with_name(f"{out.stem}.changes.tsv")
        self.images = out.with_name(f"{out.stem}.images")
        self.readings = out.with_name(f"{out.stem}.readings")

    def check(self, source: Path) -> None:
        """Refuses an output that would take the place of something that is not its own.

        Raises:
            DataError: It is the source, or a file that labelling has not written.
        """
        if self.labels.is_dir():
            raise DataError(f"--out {self.labels} is a folder.", "Name a file in it, such as labels.tsv.")
        if self.labels.exists() and source.exists() and os.path.samefile(self.labels, source):
            raise DataError(
                f"--out {self.labels} is what is to be labelled, and the original is never overwritten.",
                "Name another --out file, such as corrected.tsv.",
            )
        if self.labels.exists() and not self.journal.exists():
            raise DataError(
                f"{self.labels} is there, and no {self.journal.name} tells that `vocr label` wrote it.",
                "Name another --out file, or move that one away.",
            )


class OutputNames:
    """Names of images as an annotation file in a folder gives them: relative to it where that makes sense.

    Args:
        folder: Of the annotation file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._names: dict[str, str] = {}  # of folders

    def name(self, file: str) -> str:
        """The name of a file, with slashes on every system."""
        folder, slash, base = file.rpartition("/") if os.sep == "/" else ("", "", "")
        if not slash or not folder:
            folder, base = os.path.split(file)
        named = self._names.get(folder)
        if named is None:
            named = self._names[folder] = self._named(folder)
        return f"{named}/{base}" if named else base

    def _named(self, folder: str) -> str:
        real = os.path.realpath(folder or ".")
        try:
            common = os.path.commonpath([real, self._folder])
        except ValueError:  # another drive
            return real.replace(os.sep, "/")
        if common == os.path.dirname(common):  # nothing but the root: the way there says nothing
            return real.replace(os.sep, "/")
        relative = os.path.relpath(real, self._folder).replace(os.sep, "/")
        return "" if relative == "." else relative


def row_fault(name: str, text: str) -> str:
    """Why no reader would find this label again in an annotation file, or nothing."""
    try:
        row = f"{name}\t{text}".encode()
    except UnicodeEncodeError:
        return "it holds what UTF-8 cannot write"
    if b"\n" in row or b"\r" in row:
        return "it holds a line break"
    read = list(annotation_rows(row))
    if len(read) != 1:
        return "a reader would take it for a heading"
    if fault := read[0].fault or label_fault(text):
        return fault
    return "" if (read[0].path, read[0].label) == (name, text) else "a reader would see another text"


def is_writable_name(name: str) -> bool:
    """Whether an annotation file can name this image."""
    return not row_fault(name, "a")


def copy_name(name: str, digest: str, suffix: str, rotated: bool) -> str:
    """What a copy of an image is called: by its name's letters and digits, and its content."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(name)).strip("-.")[:60] or "line"
    stem = plain.rsplit(".", 1)[0] if "." in plain else plain
    return f"{stem}-{digest[:12]}{'-r180' if rotated else ''}{suffix}"


def save_copy(folder: Path, name: str, data: bytes) -> None:
    """Puts an image into the folder of copies, on the disk before this returns.

    Raises:
        DataError: It cannot be written.
    """
    try:
        with atomic_write(folder / name, only_writer=True) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise DataError(
            f"The decision is not taken, for {folder / name} cannot be written: {reason_of(error)}.",
            "Free disk space or mend the folder, then decide again; what was taken before is safe.",
        ) from None


def write_labels(path: Path, rows: Iterable[tuple[str, str]]) -> int:
    """Writes the annotation file in one step; returns how many lines it has.

    Raises:
        DataError: It cannot be written.
    """
    return _write(path, (f"{name}\t{text}\n" for name, text in rows))


def write_changes(path: Path, decisions: Iterable[Decision]) -> int:
    """Writes who decided what, in one step; returns how many lines it has, the heading among them.

    Raises:
        DataError: It cannot be written.
    """
    return _write(path, _change_rows(decisions))


def _change_rows(decisions: Iterable[Decision]) -> Iterator[str]:
    yield "\t".join(_CHANGES_HEADING) + "\n"
    for one in decisions:
        values = (one.line, one.verdict, one.text, one.before, one.by, one.time, str(one.version),
                  one.reading, one.model)  # fmt: skip
        yield "\t".join(readable(value).translate(_ESCAPES) for value in values) + "\n"


def _write(path: Path, rows: Iterable[str]) -> int:
    count = 0
    try:
        with atomic_write(path, only_writer=True) as temporary, open(temporary, "wb") as file:
            for row in rows:
                file.write(row.encode())
                count += 1
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {reason_of(error)}.",
            "Every decision is safe in the journal; free disk space, and the file follows.",
        ) from None
    return count
