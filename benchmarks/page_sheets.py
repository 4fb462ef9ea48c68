"""Test pages as PDF, with the exact text and box of every line: seven kinds of Vietnamese document.

Positions are in points (1/72 inch) from the upper left corner. A sheet keeps its lines in reading order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from vocr_cli.core.synth.text.templates import expand
from vocr_cli.core.text import clean

A4_PT = (595.0, 842.0)
_MEASURE_PX = 200  # text is measured at this size: hinting does not round its advances then

SERIF, SANS, MONO = "Tinos", "Arimo", "Cousine"
"""The families of the pages, those of the Debian package fonts-croscore."""


@dataclass(frozen=True)
class SheetLine:
    """A line of text and its box, points."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    block: int


@dataclass
class Sheet:
    """A page that is being drawn.

    Attributes:
        canvas: What it is drawn on.
        fonts: The folder of the font files.
        size: Width and height, points.
        lines: What was written, in reading order.
        block: The number of the paragraph or cell that is being written.
    """

    canvas: Canvas
    fonts: Path
    size: tuple[float, float] = A4_PT
    lines: list[SheetLine] = field(default_factory=list)
    block: int = 0

    def measure(self, text: str, face: str, size_pt: float) -> float:
        """The width of a text, points."""
        return _face(self.fonts, face).getlength(text) * size_pt / _MEASURE_PX

    def write(
        self, x: float, y: float, text: str, face: str, size_pt: float, *, align: str = "left"
    ) -> float:
        """Writes one line with its baseline at `y`; returns its right edge."""
        text = clean(text)
        width = self.measure(text, face, size_pt)
        left = {"left": x, "centre": x - width / 2, "right": x - width}[align]
        self._draw(left, y, text, face, size_pt)
        self._note(text, left, y, left + width, size_pt)
        return left + width

    def justify(
        self, x: float, y: float, width: float, words: Sequence[str], face: str, size_pt: float
    ) -> None:
        """Writes words spread over a width."""
        text = clean(" ".join(words))
        parts = text.split(" ")
        gap = (width - sum(self.measure(part, face, size_pt) for part in parts)) / max(1, len(parts) - 1)
        at = x
        for part in parts:
            self._draw(at, y, part, face, size_pt)
            at += self.measure(part, face, size_pt) + gap
        self._note(text, x, y, x + width, size_pt)

    def paragraph(
        self,
        x: float,
        y: float,
        width: float,
        text: str,
        face: str,
        size_pt: float,
        *,
        leading: float = 1.3,
        indent: float = 0.0,
        limit: float = 1e9,
        justified: bool = True,
    ) -> float:
        """Sets a paragraph down to `limit`; returns the baseline after its last line."""
        self.block += 1
        row: list[str] = []
        words, first = clean(text).split(" "), True
        for word in [*words, ""]:
            room = width - (indent if first else 0)
            if word and self.measure(" ".join([*row, word]), face, size_pt) <= room:
                row.append(word)
                continue
            if not row or y > limit:
                break
            start = x + (indent if first else 0)
            if word and justified:
                self.justify(start, y, room, row, face, size_pt)
            else:
                self.write(start, y, " ".join(row), face, size_pt)
            row, first, y = [word], False, y + leading * size_pt
        return y

    def rule(self, x: float, y: float, right: float, bottom: float, width_pt: float = 0.6) -> None:
        """Draws a straight line."""
        self.canvas.setLineWidth(width_pt)
        self.canvas.line(x, self.size[1] - y, right, self.size[1] - bottom)

    def _draw(self, x: float, y: float, text: str, face: str, size_pt: float) -> None:
        if face not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(face, str(self.fonts / f"{face}.ttf")))
        self.canvas.setFont(face, size_pt)
        self.canvas.drawString(x, self.size[1] - y, text)

    def _note(self, text: str, left: float, y: float, right: float, size_pt: float) -> None:
        line = SheetLine(text, left, y - 0.95 * size_pt, right, y + 0.28 * size_pt, self.block)
        self.lines.append(line)


_FACES: dict[tuple[Path, str], ImageFont.FreeTypeFont] = {}


def _face(fonts: Path, face: str) -> ImageFont.FreeTypeFont:
    key = fonts, face
    if key not in _FACES:
        basic = ImageFont.Layout.BASIC
        _FACES[key] = ImageFont.truetype(str(fonts / f"{face}.ttf"), _MEASURE_PX, layout_engine=basic)
    return _FACES[key]


def _decision(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A decision of a people's committee: two blocks side by side, articles, a signature."""
    bold, plain, italic = f"{SERIF}-Bold", f"{SERIF}-Regular", f"{SERIF}-Italic"
    place = expand("place", dice)
    sheet.block += 1
    sheet.write(165, 70, "ỦY BAN NHÂN DÂN", plain, 12, align="centre")
    sheet.write(165, 85, f"TỈNH {place.upper()}", bold, 12, align="centre")
    sheet.rule(135, 90, 195, 90)
    sheet.write(165, 112, f"Số: {dice.randint(10, 4000)}/QĐ-UBND", plain, 12.5, align="centre")
    sheet.block += 1
    sheet.write(410, 70, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", bold, 12, align="centre")
    sheet.write(410, 85, "Độc lập - Tự do - Hạnh phúc", bold, 13, align="centre")
    sheet.rule(330, 90, 490, 90)
    day = f"{place}, ngày {dice.randint(1, 30):02} tháng {dice.randint(1, 12):02} năm 2024"
    sheet.write(410, 112, day, italic, 12.5, align="centre")
    sheet.block += 1
    sheet.write(300, 152, "QUYẾT ĐỊNH", bold, 14, align="centre")
    subject = " ".join(next(iter(text)).split()[:9])
    sheet.write(300, 170, f"Về việc {subject}", bold, 13, align="centre")
    y = 205.0
    for _ in range(2):
        y = sheet.paragraph(85, y, 440, f"Căn cứ {next(iter(text))}", italic, 13, indent=28, limit=300) + 4
    sheet.block += 1
    sheet.write(300, y + 10, "QUYẾT ĐỊNH:", bold, 13, align="centre")
    y += 36
    number = 1
    while y < 590:
        words = f"Điều {number}. {next(iter(text))}"
        y = sheet.paragraph(85, y, 440, words, plain, 13, indent=28, limit=625) + 5
        number += 1
    sheet.block += 1
    y = max(y + 14, 640)
    sheet.write(85, y, "Nơi nhận:", f"{SERIF}-BoldItalic", 11)
    for at, whom in enumerate(("- Như Điều 3;", "- Bộ Tài chính;", "- Lưu: VT, NC.")):
        sheet.write(85, y + 14 * (at + 1), whom, plain, 10.5)
    sheet.block += 1
    sheet.write(410, y, "TM. ỦY BAN NHÂN DÂN", bold, 12.5, align="centre")
    sheet.write(410, y + 16, "KT. CHỦ TỊCH", bold, 12.5, align="centre")
    sheet.write(410, y + 32, "PHÓ CHỦ TỊCH", bold, 12.5, align="centre")
    sheet.write(410, y + 105, expand("person", dice), bold, 13, align="centre")
    _seal(sheet, 365, y + 60)


def _seal(sheet: Sheet, x: float, y: float) -> None:
    """A round red seal without lettering."""
    sheet.canvas.saveState()
    sheet.canvas.setStrokeColorRGB(0.85, 0.12, 0.15, 0.75)
    for radius, width in ((38, 2.2), (34, 0.8), (20, 0.8)):
        sheet.canvas.setLineWidth(width)
        sheet.canvas.circle(x, sheet.size[1] - y, radius)
    sheet.canvas.restoreState()


def _columns(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A magazine's page: a headline over two columns."""
    sheet.block += 1
    title = " ".join(next(iter(text)).split()[:8])
    sheet.write(60, 80, title, f"{SANS}-Bold", 19)
    sheet.write(60, 102, expand("person", dice), f"{SANS}-Italic", 10)
    for x in (60.0, 310.0):
        y = 135.0
        while y < 775:
            y = sheet.paragraph(x, y, 226, next(iter(text)), f"{SERIF}-Regular", 10.5, indent=12, limit=785)
            y += 3


def _table(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A list of goods with rules, its rows read from left to right."""
    plain, bold = f"{SANS}-Regular", f"{SANS}-Bold"
    sheet.block += 1
    sheet.write(297, 75, "BẢNG KÊ HÀNG HÓA, DỊCH VỤ", bold, 14, align="centre")
    sheet.write(297, 94, f"Tháng {dice.randint(1, 12)} năm 2024", f"{SANS}-Italic", 11, align="centre")
    edges = (55.0, 90, 285, 335, 385, 460, 540)
    heads = ("STT", "Tên hàng hóa, dịch vụ", "ĐVT", "SL", "Đơn giá", "Thành tiền")
    rows = [heads]
    for number in range(1, 25):
        price, count = dice.randint(3, 900) * 500, dice.randint(1, 60)
        each, total = (f"{value:,}".replace(",", ".") for value in (price, price * count))
        unit = dice.choice(("Cái", "Hộp", "Kg", "Bộ", "Chiếc", "Lít", "Gói"))
        rows.append((str(number), expand("product", dice).capitalize()[:34], unit, str(count), each, total))
    y = 118.0
    for index, row in enumerate(rows):
        sheet.rule(edges[0], y, edges[-1], y)
        for column, cell in enumerate(row):
            sheet.block += 1
            left, right = edges[column], edges[column + 1]
            face = bold if not index else plain
            if column in (0, 2) or not index:
                sheet.write((left + right) / 2, y + 17, cell, face, 10.5, align="centre")
            elif column == 1:
                sheet.write(left + 4, y + 17, cell, face, 10.5)
            else:
                sheet.write(right - 4, y + 17, cell, face, 10.5, align="right")
        y += 25
    sheet.rule(edges[0], y, edges[-1], y)
    for edge in edges:
        sheet.rule(edge, 118, edge, y)
    sheet.block += 1
    sheet.write(85, y + 22, f"Bằng chữ: {expand('digit_word', dice)} triệu đồng chẵn.", f"{SANS}-Italic", 11)


def _receipt(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A shop's receipt, 80 mm wide."""
    plain, bold, width = f"{MONO}-Regular", f"{MONO}-Bold", sheet.size[0]
    sheet.block += 1
    sheet.write(width / 2, 30, f"CỬA HÀNG {expand('place', dice).upper()}", bold, 11, align="centre")
    sheet.write(width / 2, 44, expand("address", dice)[:40], plain, 7.5, align="centre")
    sheet.write(width / 2, 56, f"ĐT: 0{dice.randint(10**8, 10**9 - 1)}", plain, 7.5, align="centre")
    sheet.block += 1
    sheet.write(width / 2, 78, "HÓA ĐƠN BÁN HÀNG", bold, 11, align="centre")
    sheet.write(
        12,
        94,
        f"Ngày: {dice.randint(1, 28):02}/0{dice.randint(1, 9)}/2024 {dice.randint(8, 21)}:15",
        plain,
        8,
    )
    sheet.write(12, 105, f"Thu ngân: {expand('person', dice)}", plain, 8)
    sheet.rule(12, 110, width - 12, 110)
    y, total = 122.0, 0
    for _ in range(dice.randint(9, 14)):
        price, count = dice.randint(4, 300) * 1000, dice.randint(1, 5)
        total += price * count
        sheet.block += 1
        sheet.write(12, y, expand("product", dice)[:36], plain, 8)
        amount = f"{price * count:,}".replace(",", ".")
        sheet.write(24, y + 11, f"{count} x {price:,}".replace(",", "."), plain, 8)
        sheet.write(width - 12, y + 11, amount, plain, 8, align="right")
        y += 24
    sheet.rule(12, y - 4, width - 12, y - 4)
    for label, value in (("TỔNG CỘNG", total), ("Tiền khách đưa", total + 5000), ("Tiền thừa", 5000)):
        sheet.block += 1
        face = bold if label.isupper() else plain
        sheet.write(12, y + 10, label, face, 9)
        sheet.write(width - 12, y + 10, f"{value:,}".replace(",", "."), face, 9, align="right")
        y += 15
    sheet.block += 1
    sheet.write(width / 2, y + 18, "Cảm ơn quý khách và hẹn gặp lại!", plain, 8, align="centre")


def _form(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A form with dotted lines to write on."""
    plain, bold = f"{SERIF}-Regular", f"{SERIF}-Bold"
    sheet.block += 1
    sheet.write(297, 70, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", bold, 13, align="centre")
    sheet.write(297, 87, "Độc lập - Tự do - Hạnh phúc", bold, 13, align="centre")
    sheet.rule(220, 92, 374, 92)
    sheet.block += 1
    sheet.write(297, 130, "ĐƠN ĐĂNG KÝ DỰ TUYỂN", bold, 15, align="centre")
    sheet.write(297, 150, f"Kính gửi: {expand('place', dice)}", plain, 13, align="centre")
    labels = (
        *("Họ và tên", "Ngày sinh", "Giới tính", "Dân tộc", "Quê quán", "Nơi thường trú", "Ngày cấp"),
        *("Số định danh cá nhân", "Nơi cấp", "Trình độ học vấn", "Nghề nghiệp", "Điện thoại"),
        *("Địa chỉ liên hệ", "Ghi chú"),
    )
    y, at = 185.0, 0
    while at < len(labels):
        sheet.block += 1
        pair = dice.random() < 0.4 and at + 1 < len(labels)
        half = 215.0 if pair else 450.0
        cells = labels[at : at + (2 if pair else 1)]
        line = ""
        for number, label in enumerate(cells):
            start = f"{label}:"
            dot = sheet.measure(".", plain, 13)
            dots = int((half - 8 - sheet.measure(start, plain, 13)) / dot)
            line += (" " if number else "") + start + "." * dots
        sheet.write(75, y, line, plain, 13)
        at, y = at + len(cells), y + 24
    y = sheet.paragraph(75, y + 6, 445, next(iter(text)), plain, 13, indent=28, limit=y + 70)
    sheet.block += 1
    sheet.write(
        410, y + 24, "........., ngày ..... tháng ..... năm 20.....", f"{SERIF}-Italic", 12.5, align="centre"
    )
    sheet.write(410, y + 42, "NGƯỜI LÀM ĐƠN", bold, 13, align="centre")
    sheet.write(410, y + 58, "(Ký, ghi rõ họ tên)", f"{SERIF}-Italic", 12, align="centre")


def _letter(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A letter on tinted paper."""
    sheet.canvas.setFillColorRGB(*dice.choice(((0.98, 0.93, 0.8), (0.86, 0.93, 0.97), (0.96, 0.87, 0.87))))
    sheet.canvas.rect(0, 0, *sheet.size, stroke=0, fill=1)
    sheet.canvas.setFillColorRGB(0.12, 0.12, 0.3)
    face = f"{SERIF}-Regular"
    sheet.block += 1
    sheet.write(
        520,
        90,
        f"{expand('place', dice)}, ngày {dice.randint(1, 28)} tháng 5 năm 2024",
        f"{SERIF}-Italic",
        12.5,
        align="right",
    )
    sheet.block += 1
    sheet.write(75, 130, f"Kính gửi: Ông {expand('person', dice)}", f"{SERIF}-Bold", 13)
    y = 162.0
    while y < 640:
        y = sheet.paragraph(75, y, 445, next(iter(text)), face, 12.5, indent=25, limit=690, leading=1.45) + 6
    sheet.block += 1
    sheet.write(400, y + 20, "Trân trọng,", f"{SERIF}-Italic", 12.5, align="centre")
    sheet.write(400, y + 62, expand("person", dice), f"{SERIF}-Bold", 13, align="centre")


def _book(sheet: Sheet, dice: Random, text: Iterable[str]) -> None:
    """A dense page of a book, with its number at the foot."""
    y = 80.0
    while y < 760:
        y = sheet.paragraph(
            90, y, 415, next(iter(text)), f"{SERIF}-Regular", 12, indent=20, limit=765, leading=1.42
        )
    sheet.block += 1
    sheet.write(297, 800, str(dice.randint(3, 400)), f"{SERIF}-Regular", 11, align="centre")


Draw = Callable[[Sheet, Random, Iterable[str]], None]
KINDS: dict[str, Draw] = {
    "decision": _decision,
    "columns": _columns,
    "table": _table,
    "receipt": _receipt,
    "form": _form,
    "letter": _letter,
    "book": _book,
}


def draw_sheet(kind: str, path: Path, fonts: Path, dice: Random, text: Iterable[str]) -> Sheet:
    """Draws a page as a PDF.

    Args:
        kind: One of `KINDS`.
        path: The PDF.
        fonts: The folder of the font files of `SERIF`, `SANS` and `MONO`.
        dice: Where chance comes from.
        text: Paragraphs, as many as are asked for.
    """
    size = (226.0, 560.0) if kind == "receipt" else A4_PT
    canvas = Canvas(str(path), pagesize=size, invariant=True)
    sheet = Sheet(canvas, fonts, size)
    KINDS[kind](sheet, dice, iter(text))
    canvas.save()
    return sheet
