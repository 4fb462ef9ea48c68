"""The text that a page of a PDF has before its own is laid over it.

What an earlier OCR left, unseen, gives way: what is searched for would be found twice, and copied as both
say. What is seen stays, and is not said again where it says the same. Many Vietnamese PDFs show right letters
and hold wrong ones (TCVN3, VNI): there the line that was read is laid over, so that it is found.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vocr_cli.core.pages.inputs.pdf import PDFIUM_LOCK

if TYPE_CHECKING:
    from pikepdf import Object, Pdf
    from pikepdf import Page as PdfPage

_UNSEEN = re.compile(rb"\b3\s+Tr\b")
_SHOWS = re.compile(rb"(Tj|TJ|['\"])\s")
_SAME = 0.88  # of the characters: letters with marks are a quarter of Vietnamese, and wrong letters so many
_DEEPEST = 8  # forms within forms


def remove_unseen_text(pdf: Pdf, page: PdfPage) -> None:
    """Takes text that is not seen off a page: text rendering mode 3, as OCR programs write it."""
    import pikepdf

    streams = _streams(page.obj.get("/Contents"))
    if any(_UNSEEN.search(_bytes(stream)) for stream in streams):
        page.obj.Contents = pikepdf.Stream(pdf, _seen_instructions(page))
    for form in _forms(page.obj.get("/Resources"), _DEEPEST):
        if _UNSEEN.search(_bytes(form)):
            form.write(_seen_instructions(form))


class SeenText:
    """The characters that are seen on a page, and where.

    Args:
        page: Without what is not seen.
    """

    def __init__(self, page: PdfPage) -> None:
        self._chars, self._middles = "", np.zeros((0, 2))
        contents = [*_streams(page.obj.get("/Contents")), *_forms(page.obj.get("/Resources"), _DEEPEST)]
        if any(_SHOWS.search(_bytes(each)) for each in contents):
            self._chars, self._middles = _characters(page)

    def says(self, text: str, corners: Iterable[Sequence[float]]) -> bool:
        """Whether what is seen between these corners, in units of the page, is this text."""
        if not self._chars:
            return False
        box = np.array(list(corners), float)
        low, high = box.min(axis=0), box.max(axis=0)
        inside = np.flatnonzero(((self._middles >= low) & (self._middles <= high)).all(axis=1))
        here = Counter(_composed(self._chars[index] for index in inside))
        read = Counter(_composed(text.split()))
        return (here & read).total() >= _SAME * max(here.total(), read.total(), 1)


def _characters(page: PdfPage) -> tuple[str, np.ndarray]:
    """The characters of a page but for spaces, and (N, 2) the middles of their boxes."""
    import pikepdf
    import pypdfium2

    file = io.BytesIO()
    with pikepdf.new() as alone:
        alone.pages.append(page)
        alone.save(file)
    chars, middles = [], []
    with PDFIUM_LOCK:
        try:
            document = pypdfium2.PdfDocument(file.getvalue())
            textpage = document[0].get_textpage()
            text = textpage.get_text_range()
            for index in range(min(len(text), textpage.count_chars())):
                if not text[index].isspace():
                    left, bottom, right, top = textpage.get_charbox(index)
                    chars.append(text[index])
                    middles.append(((left + right) / 2, (bottom + top) / 2))
            textpage.close()
            document.close()
        except pypdfium2.PdfiumError:
            return "", np.zeros((0, 2))
    return "".join(chars), np.array(middles).reshape(-1, 2)


def _composed(pieces: Iterable[str]) -> str:
    return unicodedata.normalize("NFC", "".join(pieces))


def _seen_instructions(stream: Any) -> bytes:
    """A stream but for what shows text in mode 3."""
    import pikepdf

    kept, before, mode = [], [], 0
    for instruction in pikepdf.parse_content_stream(stream):
        name = str(instruction.operator)
        if name == "q":
            before.append(mode)
        elif name == "Q" and before:
            mode = before.pop()
        elif name == "Tr" and instruction.operands:
            mode = int(instruction.operands[0])
        elif mode == 3 and name in ("Tj", "TJ"):
            continue
        elif mode == 3 and name in ("'", '"'):  # they begin a new line, too
            instruction = pikepdf.ContentStreamInstruction([], pikepdf.Operator("T*"))
        kept.append(instruction)
    return bytes(pikepdf.unparse_content_stream(kept))


def _forms(resources: Object | None, depth: int) -> list[Any]:
    """The pieces of pages that a page is made of, and those that they are made of."""
    found: list[Any] = []
    objects = resources.get("/XObject") if resources is not None else None
    if objects is None or not depth:
        return found
    for each in objects.as_dict().values():
        if each.get("/Subtype") == "/Form":
            found += [each, *_forms(each.get("/Resources"), depth - 1)]
    return found


def _streams(contents: Object | None) -> list[Any]:
    import pikepdf

    if contents is None:
        return []
    return list(contents.as_list()) if isinstance(contents, pikepdf.Array) else [contents]


def _bytes(stream: Any) -> bytes:
    return bytes(stream.read_bytes())
