"""Pages that tests draw: lines of text at known places, and the files that describe them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from conftest import FONTS
from PIL import Image, ImageDraw, ImageFont

Place = tuple[int, int, str]
"""Left and upper edge of a line, px, and its text."""

SIZE = (900, 500)
EM_PX = 30
LINES: tuple[Place, ...] = (
    (60, 50, "Quyết định về việc cấp giấy phép"),
    (60, 120, "Họ và tên người nhận: Trần Văn Bình"),
    (60, 190, "Địa chỉ: số 12 phố Hàng Bông, Hà Nội"),
)
TEXT = "".join(f"{text}\n" for _, _, text in LINES)


def draw_page(lines: Sequence[Place] = LINES, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draws lines in black on white, mode L."""
    page = Image.new("L", size, 255)
    pen, font = ImageDraw.Draw(page), _font()
    for left, top, text in lines:
        pen.text((left, top), text, font=font, fill=0, anchor="la")
    return page


def box_of_line(place: Place) -> tuple[int, int, int, int]:
    """The box around a drawn line, with a little room: left, top, right, bottom."""
    left, top, text = place
    box = _font().getbbox(text, anchor="la")
    return (
        round(left + box[0]) - 4,
        round(top + box[1]) - 4,
        round(left + box[2]) + 4,
        round(top + box[3]) + 4,
    )


def page_xml(image: str, boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int] = SIZE) -> str:
    """PAGE XML with a line for each box, without text."""
    lines = "".join(
        f'<TextLine id="l{number}"><Coords points="{left},{top} {right},{top} {right},{bottom} '
        f'{left},{bottom}"/></TextLine>'
        for number, (left, top, right, bottom) in enumerate(boxes, 1)
    )
    return (
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">'
        f'<Page imageFilename="{image}" imageWidth="{size[0]}" imageHeight="{size[1]}">'
        f'<TextRegion id="r1"><Coords points="0,0 1,0 1,1"/>{lines}</TextRegion></Page></PcGts>'
    )


def write_page(folder: Path, name: str = "page", lines: Sequence[Place] = LINES) -> Path:
    """Writes a page's image and its PAGE XML; returns the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_page(lines).save(folder / f"{name}.png")
    file = folder / f"{name}.xml"
    file.write_text(page_xml(f"{name}.png", [box_of_line(line) for line in lines]), encoding="utf-8")
    return file


def coco(image: str) -> str:
    """COCO's description of the page."""
    boxes = [box_of_line(line) for line in LINES]
    annotations = [
        {"id": number, "image_id": 7, "category_id": 1, "bbox": [left, top, right - left, bottom - top]}
        for number, (left, top, right, bottom) in enumerate(boxes, 1)
    ]
    images = [{"id": 7, "file_name": image, "width": SIZE[0], "height": SIZE[1]}]
    categories = [{"id": 1, "name": "line"}, {"id": 2, "name": "figure"}]
    annotations.append({"id": 9, "image_id": 7, "category_id": 2, "bbox": [0, 300, 900, 200]})
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def yolo() -> str:
    """YOLO's description of the page, the last line first: such files have no order."""
    rows = []
    for left, top, right, bottom in reversed([box_of_line(line) for line in LINES]):
        x, y = (left + right) / 2 / SIZE[0], (top + bottom) / 2 / SIZE[1]
        rows.append(f"0 {x:.6f} {y:.6f} {(right - left) / SIZE[0]:.6f} {(bottom - top) / SIZE[1]:.6f}\n")
    return "".join(rows)


def ppocr(image: str) -> str:
    """PPOCRLabel's description of the page."""
    marks = [
        {"transcription": "", "points": [[left, top], [right, top], [right, bottom], [left, bottom]]}
        for left, top, right, bottom in [box_of_line(line) for line in LINES]
    ]
    return f"folder/{image}\t{json.dumps(marks)}\n"


def kraken(image: str) -> str:
    """What `kraken segment -bl` writes of the page."""
    lines = []
    for left, top, right, bottom in [box_of_line(line) for line in LINES]:
        foot = bottom - (bottom - top) // 4
        lines.append(
            {
                "id": f"line-{top}",
                "baseline": [[left, foot], [right, foot]],
                "boundary": [[left, top], [right, top], [right, bottom], [left, bottom]],
            }
        )
    return json.dumps({"type": "baselines", "imagename": image, "lines": lines})


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        str(FONTS / "BeVietnam-Regular.ttf"), EM_PX, layout_engine=ImageFont.Layout.BASIC
    )
