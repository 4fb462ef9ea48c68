"""Annotation files: one line image a line, `path<TAB>label`, each line checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import MAX_LINE_BYTES, MAX_TEXT_BYTES, read_within
from vocr_cli.core.text import control_characters, describe_character

_WRITE_TABS = "Write each line as path, one tab, label: `lines/0001.png<TAB>Đường Nguyễn Huệ`."
_MOST_CHARACTERS = 10_000
_UTF8 = "Save it as UTF-8, for instance with `iconv -f UTF-16 -t UTF-8`."
_CROP_LINES = "Cut the lines out: PPOCRLabel writes them, and rec_gt.txt, by File, Export Recognition Result."
_DETECTION_LABELS = ('[{"transcription"', '[{"points"', "[{'transcription'", '[{"text"')
_NO_LABEL = "###"
"""What PPOCRLabel and the ICDAR sets write for a line that nobody could read."""


@dataclass(frozen=True)
class AnnotationRow:
    """A row of an annotation file: its number, from 1, path and label as written, or why it has none.

    Attributes:
        number: From 1.
        path: Of the image, as the file gives it.
        label: As written.
        fault: Why the row cannot be used; empty: nothing is known against it.
        content: What it holds.
        remedy: What helps against the fault; empty: to correct the row.
        confidence: Of a reading, 0..1; None: there is none.
    """

    number: int
    path: str
    label: str
    fault: str
    content: str
    remedy: str = ""
    confidence: float | None = None


def annotation_rows(
    content: bytes, separator: str = "\t", has_heading: bool | None = None
) -> Iterator[AnnotationRow]:
    """Yields the rows of an annotation file but blank ones and a heading; labels are not checked.

    A third column that is a confidence (0..1, as `vocr infer` writes it) is passed over, as are empty columns
    at the end.

    Args:
        content: As `annotation_content` gives it.
        separator: Between path and label; all but tabs may stand in labels, too.
        has_heading: Whether the first row is none of the lines; None: if it says `path<TAB>text` or the like.
    """
    is_first = True
    for number, row in enumerate(BytesIO(content), start=1):
        row = row.removesuffix(b"\n")
        if not row.strip(b" "):
            continue
        was_first, is_first = is_first, False
        if was_first and (_is_heading(row) if has_heading is None else has_heading):
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
        parts = written.split("\t") if separator == "\t" else _parted(written, separator)
        columns = significant_columns(parts)
        fault, remedy = _fault(columns, separator)
        path, label = [*columns, ""][:2]
        confidence = float(parts[2]) if len(parts) > 2 == len(columns) and _is_confidence(parts[2]) else None
        yield AnnotationRow(number, path.strip(), label, fault, "\t".join(columns), remedy, confidence)


def annotation_content(path: Path, *, pipes: bool = True) -> bytes:
    """An annotation file's content, without BOM, lines ended by a line feed.

    Raises:
        DataError: The file is missing, unreadable, empty or UTF-16.
    """
    try:
        content = read_within(path, MAX_TEXT_BYTES, pipes=pipes)
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
    return content


def no_columns(path: Path, first: str) -> DataError:
    """The error of a text file in whose rows nothing stands between a path and a label."""
    return DataError(
        f"{path}: no line has a tab, or an image's name before a comma or a space; "
        f"the first line is {first.strip()[:60]!r}.",
        _WRITE_TABS,
    )


def label_fault(text: str) -> str:
    """Why a cleaned label cannot be used, or nothing."""
    if not text:
        return "the label is empty"
    if len(text) > _MOST_CHARACTERS:
        return f"{len(text):,} characters are no line of text"
    return (
        f"`{_NO_LABEL}` is no label: nobody could read the line"
        if text == _NO_LABEL
        else _control_fault(text)
    )


def significant_columns(columns: list[str]) -> list[str]:
    """A row's columns without empty ones at the end, and without a confidence in the third."""
    count = len(columns)
    while count > 2 and not columns[count - 1].strip():
        count -= 1
    if count == 3 and _is_confidence(columns[2]):
        count = 2
    return columns[:count]


def _is_heading(row: bytes) -> bool:
    first, second = (column.strip().lower() for column in [*row.split(b"\t"), b""][:2])
    return first in {b"path", b"image", b"file", b"filename"} and second in {b"text", b"label"}


def _parted(row: str, separator: str) -> list[str]:
    path, found, label = row.strip().partition(separator)
    return [path, label] if found else [path]


def _fault(columns: list[str], separator: str) -> tuple[str, str]:
    """Why a row's columns cannot be used, and what helps; or nothing."""
    if len(columns) == 1:
        name = {"\t": "tab", " ": "space"}.get(separator, repr(separator))
        return f"no {name} between path and label", ""
    if len(columns) > 2:
        return f"{len(columns)} columns: a label cannot hold a tab", ""
    if not columns[0].strip():
        return "no path before the label", ""
    if columns[1].lstrip().startswith(_DETECTION_LABELS):
        return "a label of text detection (PaddleOCR), positions on a page", _CROP_LINES
    return _control_fault(columns[0].strip()), ""


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
