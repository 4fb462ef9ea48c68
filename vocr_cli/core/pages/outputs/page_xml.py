"""PAGE XML 2019-07-15 (https://github.com/PRImA-Research-Lab/PAGE-XML), a file for each page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from vocr_cli import __version__
from vocr_cli.core.pages.outputs.boxes import Box, baseline, box_of, outline, whole_points, words_of, xml
from vocr_cli.core.pages.outputs.text import blocks_of, rows
from vocr_cli.core.pages.page import Corners, Page, PageLine

_NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


def page_xml(page: Page, image: str, made: float) -> Iterator[str]:
    """The file of a page.

    Args:
        page: With its lines.
        image: What the file calls the page's image.
        made: When the page was made, seconds since 1970: that of its image, so that the same page gives the
            same file.
    """
    when = datetime.fromtimestamp(int(made), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    blocks = list(blocks_of(page))
    turned = (page.turned + 179) % 360 - 179  # within -179..180
    orientation = f' orientation="{turned}"' if turned else ""
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<PcGts xmlns="{_NAMESPACE}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/pagecontent.xsd">\n'
        f" <Metadata><Creator>vocr {__version__}</Creator><Created>{when}</Created>"
        f"<LastChange>{when}</LastChange></Metadata>\n"
        f' <Page imageFilename="{xml(image)}" imageWidth="{page.width_px}" imageHeight="{page.height_px}"'
        f' primaryLanguage="Vietnamese"{orientation}>\n'
    )
    if blocks:
        yield '  <ReadingOrder><OrderedGroup id="order">\n'
        for index in range(len(blocks)):
            yield f'   <RegionRefIndexed index="{index}" regionRef="r{index + 1}"/>\n'
        yield "  </OrderedGroup></ReadingOrder>\n"
    for number, lines in enumerate(blocks, 1):
        around = box_of((corner for line in lines for corner in outline(line)), page)
        yield f'  <TextRegion id="r{number}"><Coords points="{_points(_corners(around), page)}"/>\n'
        for index, line in enumerate(lines, 1):
            yield from _line(line, f"r{number}l{index}", page)
        text = "\n".join(xml(row) for row in rows(lines))
        yield f"   <TextEquiv><Unicode>{text}</Unicode></TextEquiv>\n  </TextRegion>\n"
    yield " </Page>\n</PcGts>\n"


def _line(line: PageLine, name: str, page: Page) -> Iterator[str]:
    yield f'   <TextLine id="{name}"><Coords points="{_points(outline(line), page)}"/>\n'
    yield f'    <Baseline points="{_points(baseline(line), page)}"/>\n'
    for index, word in enumerate(words_of(line), 1):
        yield (
            f'    <Word id="{name}w{index}"><Coords points="{_points(word.corners, page)}"/>'
            f'<TextEquiv conf="{word.confidence:.4f}"><Unicode>{xml(word.text)}</Unicode></TextEquiv>'
            "</Word>\n"
        )
    yield (
        f'    <TextEquiv conf="{min(1.0, line.reading.confidence):.4f}"><Unicode>{xml(line.reading.text)}'
        "</Unicode></TextEquiv>\n   </TextLine>\n"
    )


def _points(corners: Corners, page: Page) -> str:
    return " ".join(f"{x},{y}" for x, y in whole_points(corners, page))


def _corners(box: Box) -> Corners:
    return (box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)
