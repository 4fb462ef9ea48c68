"""How a text file lists images and texts: by what they are parted, in which columns, with a heading or not.

Found out with its first rows, by where names of images stand in them.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.readers.annotations import significant_columns
from vocr_cli.core.data.readers.lists.find_images import ImageFolder, cell_names
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.data.readers.tables.cells import TEXT_NAMES
from vocr_cli.core.data.readers.tables.columns import IMAGE_NAMES
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import open_input

SEPARATORS = ("\t", "||||", "|||", "||", ";", ",", "|", " ")
"""What may stand between an image and its text, the likeliest first of those that fit equally well."""

_HEAD_BYTES = 1 << 18
_SAMPLE_ROWS = 100
_PLAIN_HEADINGS = (["text"], ["label"], ["text", "confidence"])


class TextForm(NamedTuple):
    """How rows are made.

    Attributes:
        separator: Between columns; empty: none was found.
        is_table: Whether a row has named or quoted fields; else it is an image's path, and the rest its text.
        has_heading: Whether the first row names the columns; None: nobody has looked.
        text_first: Whether of two columns the first is the text.
        images: Rows of the sample in which an image is named.
        first: The first row, for errors.
    """

    separator: str
    is_table: bool = False
    has_heading: bool | None = False
    text_first: bool = False
    images: int = 0
    first: str = ""


def text_form(path: Path, folder: ImageFolder, options: SourceOptions) -> TextForm:
    """Finds out how a text file is made.

    Args:
        path: The file.
        folder: What its paths start from.
        options: What the user says of it.

    Raises:
        DataError: It has not the separator that the user names, or cannot be read.
    """
    if not path.is_file():  # a pipe is read once; of what is none either, whoever reads it says so
        return TextForm(options.separator or "\t", has_heading=None if options.header else False)
    rows = _first_rows(path)
    if not rows:
        return TextForm("")
    separator, images = options.separator, 0
    if separator:
        if not any(separator in row for row in rows):
            raise DataError(f"{path}: no row has {separator!r}, the --separator.", "Name another, or none.")
        images, text_first = _images_by(separator, rows, folder)
    else:
        counted = [(*_images_by(mark, rows, folder), mark) for mark in SEPARATORS]
        images, text_first, separator = max(counted, key=lambda found: found[0])
        if not images:
            separator, text_first = _by_names(path, rows), False
    form = TextForm(separator, text_first=text_first, images=images, first=rows[0])
    if not separator:
        return form
    is_table, has_heading = _is_table(path, rows, form, folder, options)
    return form._replace(is_table=is_table, has_heading=has_heading)


def _first_rows(path: Path) -> list[str]:
    try:
        with open_input(path, pipes=False) as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
    text = head.decode("utf-8-sig", "surrogateescape")
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(head) == _HEAD_BYTES and len(rows) > 1:
        rows.pop()  # cut in the middle
    return [row for row in rows if row.strip()][:_SAMPLE_ROWS]


def _images_by(separator: str, rows: Sequence[str], folder: ImageFolder) -> tuple[int, bool]:
    """In how many rows one of the columns, the same in all, names an image; and whether it is the last."""
    most = (0, False)
    for is_last in (False, True):
        names = [(row.rsplit if is_last else row.split)(separator, 1) for row in rows]
        cells = [pair[-1 if is_last else 0].strip().strip('"') for pair in names if len(pair) == 2]
        named = [name for cell in cells for name in cell_names(cell)[:1]]
        looking = sum(map(is_image_name, named))
        share = folder.locate(named, deep=False).share if named else 0.0
        count = max(looking, round(share * len(named)))
        if separator == " " and (is_last or count < len(rows)):
            count = 0  # spaces stand in texts, too: every first word must be an image
        if count > most[0]:
            most = (count, is_last)
    if not most[0] and separator in ("\t", ",", ";", "|"):
        most = (_in_the_middle(separator, rows), False)
    return most


def _in_the_middle(separator: str, rows: Sequence[str]) -> int:
    """In how many rows a column between others names an image."""
    columns = Counter(
        index
        for row in rows
        if separator in row
        for index, cell in enumerate(row.split(separator))
        if is_image_name(cell.strip().strip('"'))
    )
    return max(columns.values(), default=0)


def _by_names(path: Path, rows: Sequence[str]) -> str:
    """What separates the columns where no row names an image: as the file's name says, or tabs."""
    if any("\t" in row for row in rows) and not (path.suffix.lower() == ".csv" and "\t" not in rows[0]):
        return "\t"
    best = max(",;|", key=rows[0].count)
    named = _is_heading([name.strip().lower() for name in rows[0].split(best)])
    return best if best in rows[0] and (path.suffix.lower() == ".csv" or named) else ""


def _is_table(
    path: Path, rows: Sequence[str], form: TextForm, folder: ImageFolder, options: SourceOptions
) -> tuple[bool, bool]:
    """Whether rows have fields rather than a path and a text, and whether the first names the columns."""
    if len(form.separator) > 1 or form.separator == " ":
        return False, False
    first = _fields(rows[0], form.separator)
    names = [name.strip().lower() for name in first]
    asked = [name for name in (options.columns.image, options.columns.text) if name]
    if not options.header:
        heading = False
    elif asked and all(name in first for name in asked):
        heading = True
    else:
        heading = not _names_an_image(first, folder) and (_is_heading(names) or not _is_plain(rows, form))
    if form.separator != "\t":
        return True, heading
    widths = Counter(len(significant_columns(row.split("\t"))) for row in rows)
    as_annotated = names[:1] and names[0] in IMAGE_NAMES and names[1:] in _PLAIN_HEADINGS
    if heading and _is_heading(names) and not as_annotated:
        return True, True
    if asked or form.text_first:
        return True, heading
    width, count = widths.most_common(1)[0]
    wide = width > 2 and count > len(rows) / 2 and len(rows) > 1
    return wide, heading and (wide or _is_heading(names))


def _is_plain(rows: Sequence[str], form: TextForm) -> bool:
    """Whether the first row is made as the others are: none of them names an image, or it is the only one."""
    return len(rows) == 1 or not form.images


def _names_an_image(cells: Sequence[str], folder: ImageFolder) -> bool:
    names = [name for cell in cells for name in cell_names(cell.strip())[:1]]
    return any(map(is_image_name, names)) or folder.locate(names[:1], deep=False).share > 0


def _is_heading(names: Sequence[str]) -> bool:
    return any(name in IMAGE_NAMES for name in names) and any(name in TEXT_NAMES for name in names)


def _fields(row: str, separator: str) -> list[str]:
    if separator == "\t":
        return row.split(separator)
    try:
        return next(csv.reader([row], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a field beyond csv's limit
        return row.split(separator)
