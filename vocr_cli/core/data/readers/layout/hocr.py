"""hOCR 1.2 (Breuel, 2007), as Tesseract, kraken and OCRopus write it: HTML with classes and titles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vocr_cli.core.data.readers.layout.line_text import Word, joined, visible
from vocr_cli.core.data.readers.layout.page_model import (
    Box,
    LayoutLine,
    LayoutPage,
    Point,
    box_around,
    points_of,
)
from vocr_cli.core.errors import ImageError

if TYPE_CHECKING:
    from lxml.etree import _Element

_LINES = {"ocr_line", "ocrx_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat"}
"""Classes of lines; Tesseract calls those of captions and headings by the latter."""
_WORDS = {"ocrx_word", "ocr_word"}
_PAGES = {"ocr_page"}
_NAME = re.compile(r"[\s;]*([A-Za-z_]\w*)\s*")
_STEEPEST = 1.0  # of a baseline's slope: Tesseract writes ones of hundreds under vertical lines


def read_hocr(root: _Element) -> list[LayoutPage]:
    """The pages of an hOCR file."""
    pages = [element for element in root.iter() if _classes(element) & _PAGES]
    return [_page(element, number) for number, element in enumerate(pages or [root], start=1)]


def _page(element: _Element, number: int) -> LayoutPage:
    title = _properties(element)
    page = LayoutPage(key=element.get("id") or str(number))
    name = title.get("image", "")
    page.images = [name] if name else []
    physical = title.get("ppageno", "")
    page.frame = int(physical) if physical.isdecimal() else None
    if (box := _box(title)) is not None:
        page.size = (box[2], box[3])
        page.areas = [box]
    _add_lines(page, element, None)
    return page


def _add_lines(page: LayoutPage, element: _Element, angle: float | None) -> None:
    for inner in element:
        turned = _angle(_properties(inner))
        below = angle if turned is None else turned
        if not _classes(inner) & _LINES or any(
            _classes(deeper) & _LINES for deeper in inner.iterdescendants()
        ):
            _add_lines(page, inner, below)
        else:
            page.lines.append(_line(inner, below, len(page.lines) + 1))


def _line(element: _Element, angle: float | None, number: int) -> LayoutLine:
    title = _properties(element)
    line = LayoutLine(key=element.get("id") or str(number), angle=angle, box=_box(title))
    try:
        line.polygon = points_of(title.get("poly"))
        words = list(_words(element))
    except ImageError as error:
        line.fault = error.problem
        return line
    line.words = [word.box for word in words if word.box is not None]
    line.text = visible(_text(element, words))
    if line.box is None and line.words:
        line.box = box_around([point for box in line.words for point in (box[:2], box[2:])])
    if line.box is not None:
        line.baseline = _baseline(title.get("baseline", ""), line.box)
    if not line.polygon and line.box is None:
        line.fault = "its title has neither a bbox nor a poly"
    return line


def _text(line: _Element, words: list[Word]) -> str:
    """The text of a line: of its words, unless there is text beside them."""
    whole = " ".join("".join(line.itertext()).split())
    text = joined(words, spaces_are_said=False)
    return text if "".join(text.split()) == whole.replace(" ", "") else whole


def _words(line: _Element) -> Iterator[Word]:
    for element in line.iterdescendants():
        if _classes(element) & _WORDS:
            yield Word("".join(element.itertext()), _box(_properties(element)))


def _baseline(text: str, box: Box) -> list[Point]:
    """A baseline out of its slope and offset, seen from the lower left corner of the line's rectangle."""
    numbers = text.split()
    try:
        slope, offset = (float(number) for number in numbers)
    except ValueError:
        return []
    if abs(slope) > _STEEPEST:
        return []
    left, _, right, bottom = box
    start = bottom + offset
    return [(left, start), (right, start + slope * (right - left))]


def _properties(element: _Element) -> dict[str, str]:
    """The properties in an element's title: `bbox 0 0 9 9; image "a; b.png"`."""
    title = (element.get("title") if isinstance(element.tag, str) else None) or ""
    found: dict[str, str] = {}
    at = 0
    while name := _NAME.match(title, at):
        at = name.end()
        quote = title[at : at + 1]
        if quote and quote in "\"'" and (end := title.find(quote, at + 1)) > 0:
            found[name[1]] = title[at + 1 : end]
            at = end
        end = title.find(";", at)
        end = len(title) if end < 0 else end
        found.setdefault(name[1], title[at:end].strip())
        at = end + 1
    return found


def _box(properties: dict[str, str]) -> Box | None:
    try:
        numbers = points_of(properties.get("bbox"))
    except ImageError:
        return None
    return (*numbers[0], *numbers[1]) if len(numbers) == 2 else None


def _angle(properties: dict[str, str]) -> float | None:
    """Degrees clockwise that lines are written at; `textangle` is counterclockwise."""
    try:
        turned = float(properties.get("textangle", ""))
    except ValueError:
        return None
    return -turned if turned else None


def _classes(element: _Element) -> set[str]:
    return set((element.get("class") or "").split()) if isinstance(element.tag, str) else set()
