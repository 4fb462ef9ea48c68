"""Which columns of a table hold image and text: found by what their cells hold, by their names second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.readers.lists.find_images import ImageFolder, Located, cell_names
from vocr_cli.core.data.readers.source_options import Columns
from vocr_cli.core.data.readers.tables.cells import (
    CUT_LINES,
    TEXT_NAMES,
    CellKind,
    fields_of,
    kind_of,
    marks_region,
    text_of,
)
from vocr_cli.core.errors import DataError

IMAGE_NAMES = (
    "image", "file_name", "filename", "image_path", "img_path", "path", "file", "img", "image_name",
    "img_name", "image_file", "image_file_name", "file_path", "filepath", "name", "key", "image_id", "id",
)  # fmt: skip
"""What columns of images are usually called, the likeliest first; case is ignored."""

_PAGE_WIDTH = "original_width"
_SAY = "Say so: --columns image=NAME,text=NAME."
_NOT_TEXTS = {"flags", "error", "annotator", "created_at", "updated_at", "id", "font", "lang", "language"}
"""Columns of `vocr infer`, Label Studio and renderers that hold words, but none that an image shows."""

_FEW = 0.5  # a column with so few different numbers for its rows holds classes, not readings


@dataclass
class _Column:
    """What the sample of a column holds.

    Attributes:
        name: Of the column.
        cells: Those of the sample that hold something.
        located: Where its images lie, if it holds names.
        kinds: How many cells are of each kind.
    """

    name: str
    cells: list[Any]
    located: Located | None = None
    kinds: dict[CellKind, int] = field(default_factory=dict)

    @property
    def kind(self) -> CellKind:
        """The kind of most cells; images are names that lead to one, too."""
        return max(self.kinds, key=lambda kind: self.kinds[kind]) if self.kinds else "nothing"

    @property
    def share_of_images(self) -> float:
        """How many of its cells are images, or lead to one."""
        inside = self.kinds.get("image", 0) / max(len(self.cells), 1)
        return max(inside, self.located.share if self.located is not None else 0.0)

    @property
    def looks_like_names(self) -> bool:
        names = [name for cell in self.cells for name in cell_names(cell)]
        return bool(names) and sum(map(is_image_name, names)) > len(names) / 2

    @property
    def last_name(self) -> str:
        """The name without the names of what it lies in: `text` of `instances.text`."""
        return self.name.rpartition(".")[2].strip().lower()

    def rank(self, usual: Sequence[str]) -> int:
        """The place of its name among the usual ones; their number if it is none of them."""
        whole = self.name.strip().lower()
        return next((i for i, name in enumerate(usual) if name in (whole, self.last_name)), len(usual))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The columns that were chosen.

    Attributes:
        image: Name of the column of images.
        text: Of the column of texts; empty: there is none, and none is needed.
        located: Where the images lie, if they are files.
        has_images: Whether images of the sample are in the column, or where it says.
        of_documents: Whether texts lie within JSON documents.
        note: What else might have been meant; empty: nothing.
    """

    image: str
    text: str
    located: Located
    has_images: bool
    of_documents: bool
    note: str


def choose_columns(
    where: str,
    names: Sequence[str],
    sample: Sequence[Sequence[Any]],
    wanted: Columns,
    folder: ImageFolder,
    *,
    need_text: bool = True,
) -> Choice:
    """Chooses the columns of image and text.

    A column whose cells are images, or names of files that are there, holds the images; names decide between
    several. Of the others, one with a usual name whose cells are texts holds the texts, then one whose cells
    are numbers; without a usual name, the only one with texts.

    Args:
        where: Names the table in errors.
        names: Of all columns.
        sample: The first rows, a cell for each name.
        wanted: What the user says.
        folder: Where the images' paths start.
        need_text: Whether a table without texts is refused.

    Raises:
        DataError: A column that was named is not there, or it is not clear which is meant.
    """
    for asked in (wanted.image, wanted.text):
        if asked and asked not in names:
            raise DataError(
                f"{where} has no column {asked!r}; it has {', '.join(names)}.", "Correct --columns."
            )
    columns = [_column(name, [row[index] for row in sample]) for index, name in enumerate(names)]
    _refuse_boxes(where, columns)
    image = _image_column(where, columns, wanted.image, folder)
    rest = [column for column in columns if column is not image]
    text = _text_column(where, rest, wanted.text, need_text)
    others = [column.name for column in rest if text and column is not text and _rivals(column, text)]
    return Choice(
        image=image.name,
        text=text.name if text is not None else "",
        located=image.located or folder.locate([], deep=False),
        has_images=image.share_of_images > 0,
        of_documents=text is not None and text.kind == "document",
        note=f"{', '.join(others)} {'holds' if len(others) == 1 else 'hold'} text as well" if others else "",
    )


def _column(name: str, cells: Sequence[Any]) -> _Column:
    column = _Column(name, [cell for cell in cells if kind_of(cell) != "nothing"])
    for cell in column.cells:
        kind = kind_of(cell)
        column.kinds[kind] = column.kinds.get(kind, 0) + 1
    return column


def _image_column(where: str, columns: list[_Column], wanted: str, folder: ImageFolder) -> _Column:
    candidates = [column for column in columns if column.name == wanted] if wanted else columns
    for deep in (False, True):
        for column in candidates:
            named = column.looks_like_names or column.rank(IMAGE_NAMES) < len(IMAGE_NAMES) or bool(wanted)
            if not deep or named:
                column.located = folder.locate(_file_names(column.cells), deep=deep)
        if any(column.share_of_images for column in candidates):
            break
    if wanted:
        return candidates[0]

    def merit(column: _Column) -> tuple[bool, bool, bool, int]:
        by_stem = column.located is not None and column.located.by_stem
        is_image = column.share_of_images > 0
        # Numbers that happen to be names of images, as of ids, count less than names of images that are lost.
        return is_image and not by_stem, column.looks_like_names, is_image, -column.rank(IMAGE_NAMES)

    best = max(columns, key=merit, default=None)
    if best is None or (not any(merit(best)[:3]) and best.rank(IMAGE_NAMES) == len(IMAGE_NAMES)):
        raise DataError(f"{where}: which column holds the image? {_shown(columns)}.", _SAY)
    return best


def _file_names(cells: Sequence[Any]) -> Iterator[str]:
    for cell in cells:
        if isinstance(cell, dict) and isinstance(cell.get("path"), str) and not cell.get("bytes"):
            yield cell["path"]
        elif isinstance(cell, int) and not isinstance(cell, bool):
            yield str(cell)
        else:
            yield from cell_names(cell)


def _text_column(where: str, columns: list[_Column], wanted: str, need_text: bool) -> _Column | None:
    if wanted:
        return next((column for column in columns if column.name == wanted), None)
    if need_text:
        _refuse_regions(where, [column for column in columns if any(map(marks_region, column.cells))])
    usual = sorted(
        (column for column in columns if column.rank(TEXT_NAMES) < len(TEXT_NAMES)),
        key=lambda column: column.rank(TEXT_NAMES),
    )
    unusual = [column for column in columns if column not in usual and _is_free_text(column)]
    with_text = [column for column in usual if column.kind == "text"]
    with_documents = [column for column in usual if column.kind == "document" and _has_texts(column)]
    with_numbers = [column for column in usual if column.kind == "number"]
    if with_numbers and len(unusual) == 1 and all(map(_holds_classes, with_numbers)):
        with_numbers = []  # `label: 3` beside the one column of texts is the number of a class
    chosen = next(iter(chain(with_text, with_documents, with_numbers)), None)
    if chosen is None and len(unusual) == 1:
        chosen = unusual[0]
    if chosen is None and not unusual:  # nothing but empty cells, or what is no text: rows will say so
        boxes = next((column for column in columns if column.kind in ("document", "boxes")), None)
        if boxes is not None and need_text:
            raise _no_text(where, boxes)
        chosen = next((column for column in usual if column.kind in ("nothing", "other")), None)
    if chosen is None and need_text:
        _refuse_regions(where, [column for column in columns if column.last_name == _PAGE_WIDTH])
        raise DataError(f"{where}: which column holds the text? {_shown(columns)}.", _SAY)
    return chosen


def _refuse_boxes(where: str, columns: Sequence[_Column]) -> None:
    """Refuses rows of numbers before a text, without headings: positions on a page, as ICDAR's sets have."""
    numbers = [column.kind == "number" for column in columns[:4]]
    if len(columns) > 4 and all(numbers) and [column.name for column in columns[:2]] == ["1", "2"]:
        raise DataError(
            f"{where} gives positions on a page before each text: labels of text detection.", CUT_LINES
        )


def _refuse_regions(where: str, regions: Sequence[_Column]) -> None:
    """Refuses Label Studio's tasks of pages: of a page with a single line, its text is a text."""
    if regions:
        problem = f"{regions[0].name!r} is of regions of pages (Label Studio), not of lines"
        raise DataError(f"{where}: {problem}.", CUT_LINES)


def _no_text(where: str, column: _Column) -> DataError:
    what = f"{column.name!r} holds JSON documents ({fields_of(column.cells[0])})"
    if column.kind == "boxes":
        return DataError(
            f"{where}: {what}, labels of text detection: positions on a page, not the text of a line.",
            CUT_LINES,
        )
    return DataError(
        f"{where}: {what}, not the text of a line.",
        "Write each line's text into a column of its own, and name it: --columns text=NAME.",
    )


def _has_texts(column: _Column) -> bool:
    return any(text_of(cell) for cell in column.cells)


def _holds_classes(column: _Column) -> bool:
    """Whether its numbers are those of few classes: whole, and small or mostly the same."""
    values = [str(cell) for cell in column.cells]
    few = len(set(values)) <= max(_FEW * len(values), 1) or max(map(len, values)) <= 2
    return few and all(value.isdecimal() for value in values)


def _is_free_text(column: _Column) -> bool:
    """Whether it holds texts that differ, with letters, and are no paths, dates or keys."""
    if column.kind != "text" or column.looks_like_names or column.last_name in _NOT_TEXTS:
        return False
    values = [str(cell) for cell in column.cells]
    differ = len(values) == 1 or len(set(values)) > max(1, len(values) / 4)
    letters = sum(any(char.isalpha() for char in value) for value in values) > len(values) / 2
    technical = sum(_is_technical(value) for value in values) > len(values) / 2
    return differ and letters and not technical


def _is_technical(value: str) -> bool:
    """Whether it is a path, a time (2024-05-01T…) or a key of hexadecimal digits rather than a text."""
    is_time = len(value) >= 10 and value[:4].isdecimal() and value[4] == "-" and value[7:8] == "-"
    is_key = len(value) >= 16 and all(char in "0123456789abcdef-" for char in value.lower())
    return is_time or is_key or ("/" in value and " " not in value)


def _rivals(column: _Column, text: _Column) -> bool:
    """Whether a column might have been meant in place of the chosen one."""
    usual = column.rank(TEXT_NAMES) < len(TEXT_NAMES)
    return usual and column.kind == "text" and text.kind in ("text", "number", "document")


def _shown(columns: Sequence[_Column]) -> str:
    """The columns and what they hold, for a question."""
    words: dict[CellKind, str] = {
        "nothing": "nothing", "number": "numbers", "text": "text", "document": "JSON", "image": "images",
        "boxes": "boxes", "other": "other things",
    }  # fmt: skip
    listed = "; ".join(f"{column.name!r} holds {words[column.kind]}" for column in columns)
    return f"It has {listed[:400]}" if listed else "It has none"
