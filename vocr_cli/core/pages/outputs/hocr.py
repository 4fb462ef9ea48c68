"""hOCR 1.2 (http://kba.github.io/hocr-spec/1.2/), as Tesseract writes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from vocr_cli import __version__
from vocr_cli.core.pages.outputs.boxes import (
    Box,
    baseline,
    box_of,
    line_angle,
    line_height,
    outline,
    words_of,
    xml,
)
from vocr_cli.core.pages.outputs.text import blocks_of
from vocr_cli.core.pages.page import Page, PageLine

HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="vi" lang="vi">
 <head>
  <title></title>
  <meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
  <meta name="ocr-system" content="vocr {__version__}"/>
  <meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf"/>
  <meta name="ocr-langs" content="vi"/>
 </head>
 <body>
"""
TAIL = " </body>\n</html>\n"
_TURNED_DEGREES = 45


def hocr_page(page: Page, image: str, index: int) -> Iterator[str]:
    """The element of a page.

    Args:
        page: With its lines.
        image: What the file calls its image.
        index: Which page of the file, from 0.
    """
    number = index + 1
    resolution = f"; scan_res {round(page.dpi)} {round(page.dpi)}" if page.dpi else ""
    yield (
        f'  <div class="ocr_page" id="page_{number}" title="image &quot;{xml(image)}&quot;; '
        f'bbox 0 0 {page.width_px} {page.height_px}; ppageno {index}{resolution}">\n'
    )
    line_number = word_number = 0
    for block_number, lines in enumerate(blocks_of(page), 1):
        around = _bbox(box_of(chain.from_iterable(outline(line) for line in lines), page))
        yield f'   <div class="ocr_carea" id="block_{number}_{block_number}" title="{around}">\n'
        yield f'    <p class="ocr_par" id="par_{number}_{block_number}" lang="vi" title="{around}">\n'
        for line in lines:
            line_number += 1
            box = box_of(outline(line), page)
            name = f"line_{number}_{line_number}"
            yield f'     <span class="ocr_line" id="{name}" title="{_line(line, box)}">\n'
            for word in words_of(line):
                word_number += 1
                title = f"{_bbox(box_of(word.corners, page))}; x_wconf {round(100 * word.confidence)}"
                name = f"word_{number}_{word_number}"
                yield f'      <span class="ocrx_word" id="{name}" title="{title}">{xml(word.text)}</span>\n'
            yield "     </span>\n"
        yield "    </p>\n   </div>\n"
    yield "  </div>\n"


def _bbox(box: Box) -> str:
    return f"bbox {box.left} {box.top} {box.right} {box.bottom}"


def _line(line: PageLine, box: Box) -> str:
    """Box, baseline and height; of a line that stands on its side its angle instead of a baseline."""
    angle = line_angle(line)
    size = f"x_size {line_height(line):.1f}"
    if abs(angle) > _TURNED_DEGREES:
        return f"{_bbox(box)}; textangle {-angle % 360:.0f}; {size}"
    (x, y), *_, (end_x, end_y) = baseline(line)
    slope = (end_y - y) / (end_x - x) if end_x > x else 0.0
    return f"{_bbox(box)}; baseline {slope:.4f} {y + slope * (box.left - x) - box.bottom:.1f}; {size}"
