"""PAGE XML (Pletschacher and Antonacopoulos, 2010), schemas of 2009 to 2019.

Transkribus, eScriptorium, OCR-D, kraken and Tesseract write it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vocr_cli.core.data.readers.layout.line_text import Word, joined, visible
from vocr_cli.core.data.readers.layout.page_model import (
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


def read_page_xml(root: _Element) -> list[LayoutPage]:
    """The pages of a PAGE XML file: one, by its schema."""
    return [_page(element) for element in root.iter() if local_name(element) == "Page"]


def _page(element: _Element) -> LayoutPage:
    size = box_of(("0", "0", element.get("imageWidth"), element.get("imageHeight")))
    page = LayoutPage(
        images=[name] if (name := element.get("imageFilename")) else [],
        size=(size[2], size[3]) if size and size[2] > 0 and size[3] > 0 else None,
    )
    for inner in element:
        if local_name(inner) in ("Border", "PrintSpace") and (points := _points(inner, "Coords")):
            page.areas.append(box_around(points))
    _add_lines(page, element, _angle(element, None))
    return page


def _add_lines(page: LayoutPage, element: _Element, angle: float | None) -> None:
    """Adds the lines inside a page or a region; regions may hold regions."""
    for inner in element:
        name = local_name(inner)
        if name == "TextLine":
            page.lines.append(_line(inner, angle, len(page.lines) + 1))
        elif name.endswith("Region"):
            before = len(page.lines)
            _add_lines(page, inner, _angle(inner, angle))
            if name == "TextRegion" and len(page.lines) == before and _text_of(inner):
                key = inner.get("id") or f"region {before + 1}"
                fault = "a region whose text is not parted into lines"
                page.lines.append(LayoutLine(key=key, text=_text_of(inner), fault=fault))
        elif name not in ("TextEquiv", "Coords"):
            _add_lines(page, inner, angle)  # TableCell and the like


def _line(element: _Element, angle: float | None, number: int) -> LayoutLine:
    line = LayoutLine(key=element.get("id") or str(number), angle=angle)
    try:
        line.polygon, line.baseline = _points(element, "Coords"), _points(element, "Baseline")
        words = list(_words(element))
    except ImageError as error:
        line.fault = error.problem
        return line
    line.words = [word.box for word in words if word.box is not None]
    line.text = visible(_text_of(element) or joined(words, spaces_are_said=False))
    if not line.polygon and line.words:
        line.box = box_around([point for box in line.words for point in (box[:2], box[2:])])
    if not line.polygon and not line.baseline and line.box is None:
        line.fault = "it has neither Coords nor a Baseline"
    return line


def _words(line: _Element) -> Iterator[Word]:
    for element in line:
        if local_name(element) == "Word":
            text = _text_of(element)
            if not text:
                text = "".join(_text_of(glyph) for glyph in element if local_name(glyph) == "Glyph")
            points = _points(element, "Coords")
            yield Word(text, box_around(points) if points else None)


def _text_of(element: _Element) -> str:
    """The text of an element: that of its TextEquiv with the lowest index that holds any."""
    equivalents = [inner for inner in element if local_name(inner) == "TextEquiv"]
    texts = [_said(equivalent) for equivalent in sorted(equivalents, key=_index)]
    return next((text for text in texts if text.strip()), "".join(texts[:1]))


def _said(equivalent: _Element) -> str:
    """What an equivalent says: kraken has words that are a single space."""
    for name in ("Unicode", "PlainText"):
        for inner in equivalent:
            if local_name(inner) == name and (text := "".join(inner.itertext())):
                return text
    return ""


def _index(equivalent: _Element) -> float:
    try:
        return float(equivalent.get("index") or 0)
    except ValueError:
        return float("inf")


def _points(element: _Element, name: str) -> list[Point]:
    """The points of a child such as Coords; in the oldest schemas they are elements of their own."""
    for inner in element:
        if local_name(inner) == name:
            points = points_of(inner.get("points"))
            if not points:
                pairs = [
                    f"{point.get('x')} {point.get('y')}" for point in inner if local_name(point) == "Point"
                ]
                points = points_of(" ".join(pairs))
            return points
    return []


def _angle(element: _Element, outer: float | None) -> float | None:
    """Degrees clockwise that a page's or region's lines are written at.

    `orientation` is how far it must be turned clockwise to stand upright: its lines rise that much.
    """
    text = element.get("orientation") or element.get("readingOrientation")
    try:
        turned = float(text or "")
    except ValueError:
        return outer
    return -turned if turned else outer
