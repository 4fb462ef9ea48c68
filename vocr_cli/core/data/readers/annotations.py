"""Annotation files: one line image a line, `path<TAB>label`, each line checked."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import MAX_LINE_BYTES, MAX_TEXT_BYTES, read_within
from vocr_cli.core.text import clean, control_characters, describe_character

_SEPARATORS = {",": "commas", ";": "semicolons", "|": "vertical bars", " ": "spaces"}
_WRITE_TABS = "Write each line as path, one tab, label: `lines/0001.png<TAB>Đường Nguyễn Huệ`."
_DETECTION_LABEL = '[{"transcription"'
_MOST_CHARACTERS = 10_000
_UTF8 = "Save it as UTF-8, for instance with `iconv -f UTF-16 -t UTF-8`."


@dataclass(frozen=True)
class AnnotatedLine:
    """A usable line of an annotation file.

    Attributes:
        path: Of the image, as the file gives it.
        text: The cleaned label.
        line_number: In the file, from 1.
    """

    path: str
    text: str
    line_number: int


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used.

    Attributes:
        line_number: In the file, from 1.
        reason: Why it cannot be used.
        content: What it holds.
    """

    line_number: int
    reason: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an annotation file holds.

    Attributes:
        source: The annotation file.
        images_root: The folder that relative paths start from.
        lines: The usable lines, in file order.
        bad: The others.
        normalised: How many labels were brought into Unicode form NFC.
        duplicates: (path, line numbers) of paths that stand in the file more than once; all are kept.
    """

    source: Path
    images_root: Path
    lines: list[AnnotatedLine]
    bad: list[BadLine]
    normalised: int
    duplicates: list[tuple[str, list[int]]]

    def file(self, line: AnnotatedLine) -> Path:
        """The file of a line's image."""
        return Path(image_file(str(self.images_root), line.path))


def read_annotations(path: Path, images_root: Path | None = None) -> Manifest:
    """Reads and checks an annotation file.

    UTF-8 with or without BOM, any line ends. A third column that is a confidence (0..1, as `vocr infer`
    writes it) is passed over, as are empty columns at the end, blank lines and a heading.

    Args:
        path: The annotation file.
        images_root: The folder that relative paths start from; the file's own by default.

    Raises:
        DataError: The file is missing, unreadable or empty, no line has a tab, or `images_root` is no folder.
    """
    content = annotation_content(path)
    root = existing_root(path.parent if images_root is None else images_root)
    lines: list[AnnotatedLine] = []
    bad: list[BadLine] = []
    normalised = 0
    for row in annotation_rows(content):
        text = clean(row.label)
        reason = row.fault or label_fault(text)
        if reason:
            bad.append(BadLine(row.number, reason, row.content))
            continue
        lines.append(AnnotatedLine(row.path, text, row.number))
        normalised += not unicodedata.is_normalized("NFC", row.label)
    return Manifest(
        source=path,
        images_root=root,
        lines=lines,
        bad=bad,
        normalised=normalised,
        duplicates=_duplicates(lines),
    )


def image_file(root: str, name: str) -> str:
    """The file of an image of that name; backslashes of Windows paths are understood everywhere."""
    file = os.path.join(root, name)
    if "\\" in name and os.sep == "/" and not os.path.exists(file):
        return os.path.join(root, name.replace("\\", "/"))
    return file


def existing_root(folder: Path) -> Path:
    """Checks the folder that paths start from.

    Raises:
        DataError: It is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"The images folder {folder} does not exist.", "Correct --images.")
    return folder


@dataclass(frozen=True)
class AnnotationRow:
    """A row of an annotation file: its number, from 1, path and label as written, or why it has none."""

    number: int
    path: str
    label: str
    fault: str
    content: str


def annotation_rows(content: bytes) -> Iterator[AnnotationRow]:
    """Yields the rows of an annotation file but blank ones and a heading; labels are not checked."""
    for number, row in enumerate(BytesIO(content), start=1):
        row = row.removesuffix(b"\n")
        if not row.strip(b" "):
            continue
        if len(row) > MAX_LINE_BYTES:
            fault = f"{len(row):,} bytes are no line of a list"
            yield AnnotationRow(number, "", "", fault, row[:400].decode("utf-8", "replace"))
            continue
        try:
            written = row.decode("utf-8")
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: byte 0x{row[error.start]:02X} at position {error.start + 1}"
            yield AnnotationRow(number, "", "", reason, row.decode("utf-8", "replace"))
            continue
        columns = _significant(written.split("\t"))
        if number == 1 and _is_heading(columns):
            continue
        fault = _fault(columns)
        path, label = [*columns, ""][:2]
        yield AnnotationRow(number, path.strip(), label, fault, "\t".join(columns))


def annotation_content(path: Path) -> bytes:
    """An annotation file's content, without BOM, lines ended by a line feed.

    Raises:
        DataError: The file is missing, unreadable, empty, UTF-16, or no line has a tab.
    """
    try:
        content = read_within(path, MAX_TEXT_BYTES)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            raise DataError(f"No annotation file at {path}.", "Check the path.") from None
        raise DataError(
            f"{path} cannot be read: {reason_of(error)}.", "Name an annotation file: path, tab, label."
        ) from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16.", _UTF8)
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    if not content.strip():
        raise DataError(f"{path} is empty.", _WRITE_TABS)
    if b"\t" not in content:
        instead = _found_instead(content[:20_000].split(b"\n"))
        raise DataError(f"{path}: no line has a tab; {instead}.", _WRITE_TABS)
    return content


def label_fault(text: str) -> str:
    """Why a cleaned label cannot be used, or nothing."""
    if len(text) > _MOST_CHARACTERS:
        return f"{len(text):,} characters are no line of text"
    return _control_fault(text) if text else "the label is empty"


def _found_instead(rows: list[bytes]) -> str:
    """What an annotation file without tabs seems to hold."""
    sample = [row.decode("utf-8", "replace").strip() for row in rows if row.strip()][:100]
    counts = {name: sum(mark in row for row in sample) for mark, name in _SEPARATORS.items()}
    separator = next((name for name, count in counts.items() if count == len(sample)), None)
    if separator is not None:
        return f"columns seem to be parted by {separator} ({sample[0][:60]!r})"
    return f"the first line is {sample[0][:60]!r}"


def _is_heading(columns: list[str]) -> bool:
    first, second = (column.strip().lower() for column in [*columns, ""][:2])
    return first in {"path", "image", "file", "filename"} and second in {"text", "label"}


def _significant(columns: list[str]) -> list[str]:
    """A row's columns without empty ones at the end, and without a confidence in the third."""
    count = len(columns)
    while count > 2 and not columns[count - 1].strip():
        count -= 1
    if count == 3 and _is_confidence(columns[2]):
        count = 2
    return columns[:count]


def _fault(columns: list[str]) -> str:
    """Why a row's columns cannot be used, or nothing."""
    if len(columns) == 1:
        return "no tab between path and label"
    if len(columns) > 2:
        return f"{len(columns)} columns: a label cannot hold a tab"
    if not columns[0].strip():
        return "no path before the tab"
    if columns[1].lstrip().startswith(_DETECTION_LABEL):
        return "a label of text detection (PaddleOCR): crop the lines first"
    return _control_fault(columns[0].strip())


def _control_fault(text: str) -> str:
    strange = [] if text.isprintable() else control_characters(text)
    return (
        f"control characters: {', '.join(map(describe_character, dict.fromkeys(strange)))}" if strange else ""
    )


def _is_confidence(column: str) -> bool:
    try:
        return 0 <= float(column) <= 1
    except ValueError:
        return False


def _duplicates(lines: list[AnnotatedLine]) -> list[tuple[str, list[int]]]:
    counts = Counter(line.path for line in lines)
    numbers: dict[str, list[int]] = {path: [] for path, count in counts.items() if count > 1}
    for line in lines if numbers else ():
        if line.path in numbers:
            numbers[line.path].append(line.line_number)
    return list(numbers.items())
