"""ALTO 1 to 4 (Library of Congress), as Tesseract, kraken, eScriptorium, ABBYY and libraries write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vocr_cli.core.data.readers.layout.line_text import Word, hyphenated, joined, visible
from vocr_cli.core.data.readers.layout.page_model import (
    Box,
    LayoutLine,
    LayoutPage,
    Point,
    box_around,
    box_of,
    points_of,
)
from vocr_cli.core.data.readers.layout.parse_xml import local_name
from vocr_cli.core.errors import ImageError

if TYPE_CHECKING:
    from lxml.etree import _Element

_UNITS = {"mm10": 254.0, "inch1200": 1200.0}
_AREAS = ("PrintSpace",)


def read_alto(root: _Element) -> list[LayoutPage]:
    """The pages of an ALTO file, several where Tesseract read an image of several pages.

    Raises:
        ImageError: The unit of its coordinates is unknown.
    """
    pages = [element for element in root.iter() if local_name(element) == "Page"]
    unit = _text(root, "MeasurementUnit") or "pixel"
    if unit not in {"pixel", *_UNITS}:
        raise ImageError(f"its MeasurementUnit `{unit}` is none of pixel, {', '.join(_UNITS)}")
    names = [name for name in (_text(root, "fileName"), _text(root, "fileIdentifier")) if name]
    spaces_are_said = any(local_name(element) == "SP" for element in root.iter())
    found = []
    for index, element in enumerate(pages):
        size = box_of(("0", "0", element.get("WIDTH"), element.get("HEIGHT")))
        page = LayoutPage(
            key=element.get("ID") or str(index + 1),
            images=names,
            frame=index if len(pages) > 1 else _number(element.get("PHYSICAL_IMG_NR")),
            size=(size[2], size[3]) if size and size[2] > 0 and size[3] > 0 else None,
            units_per_inch=_UNITS.get(unit),
        )
        _add_lines(page, element, None, spaces_are_said)
        found.append(page)
    return found


def _add_lines(page: LayoutPage, element: _Element, angle: float | None, spaces_are_said: bool) -> None:
    """Adds the lines inside a page, its margins or a block; composed blocks may hold composed blocks."""
    for inner in element:
        name = local_name(inner)
        if name == "TextLine":
            page.lines.append(_line(inner, angle, spaces_are_said, len(page.lines) + 1))
            continue
        if name in _AREAS and (box := _box(inner)):
            page.areas.append(box)
        turned = _angle(inner)
        _add_lines(page, inner, angle if turned is None else turned, spaces_are_said)


def _line(element: _Element, angle: float | None, spaces_are_said: bool, number: int) -> LayoutLine:
    turned = _angle(element)
    line = LayoutLine(key=element.get("ID") or str(number), angle=angle if turned is None else turned)
    words = list(_words(element))
    line.text = visible(joined(words, spaces_are_said))
    hyphen = next((inner for inner in element if local_name(inner) == "HYP"), None)
    if hyphen is not None:
        line.text = hyphenated(line.text, hyphen.get("CONTENT"))
    line.words = [word.box for word in words if word.box is not None]
    line.box = _box(element)
    if line.box is None and line.words:
        line.box = box_around([point for box in line.words for point in (box[:2], box[2:])])
    try:
        line.polygon = _polygon(element)
        line.baseline = _baseline(element.get("BASELINE"), line.box)
    except ImageError as error:
        line.fault = error.problem
        return line
    if not line.polygon and not line.baseline and line.box is None:
        line.fault = "it has neither a Shape, a BASELINE nor HPOS, VPOS, WIDTH and HEIGHT"
    return line


def _words(line: _Element) -> Iterator[Word]:
    """The strings of a line; of a broken word, `CONTENT` is what stands on this line."""
    strings = [inner for inner in line if local_name(inner) in ("String", "SP")]
    for index, element in enumerate(strings):
        if local_name(element) == "SP":
            continue
        text = element.get("CONTENT") or ""
        if not text:
            text = "".join(inner.get("CONTENT") or "" for inner in element if local_name(inner) == "Glyph")
        spaced = index + 1 < len(strings) and local_name(strings[index + 1]) == "SP"
        yield Word(text, _box(element), True if spaced else None)


def _polygon(element: _Element) -> list[Point]:
    for shape in element:
        if local_name(shape) == "Shape":
            for polygon in shape:
                if local_name(polygon) == "Polygon":
                    return points_of(polygon.get("POINTS"))
    return []


def _baseline(text: str | None, box: Box | None) -> list[Point]:
    """A baseline: points since ALTO 4, before that the height of a level one."""
    if text and len(text.split()) == 1 and "," not in text:
        ((height, _),) = points_of(f"{text} 0")
        return [(box[0], height), (box[2], height)] if box else []
    return points_of(text)


def _box(element: _Element) -> Box | None:
    return box_of([element.get(name) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT")])


def _angle(element: _Element) -> float | None:
    """Degrees clockwise that a block's lines are written at; ROTATION is counterclockwise."""
    try:
        turned = float(element.get("ROTATION") or "")
    except ValueError:
        return None
    return -turned if turned else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _text(root: _Element, name: str) -> str:
    """The text of the first element of a name."""
    found = next((element for element in root.iter() if local_name(element) == name), None)
    return "".join(found.itertext()).strip() if found is not None else ""
