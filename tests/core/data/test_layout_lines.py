"""Lines of PAGE XML, ALTO and hOCR: each with its text, and a picture that reads as one cut by hand does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from layout_pages import (
    TEXTS,
    PageLine,
    alto,
    alto_box,
    draw_page,
    hocr,
    hocr_line,
    page_line,
    page_xml,
    tesseract_alto_line,
    with_commas,
    with_spaces,
    write,
)
from PIL import Image

from vocr_cli.core.data.readers.entries import Entry
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.inference import Recognizer

Points = Sequence[tuple[float, float]]
PAGE, LINES = draw_page()
SIZE = PAGE.size


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("vi-small", device="cpu", threads=1)


def entries_of(path: Path, images: Path | None = None) -> list[Entry]:
    return list(open_source(path, SourceOptions(images=images)))


def picture(entry: Entry) -> Image.Image:
    assert isinstance(entry.image, bytes) and entry.image, entry.fault
    return Image.open(BytesIO(entry.image))


def assert_reads_as_cut_by_hand(
    recognizer: Recognizer,
    entries: Sequence[Entry],
    lines: Sequence[PageLine] = LINES,
    page: Image.Image = PAGE,
) -> None:
    """Every line is there, with its text, and its picture reads as a rectangle cut out of the level page."""
    assert [entry.label for entry in entries] == [line.text for line in lines]
    hand = [page.crop((b[0] - 3, b[1] - 3, b[2] + 3, b[3] + 3)) for b in (line.box for line in lines)]
    read = [reading.text for reading in recognizer.read([*map(picture, entries), *hand])]
    assert read[: len(entries)] == read[len(entries) :] == [line.text for line in lines]


def turned(degrees: float) -> tuple[Image.Image, Callable[[Points], Points]]:
    """The page turned counterclockwise around its middle, and what that makes of points."""
    image = PAGE.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def moved(points: Points) -> Points:
        offsets = [(x - PAGE.width / 2, y - PAGE.height / 2) for x, y in points]
        return [
            (round(x * cosine + y * sine + image.width / 2), round(y * cosine - x * sine + image.height / 2))
            for x, y in offsets
        ]

    return image, moved


def jagged(line: PageLine) -> Points:
    """An outline as kraken draws it: through the letters, below the marks of capitals and of `ủ`."""
    left, top, right, bottom = line.box
    upper = [(x, top + (5 if x % 3 else 2)) for x in range(left, right, 11)]
    lower = [(x, bottom - (2 if x % 3 else 1)) for x in range(right, left, -13)]
    return [*upper, *lower]


def transkribus(folder: Path) -> Path:
    (folder / "page").mkdir()
    lines = [
        page_line(f"r1l{n}", line.text, with_commas(line.points), with_commas(line.baseline))
        for n, line in enumerate(LINES)
    ]
    PAGE.save(folder / "p.png")
    text = page_xml(
        lines, SIZE, year="2013-07-15", region='orientation="0.0" custom="readingOrder {index:0;}"'
    )
    return write(folder / "page", "p.xml", text)


def escriptorium_alto(folder: Path) -> Path:
    lines = [
        f'<TextLine ID="eSc_line_{n}" BASELINE="{with_spaces(line.baseline)}" {alto_box(line.box)}>'
        f'<Shape><Polygon POINTS="{with_spaces(jagged(line))}"/></Shape>'
        f'<String CONTENT="{line.text}" {alto_box(line.box)}></String></TextLine>'
        for n, line in enumerate(LINES)
    ]
    body = f'<TextBlock ID="eSc_dummyblock_">{"".join(lines)}</TextBlock>'
    return write(folder, "p.xml", alto(body, SIZE), PAGE)


def tesseract_alto(folder: Path) -> Path:
    lines = "".join(tesseract_alto_line(line, f"line_{n}") for n, line in enumerate(LINES))
    body = (
        f"<ComposedBlock ID='c'><ComposedBlock><TextBlock>{lines}</TextBlock></ComposedBlock></ComposedBlock>"
    )
    return write(folder, "p.xml", alto(body, SIZE, version=3), PAGE)


def alto_in_tenths_of_mm(folder: Path) -> Path:
    scale = 254 / 300
    lines = "".join(tesseract_alto_line(line, f"l{n}", scale) for n, line in enumerate(LINES))
    size = SIZE[0] * scale, SIZE[1] * scale
    return write(folder, "p.xml", alto(f"<TextBlock>{lines}</TextBlock>", size, version=2, unit="mm10"), PAGE)


def alto_in_inch1200_by_resolution(folder: Path) -> Path:
    lines = "".join(tesseract_alto_line(line, f"l{n}", 1200 / 300) for n, line in enumerate(LINES))
    PAGE.save(folder / "p.tif", dpi=(300, 300))
    text = alto(f"<TextBlock>{lines}</TextBlock>", None, "p.tif", version=2, unit="inch1200")
    return write(folder, "p.xml", text)


def hocr_of_tesseract(folder: Path) -> Path:
    lines = [hocr_line(line, f"line_1_{n}") for n, line in enumerate(LINES)]
    return write(folder, "p.hocr", hocr(lines, SIZE), PAGE)


def hocr_of_windows(folder: Path) -> Path:
    lines = [hocr_line(line, f"line_1_{n}") for n, line in enumerate(LINES)]
    return write(folder, "page1.html", hocr(lines, SIZE, 'image "C:\\scans\\Năm; 2021\\P.PNG"'), PAGE)


def hocr_of_kraken(folder: Path) -> Path:
    lines = [
        f'<span class="ocr_line" id="l{n}" title="bbox {" ".join(map(str, line.box))}; '
        f'poly {with_spaces(jagged(line))}">\n<span class="ocrx_word" title="bbox 0 0 1 1">{line.text}</span>'
        "</span><br>"
        for n, line in enumerate(LINES)
    ]
    body = f'<div class="ocr_page" title="bbox 0 0 {SIZE[0]} {SIZE[1]}; image p.png">{"".join(lines)}</div>'
    return write(folder, "k.html", f"<!DOCTYPE html><html><body>{body}</body></html>", PAGE)


def baselines_alone(folder: Path) -> Path:
    lines = [page_line(f"l{n}", line.text, "", with_commas(line.baseline)) for n, line in enumerate(LINES)]
    return write(folder, "p.xml", page_xml(lines, SIZE, year="2017-07-15"), PAGE)


def backward_baselines(folder: Path) -> Path:
    lines = [
        page_line(f"l{n}", line.text, with_commas(line.points), with_commas(line.baseline[::-1]))
        for n, line in enumerate(LINES)
    ]
    return write(folder, "p.xml", page_xml(lines, SIZE), PAGE)


def twice_the_size(folder: Path) -> Path:
    lines = [
        page_line(f"l{n}", line.text, with_commas([(2 * x, 2 * y) for x, y in line.points]))
        for n, line in enumerate(LINES)
    ]
    return write(folder, "p.xml", page_xml(lines, (2 * SIZE[0], 2 * SIZE[1])), PAGE)


def image_by_stem(folder: Path) -> Path:
    lines = [page_line(f"l{n}", line.text, with_commas(line.points)) for n, line in enumerate(LINES)]
    PAGE.save(folder / "Trang-1.jpg", quality=95)
    return write(folder, "Trang-1.page.xml", page_xml(lines, SIZE, "another name.tif"))


def old_points(folder: Path) -> Path:
    """PAGE of 2010 has an element for each point."""
    lines = [
        f'<TextLine id="l{n}"><Coords>{"".join(f"<Point x={x!r} y={y!r}/>" for x, y in texts)}</Coords>'
        f"<TextEquiv><Unicode>{line.text}</Unicode></TextEquiv></TextLine>"
        for n, line in enumerate(LINES)
        for texts in [[(str(x), str(y)) for x, y in line.points]]
    ]
    return write(folder, "p.xml", page_xml(lines, SIZE, year="2010-03-19"), PAGE)


LAYOUTS = [
    transkribus, escriptorium_alto, tesseract_alto, alto_in_tenths_of_mm, alto_in_inch1200_by_resolution,
    hocr_of_tesseract, hocr_of_windows, hocr_of_kraken, baselines_alone, backward_baselines, twice_the_size,
    image_by_stem, old_points,
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.__name__ for layout in LAYOUTS])
def test_every_line_has_its_text_and_reads_as_one_cut_by_hand(
    tmp_path: Path, recognizer: Recognizer, layout: Callable[[Path], Path]
) -> None:
    path = layout(tmp_path)
    entries = entries_of(path)
    assert_reads_as_cut_by_hand(recognizer, entries)
    assert all(entry.name.startswith(f"{path.name}#") for entry in entries)


@pytest.mark.parametrize(
    "degrees", [2, 90, *(pytest.param(more, marks=pytest.mark.slow) for more in (-3, 40, 180, -90))]
)
def test_a_turned_page_is_cut_along_baselines(tmp_path: Path, recognizer: Recognizer, degrees: float) -> None:
    image, moved = turned(degrees)
    lines = [
        page_line(f"l{n}", line.text, with_commas(moved(line.points)), with_commas(moved(line.baseline)))
        for n, line in enumerate(LINES)
    ]
    entries = entries_of(write(tmp_path, "p.xml", page_xml(lines, image.size), image))
    assert_reads_as_cut_by_hand(recognizer, entries)
    assert all(picture(entry).height < 90 for entry in entries)


@pytest.mark.parametrize("degrees", [3, pytest.param(-4, marks=pytest.mark.slow)])
def test_a_sloping_polygon_is_cut_level_though_it_has_no_baseline(
    tmp_path: Path, recognizer: Recognizer, degrees: float
) -> None:
    image, moved = turned(degrees)
    lines = [page_line(f"l{n}", line.text, with_commas(moved(line.points))) for n, line in enumerate(LINES)]
    entries = entries_of(write(tmp_path, "p.xml", page_xml(lines, image.size), image))
    assert_reads_as_cut_by_hand(recognizer, entries)


@pytest.mark.parametrize(
    ("quarter", "said"), [(90, 90), *(pytest.param(n, n, marks=pytest.mark.slow) for n in (-90, 180))]
)
def test_a_region_that_stands_is_turned_as_its_file_says(
    tmp_path: Path, recognizer: Recognizer, quarter: int, said: int
) -> None:
    image, moved = turned(quarter)
    boxes = [moved(line.points) for line in LINES]
    lines = [
        page_line(f"l{n}", line.text, with_commas(box))
        for n, (line, box) in enumerate(zip(LINES, boxes, strict=True))
    ]
    page = write(tmp_path, "p.xml", page_xml(lines, image.size, region=f'orientation="{said}"'), image)
    assert_reads_as_cut_by_hand(recognizer, entries_of(page))
    rectangles = [(*map(min, zip(*box, strict=True)), *map(max, zip(*box, strict=True))) for box in boxes]
    body = "".join(
        f'<TextLine ID="l{n}" {alto_box(box)}><String CONTENT="{line.text}"/></TextLine>'
        for n, (line, box) in enumerate(zip(LINES, rectangles, strict=True))
    )
    block = f'<TextBlock ROTATION="{said}">{body}</TextBlock>'
    assert_reads_as_cut_by_hand(recognizer, entries_of(write(tmp_path, "a.xml", alto(block, image.size))))
    spans = [
        f"<span class='ocr_line' title='bbox {' '.join(map(str, box))}; textangle {said % 360}'>"
        f"{line.text}</span>"
        for line, box in zip(LINES, rectangles, strict=True)
    ]
    assert_reads_as_cut_by_hand(recognizer, entries_of(write(tmp_path, "h.hocr", hocr(spans, image.size))))


def test_words_tell_where_a_standing_line_begins(tmp_path: Path, recognizer: Recognizer) -> None:
    image, moved = turned(90)

    def box(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        points = moved([(box[0], box[1]), (box[2], box[3])])
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)  # type: ignore[return-value]

    lines = [
        hocr_line(
            PageLine(line.text, box(line.box), [box(word) for word in line.words], 0),
            f"l{n}",
            "baseline 577 -9",
        )
        for n, line in enumerate(LINES)
    ]
    entries = entries_of(write(tmp_path, "p.hocr", hocr(lines, image.size), image))
    assert_reads_as_cut_by_hand(recognizer, entries)


def test_a_curved_line_is_straightened(tmp_path: Path, recognizer: Recognizer) -> None:
    bend = [round(30 * math.sin(math.pi * x / PAGE.width)) for x in range(PAGE.width)]
    pixels = np.asarray(PAGE)
    curved = np.stack([np.roll(pixels[:, x], bend[x], axis=0) for x in range(PAGE.width)], axis=1)

    def along(y: int, line: PageLine) -> list[tuple[int, int]]:
        left, _, right, _ = line.box
        return [(x, y + bend[x]) for x in (*range(left, right, 25), right)]

    lines = [
        page_line(
            f"l{n}",
            line.text,
            with_commas([*along(line.box[1], line), *along(line.box[3], line)[::-1]]) if n % 2 else "",
            with_commas(along(line.foot, line)),
        )
        for n, line in enumerate(LINES)
    ]
    path = write(tmp_path, "p.xml", page_xml(lines, PAGE.size), Image.fromarray(curved))
    entries = entries_of(path)
    assert_reads_as_cut_by_hand(recognizer, entries)
    assert all(picture(entry).height < 75 for entry in entries)


def test_what_lies_outside_a_polygon_becomes_the_ground_of_the_page(tmp_path: Path) -> None:
    page, lines = draw_page(TEXTS[:2], pitch_px=46, ground="#d8cfae")
    outline = [(x, y) for x, y in lines[0].points]
    stray = page_line("l0", lines[0].text, with_commas(outline))
    other = page_line("l1", lines[1].text, with_commas(lines[1].points))
    entries = entries_of(write(tmp_path, "p.xml", page_xml([stray, other], page.size), page))
    line = np.asarray(picture(entries[0]).convert("RGB")).astype(int)
    below = line[-4:].reshape(-1, 3)  # where the capitals of the next line stand
    assert np.abs(below - [0xD8, 0xCF, 0xAE]).max() < 12


def test_an_image_cut_to_the_print_space_is_shifted(tmp_path: Path, recognizer: Recognizer) -> None:
    def shifted(box: Sequence[float]) -> list[float]:
        return [box[0] + 200, box[1] + 300, box[2] + 200, box[3] + 300]

    lines = "".join(
        f'<TextLine ID="l{n}" {alto_box(shifted(line.box))}><String CONTENT="{line.text}"/></TextLine>'
        for n, line in enumerate(LINES)
    )
    text = alto(f"<TextBlock>{lines}</TextBlock>", (2000, 1500)).replace(
        "<PrintSpace>", f"<PrintSpace {alto_box([200, 300, 200 + SIZE[0], 300 + SIZE[1]])}>"
    )
    assert_reads_as_cut_by_hand(recognizer, entries_of(write(tmp_path, "p.xml", text, PAGE)))


def test_a_photo_is_cut_as_it_is_stored_or_as_it_is_seen_whichever_the_file_describes(
    tmp_path: Path, recognizer: Recognizer
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright = page_xml(
        [page_line(f"l{n}", line.text, with_commas(line.points)) for n, line in enumerate(LINES)], SIZE
    )
    PAGE.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "p.png", exif=exif)
    assert_reads_as_cut_by_hand(recognizer, entries_of(write(tmp_path, "seen.xml", upright)))
    PAGE.save(tmp_path / "p.png", exif=exif)
    assert_reads_as_cut_by_hand(recognizer, entries_of(write(tmp_path, "stored.xml", upright)))
