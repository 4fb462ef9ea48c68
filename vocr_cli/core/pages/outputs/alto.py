"""ALTO 4.4 (https://www.loc.gov/standards/alto/), a file for each page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from vocr_cli import __version__
from vocr_cli.core.pages.outputs.boxes import Box, baseline, box_of, outline, whole_points, words_of, xml
from vocr_cli.core.pages.outputs.text import blocks_of
from vocr_cli.core.pages.page import Page, PageLine

_NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"


def alto(page: Page, image: str) -> Iterator[str]:
    """The file of a page; `image` is what it calls the page's image."""
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<alto xmlns="{_NAMESPACE}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_SCHEMA}" SCHEMAVERSION="4.4">\n'
        " <Description>\n  <MeasurementUnit>pixel</MeasurementUnit>\n"
        f"  <sourceImageInformation><fileName>{xml(image)}</fileName></sourceImageInformation>\n"
        '  <Processing ID="OCR_1"><processingCategory>contentGeneration</processingCategory>'
        "<processingSoftware><softwareName>vocr</softwareName>"
        f"<softwareVersion>{__version__}</softwareVersion></processingSoftware></Processing>\n"
        " </Description>\n <Layout>\n"
    )
    turned = f' ROTATION="{page.turned}"' if page.turned else ""
    whole = Box(0, 0, page.width_px, page.height_px)
    yield (
        f'  <Page ID="page_{page.number}" PHYSICAL_IMG_NR="{page.number}" WIDTH="{page.width_px}" '
        f'HEIGHT="{page.height_px}" LANG="vi"{turned}>\n   <PrintSpace {_place(whole)}>\n'
    )
    number = 0
    for block_number, lines in enumerate(blocks_of(page), 1):
        box = box_of(chain.from_iterable(outline(line) for line in lines), page)
        yield f'    <TextBlock ID="block_{block_number}" {_place(box)}>\n'
        for line in lines:
            number += 1
            yield from _line(line, number, page)
        yield "    </TextBlock>\n"
    yield "   </PrintSpace>\n  </Page>\n </Layout>\n</alto>\n"


def _line(line: PageLine, number: int, page: Page) -> Iterator[str]:
    box = box_of(outline(line), page)
    points = " ".join(f"{x},{y}" for x, y in whole_points(outline(line), page))
    base = " ".join(f"{x},{y}" for x, y in whole_points(baseline(line), page))
    yield f'     <TextLine ID="line_{number}" BASELINE="{base}" {_place(box)}>\n'
    yield f'      <Shape><Polygon POINTS="{points}"/></Shape>\n'
    before: Box | None = None
    for index, word in enumerate(words_of(line), 1):
        at = box_of(word.corners, page)
        if before is not None:
            gap = max(0, at.left - before.right)
            yield f'      <SP HPOS="{before.right}" VPOS="{before.top}" WIDTH="{gap}"/>\n'
        yield (
            f'      <String ID="word_{number}_{index}" CONTENT="{xml(word.text)}" {_place(at)} '
            f'WC="{word.confidence:.4f}"/>\n'
        )
        before = at
    yield "     </TextLine>\n"


def _place(box: Box) -> str:
    return f'HPOS="{box.left}" VPOS="{box.top}" WIDTH="{box.width}" HEIGHT="{box.height}"'
