"""Pages with known lines, and layout files of them as several programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from conftest import FONTS
from PIL import Image, ImageDraw, ImageFont

TEXTS = (
    "Cộng hòa xã hội chủ nghĩa Việt Nam",
    "Độc lập - Tự do - Hạnh phúc",
    "Nguyễn Thị Hương, sinh năm 1985",
    "Địa chỉ: 45 phố Huế, Hà Nội",
)
PAGE_NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/{}"
ALTO_NAMESPACE = "http://www.loc.gov/standards/alto/ns-v{}#"
_FONT_PX = 36
_LEFT_PX, _TOP_PX = 60, 50

Box = tuple[int, int, int, int]


class PageLine(NamedTuple):
    """A line of a drawn page: its text, its rectangle, those of its words, and where its letters stand."""

    text: str
    box: Box
    words: list[Box]
    foot: int

    @property
    def points(self) -> list[tuple[int, int]]:
        left, top, right, bottom = self.box
        return [(left, top), (right, top), (right, bottom), (left, bottom)]

    @property
    def baseline(self) -> list[tuple[int, int]]:
        return [(self.box[0], self.foot), (self.box[2], self.foot)]


def draw_page(
    texts: Sequence[str] = TEXTS, pitch_px: int = 80, ground: str = "white"
) -> tuple[Image.Image, list[PageLine]]:
    """Draws lines below each other; rectangles are tight around the ink."""
    font = ImageFont.truetype(str(FONTS / "BeVietnam-Regular.ttf"), _FONT_PX)
    page = Image.new("RGB", (860, _TOP_PX + pitch_px * len(texts) + 40), ground)
    draw = ImageDraw.Draw(page)
    lines = []
    for number, text in enumerate(texts):
        foot = _TOP_PX + number * pitch_px + 40
        draw.text((_LEFT_PX, foot), text, "black", font, anchor="ls")
        words, at = [], 0
        for word in text.split(" "):
            start = _LEFT_PX + font.getlength(text[:at])
            left, top, right, bottom = draw.textbbox((start, foot), word, font, anchor="ls")
            words.append((int(left), int(top), int(right) + 1, int(bottom) + 1))
            at += len(word) + 1
        box = draw.textbbox((_LEFT_PX, foot), text, font, anchor="ls")
        whole = (int(box[0]), int(box[1]), int(box[2]) + 1, int(box[3]) + 1)
        lines.append(PageLine(text, whole, words, foot))
    return page, lines


def with_commas(points: Sequence[tuple[float, float]]) -> str:
    """Points as PAGE has them: `x,y x,y`."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def with_spaces(points: Sequence[tuple[float, float]]) -> str:
    """Points as kraken and eScriptorium write them in ALTO: `x y x y`."""
    return " ".join(f"{x:g} {y:g}" for x, y in points)


def page_xml(
    lines: Sequence[str],
    size: tuple[int, int],
    image: str = "p.png",
    year: str = "2019-07-15",
    region: str = "",
) -> str:
    """A PAGE XML file around its TextLine elements."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<PcGts xmlns="{PAGE_NAMESPACE.format(year)}"><Metadata><Creator>x</Creator></Metadata>'
        f'<Page imageFilename="{image}" imageWidth="{size[0]}" imageHeight="{size[1]}">'
        f'<TextRegion id="r1" {region}><Coords points="0,0 9,0 9,9 0,9"/>{"".join(lines)}</TextRegion>'
        "</Page></PcGts>"
    )


def page_line(key: str, text: str, coords: str = "", baseline: str = "") -> str:
    """A TextLine of PAGE XML with one TextEquiv."""
    outline = f'<Coords points="{coords}"/>' if coords else ""
    foot = f'<Baseline points="{baseline}"/>' if baseline else ""
    return f'<TextLine id="{key}">{outline}{foot}<TextEquiv><Unicode>{text}</Unicode></TextEquiv></TextLine>'


def alto(
    body: str, size: tuple[float, float] | None, image: str = "p.png", version: int = 4, unit: str = "pixel"
) -> str:
    """An ALTO file around what is in its PrintSpace."""
    sides = f'WIDTH="{size[0]:g}" HEIGHT="{size[1]:g}"' if size else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<alto xmlns="{ALTO_NAMESPACE.format(version)}"><Description>'
        f"<MeasurementUnit>{unit}</MeasurementUnit>"
        f"<sourceImageInformation><fileName>{image}</fileName></sourceImageInformation></Description>"
        f'<Layout><Page ID="page_0" PHYSICAL_IMG_NR="0" {sides}>'
        f"<PrintSpace>{body}</PrintSpace></Page></Layout></alto>"
    )


def alto_box(box: Sequence[float], scale: float = 1.0) -> str:
    """The attributes of a rectangle."""
    left, top, right, bottom = (value * scale for value in box)
    return f'HPOS="{left:g}" VPOS="{top:g}" WIDTH="{right - left:g}" HEIGHT="{bottom - top:g}"'


def tesseract_alto_line(line: PageLine, key: str, scale: float = 1.0) -> str:
    """A line as Tesseract writes it: a String a word, SP between them."""
    space = "<SP WIDTH='9'/>"
    strings = space.join(
        f'<String {alto_box(box, scale)} CONTENT="{word}"/>'
        for word, box in zip(line.text.split(" "), line.words, strict=True)
    )
    return f'<TextLine ID="{key}" {alto_box(line.box, scale)}>{strings}</TextLine>'


def hocr(lines: Sequence[str], size: tuple[int, int], image: str = 'image "p.png"') -> str:
    """An hOCR file as Tesseract writes it, around its lines."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title></title>'
        "<meta name='ocr-capabilities' content='ocr_page ocr_line ocrx_word'/></head><body>"
        f"<div class='ocr_page' id='page_1' title='{image}; bbox 0 0 {size[0]} {size[1]}; ppageno 0'>"
        f"<div class='ocr_carea'><p class='ocr_par'>{''.join(lines)}</p></div></div></body></html>"
    )


def hocr_line(line: PageLine, key: str, more: str = "baseline 0 -8") -> str:
    """A line with its words."""
    words = " ".join(
        f"<span class='ocrx_word' title='bbox {' '.join(map(str, box))}; x_wconf 95'>{word}</span>"
        for word, box in zip(line.text.split(" "), line.words, strict=True)
    )
    box = " ".join(map(str, line.box))
    return f"<span class='ocr_line' id='{key}' title=\"bbox {box}; {more}\">{words}</span>"


def write(folder: Path, name: str, text: str, page: Image.Image | None = None, image: str = "p.png") -> Path:
    """Writes a layout file, and its page's image beside it."""
    if page is not None:
        page.save(folder / image)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name
