"""The formats of a document: what each is called, what it is written to, and what writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.pages.outputs.text import TextOptions, json_line, markdown, plain_text, table_rows
from vocr_cli.core.pages.page import Page

FormatName = Literal["txt", "md", "jsonl", "tsv", "hocr", "alto", "page", "pdf"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

PAGE_BREAK = "\f"
"""Between the pages of a document in plain text, as pdftotext and Tesseract write it."""


@dataclass(frozen=True)
class FormatOptions:
    """How documents are written.

    Attributes:
        text: How lines become text.
    """

    text: TextOptions = TextOptions()


PageText = Callable[[Page, TextOptions], str]
_TEXTS: dict[str, PageText] = {
    "txt": plain_text,
    "md": markdown,
    "jsonl": json_line,
    "tsv": table_rows,
}
_BETWEEN = {"txt": PAGE_BREAK, "md": "\n---\n\n"}


def page_text(page: Page, form: FormatName, options: FormatOptions, first: bool) -> str:
    """A page in a format of text; what parts it from the page before comes first."""
    return ("" if first else _BETWEEN.get(form, "")) + _TEXTS[form](page, options.text)


def target(out: Path, stem: str, form: FormatName) -> Path:
    """The file that a document is written to."""
    return out / f"{stem}.{form}"


def is_written(out: Path, stem: str, form: FormatName, pages: int) -> bool:
    """Whether the output of a document is there."""
    return target(out, stem, form).is_file()


def write_document(
    out: Path, stem: str, form: FormatName, pages: Iterable[Page], count: int, options: FormatOptions
) -> None:
    """Writes a document in one step.

    Raises:
        DataError: It cannot be written.
    """
    file = target(out, stem, form)
    try:
        with atomic_write(file, only_writer=True) as temporary, temporary.open("w", encoding="utf-8") as text:
            for index, page in enumerate(pages):
                text.write(page_text(page, form, options, not index))
    except OSError as error:
        raise DataError(
            f"{file} cannot be written: {reason_of(error)}.", "Free disk space, or name another --out folder."
        ) from None
