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
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from vocr_cli.core.pages.inputs.pdf import PDFIUM_LOCK
from vocr_cli.core.pages.inputs.text_layer import characters
from vocr_cli.core.pages.outputs.covering_image import covered_instructions

if TYPE_CHECKING:
    from pikepdf import Page as PdfPage
    from pikepdf import Pdf

    from vocr_cli.core.pages.seen_box import Box

_MODES = re.compile(rb"\bTr\b")
_DRAWS = re.compile(rb"\bDo\b")
_SHOWS = re.compile(rb"(Tj|TJ|['\"])\s")
_UNSEEN = 3
_SHOW_TEXT = ("Tj", "TJ", "'", '"')
_PLACE_TEXT = ("Tm", "Td", "TD", "T*", "'", '"', "ET")
"""Where text goes on is not where the last one ended, behind these."""
_SAME = 0.88  # of the characters: letters with marks are a quarter of Vietnamese, and wrong letters so many


def remove_unseen_text(pdf: Pdf, page: PdfPage, box: Box) -> None:
    """Takes text that is not seen off a page, as OCR programs write it: of mode 3, or below an image.

    Where text that is seen is placed right behind it, it stays.

    Args:
        pdf: The document.
        page: Is changed, and so are the forms on it.
        box: What is seen of the page, in its own units.
    """
    import pikepdf

    content = _content(page)
    if _MODES.search(content) or (_SHOWS.search(content) and _DRAWS.search(content)):
        instructions = pikepdf.parse_content_stream(page)
        covered = covered_instructions(instructions, inherited(page, "/Resources"), box)
        if covered or _MODES.search(content):
            page.obj.Contents = pikepdf.Stream(pdf, _seen_instructions(instructions, covered))
    for form in _forms(page):
        if _MODES.search(bytes(form.read_bytes())):
            form.write(_seen_instructions(pikepdf.parse_content_stream(form)))


def inherited(page: PdfPage, name: str) -> Any:
    """An attribute of a page, or of the branch of the page tree that it is on; None: there is none."""
    node: Any = page.obj
    for _ in range(64):
        if name in node:
            return node[name]
        if "/Parent" not in node:
            break
        node = node["/Parent"]
    return None


class SeenText:
    """The characters that are seen on a page, and where.

    Args:
        page: Without what is not seen.
    """

    def __init__(self, page: PdfPage) -> None:
        self._chars, self._middles = "", np.zeros((0, 2))
        contents = [_content(page), *(bytes(form.read_bytes()) for form in _forms(page))]
        if any(map(_SHOWS.search, contents)):
            self._chars, self._middles = _placed_characters(page)

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


def _placed_characters(page: PdfPage) -> tuple[str, np.ndarray]:
    """The characters of a page but for spaces, and (N, 2) the middles of their boxes."""
    import pikepdf
    import pypdfium2

    file = io.BytesIO()
    with pikepdf.new() as alone:
        alone.pages.append(page)
        alone.save(file)
    chars, middles = [], []
    with PDFIUM_LOCK:
        document = pypdfium2.PdfDocument(file.getvalue())
        textpage = document[0].get_textpage()
        for index, char in characters(textpage):
            if not char.isspace():
                left, bottom, right, top = textpage.get_charbox(index)
                chars.append(char)
                middles.append(((left + right) / 2, (bottom + top) / 2))
        textpage.close()
        document.close()
    return "".join(chars), np.array(middles).reshape(-1, 2)


def _composed(pieces: Iterable[str]) -> str:
    return unicodedata.normalize("NFC", "".join(pieces))


def _seen_instructions(instructions: Sequence[Any], covered: int = 0) -> bytes:
    """A stream but for the text that it shows unseen, by its mode or in the first so many instructions."""
    import pikepdf

    kept: list[Any] = []
    text: list[tuple[Any, bool]] = []  # the text object that is open; whether each shows unseen text
    before, mode = [], 0
    for index, instruction in enumerate(instructions):
        name, operands = str(instruction.operator), instruction.operands
        if name == "q":
            before.append(mode)
        elif name == "Q" and before:
            mode = before.pop()
        elif name == "Tr" and operands and isinstance(operands[0], int | Decimal):
            mode = int(operands[0])
        if name == "BT":
            kept += (each for each, _ in text)
            text = []
        text.append((instruction, name in _SHOW_TEXT and (mode == _UNSEEN or index < covered)))
        if name == "ET":
            kept += _seen_of(text)
            text = []
    return bytes(pikepdf.unparse_content_stream([*kept, *(each for each, _ in text)]))


def _seen_of(text: Sequence[tuple[Any, bool]]) -> Iterator[Any]:
    """A text object but for its unseen text, as far as none that is seen is placed right behind that."""
    gone: set[int] = set()
    waiting: set[int] = set()  # unseen text, and what is next shown may stand behind it
    for index, (instruction, is_unseen) in enumerate(text):
        name = str(instruction.operator)
        if name in _PLACE_TEXT:
            gone |= waiting
            waiting = set()
        elif name in _SHOW_TEXT and not is_unseen:
            waiting = set()
        if is_unseen:
            waiting.add(index)
    for index, (instruction, _) in enumerate(text):
        if index in gone:
            yield from _without_text(instruction)
        else:
            yield instruction


def _without_text(instruction: Any) -> Iterator[Any]:
    """What an operator that shows text does besides: it may begin a line, and set spacings that stay."""
    import pikepdf

    name = str(instruction.operator)
    if name == '"' and len(instruction.operands) > 1:
        for operator, operand in zip(("Tw", "Tc"), instruction.operands, strict=False):
            yield pikepdf.ContentStreamInstruction([operand], pikepdf.Operator(operator))
    if name in ("'", '"'):
        yield pikepdf.ContentStreamInstruction([], pikepdf.Operator("T*"))


def _forms(page: PdfPage) -> list[Any]:
    """The forms on a page, and those within them, each once."""
    from pikepdf import Dictionary, Stream

    found: list[Any] = []
    known: set[tuple[int, int]] = set()
    waiting: list[Any] = [inherited(page, "/Resources")]
    while waiting:
        resources = waiting.pop(0)
        objects = resources.get("/XObject") if isinstance(resources, Dictionary) else None
        for _, each in objects.items() if isinstance(objects, Dictionary) else ():
            if isinstance(each, Stream) and each.get("/Subtype") == "/Form" and each.objgen not in known:
                known.add(each.objgen)
                found.append(each)
                waiting.append(each.get("/Resources"))
    return found


def _content(page: PdfPage) -> bytes:
    """All streams of a page, one after the other."""
    from pikepdf import Array, Stream

    contents: Any = page.obj.get("/Contents")
    streams = list(contents) if isinstance(contents, Array) else [contents]
    return b"\n".join(bytes(each.read_bytes()) for each in streams if isinstance(each, Stream))
