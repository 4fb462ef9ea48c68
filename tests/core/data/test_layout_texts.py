"""What layout files say: texts out of words, strings and hyphens; what is skipped, refused or left aside."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from layout_pages import (
    TEXTS,
    alto,
    alto_box,
    draw_page,
    page_line,
    page_xml,
    tesseract_alto_line,
    with_commas,
    write,
)
from PIL import Image

from vocr_cli.core.data.readers.entries import Entry
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import DataError

PAGE, LINES = draw_page()
SIZE = PAGE.size


def entries_of(path: Path, images: Path | None = None) -> list[Entry]:
    return list(open_source(path, SourceOptions(images=images)))


def picture(entry: Entry) -> Image.Image:
    assert isinstance(entry.image, bytes) and entry.image, entry.fault
    return Image.open(BytesIO(entry.image))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ("<String CONTENT='Hà'/><SP/><String CONTENT='Nội'/>", "Hà Nội"),
        ("<String CONTENT='Hà'/><String CONTENT='Nội'/>", "Hà Nội"),
        ("<String CONTENT='giáo' SUBS_TYPE='HypPart1' SUBS_CONTENT='giáo dục'/><HYP CONTENT='-'/>", "giáo-"),
        ("<String CONTENT='giáo-' SUBS_TYPE='HypPart1' SUBS_CONTENT='giáo dục'/><HYP/>", "giáo-"),
        ("<String CONTENT='giáo'/><HYP CONTENT='\u00ad'/>", "giáo-"),
        ("<String CONTENT='giáo\u00ad'/>", "giáo-"),
        ("<String CONTENT='dục' SUBS_TYPE='HypPart2' SUBS_CONTENT='giáo dục'/>", "dục"),
        ("<String><Glyph CONTENT='a'/><Glyph CONTENT='b'/></String>", "ab"),
        (
            "<String HPOS='10' VPOS='0' WIDTH='20' HEIGHT='20' CONTENT='(a'/>"
            "<String HPOS='30' VPOS='0' WIDTH='20' HEIGHT='20' CONTENT='b)'/><SP/>"
            "<String HPOS='60' VPOS='0' WIDTH='20' HEIGHT='20' CONTENT='c'/>",
            "(ab) c",
        ),
        (
            "<String HPOS='10' VPOS='0' WIDTH='20' HEIGHT='20' CONTENT='a'/><SP/>"
            "<String HPOS='40' VPOS='0' WIDTH='20' HEIGHT='20' CONTENT='b'/>"
            "<String HPOS='72' VPOS='0' WIDTH='20' HEIGHT='20' CONTENT='c'/>",
            "a b c",
        ),
    ],
)
def test_strings_spaces_and_hyphens_of_alto_make_the_text_that_is_seen(
    tmp_path: Path, parts: str, text: str
) -> None:
    body = f"<TextBlock><TextLine ID='l' {alto_box(LINES[0].box)}>{parts}</TextLine></TextBlock>"
    (entry,) = entries_of(write(tmp_path, "p.xml", alto(body, SIZE, version=2), PAGE))
    assert entry.label == text and entry.name == "p.xml#l"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ("<TextEquiv index='1'><Unicode>b</Unicode></TextEquiv>"
         "<TextEquiv index='0'><Unicode>a</Unicode></TextEquiv>",
         "a"),
        ("<TextEquiv conf='0.5'><Unicode>a</Unicode></TextEquiv>"
         "<TextEquiv index='1'><Unicode>b</Unicode></TextEquiv>",
         "a"),
        ("<TextEquiv index='0'><Unicode/></TextEquiv>"
         "<TextEquiv index='2'><Unicode>b</Unicode></TextEquiv>", "b"),
        ("<TextEquiv><PlainText>a</PlainText></TextEquiv>", "a"),
        ("<TextEquiv><PlainText>a</PlainText><Unicode>ă</Unicode></TextEquiv>", "ă"),
        ("<Word id='w1'><TextEquiv><Unicode>Hà</Unicode></TextEquiv></Word>"
         "<Word id='w2'><TextEquiv><Unicode>Nội</Unicode></TextEquiv></Word>", "Hà Nội"),
        ("<Word><TextEquiv><Unicode>Hà</Unicode></TextEquiv></Word>"
         "<Word><TextEquiv><Unicode> </Unicode></TextEquiv></Word>"
         "<Word><TextEquiv><Unicode>Nội</Unicode></TextEquiv></Word>"
         "<TextEquiv><Unicode/></TextEquiv>", "Hà Nội"),
        ("<Word><Glyph><TextEquiv><Unicode>H</Unicode></TextEquiv></Glyph>"
         "<Glyph><TextEquiv><Unicode>à</Unicode></TextEquiv></Glyph></Word>", "Hà"),
        ("<TextEquiv><Unicode>giáo\u00ad</Unicode></TextEquiv>", "giáo-"),
    ],
)  # fmt: skip
def test_text_equivalents_of_page_count_by_their_index_and_words_where_there_is_none(
    tmp_path: Path, parts: str, text: str
) -> None:
    line = f'<TextLine id="l"><Coords points="{with_commas(LINES[0].points)}"/>{parts}</TextLine>'
    (entry,) = entries_of(write(tmp_path, "p.xml", page_xml([line], SIZE), PAGE))
    assert entry.label == text


def test_lines_of_nested_regions_and_tables_are_found(tmp_path: Path) -> None:
    outlines = [with_commas(line.points) for line in LINES]
    inner = f'<TextRegion id="r2">{page_line("l1", "b", outlines[1])}</TextRegion>'
    table = (
        '</TextRegion><TableRegion id="t"><TextRegion id="c"><TableCellRole/>'
        f'{page_line("l2", "c", outlines[2])}</TextRegion></TableRegion><TextRegion id="r3">'
    )
    text = page_xml([page_line("l0", "a", outlines[0]), inner, table], SIZE)
    entries = entries_of(write(tmp_path, "p.xml", text, PAGE))
    assert [(entry.name, entry.label) for entry in entries] == [
        ("p.xml#l0", "a"), ("p.xml#l1", "b"), ("p.xml#l2", "c"),
    ]  # fmt: skip


def test_what_is_skipped_is_named_with_its_id(tmp_path: Path) -> None:
    outline = with_commas(LINES[0].points)
    lines = [
        page_line("good", "a", outline),
        page_line("no-text", "", outline),
        page_line("no-place", "a"),
        page_line("flat", "a", "5,5 50,5 90,5"),
        page_line("outside", "a", "5000,5 5100,5 5100,50 5000,50"),
        page_line("odd", "a", "5,5 50"),
        page_line("astronomical", "a", "0,0 9e9,0 9e9,9 0,9"),
        '</TextRegion><TextRegion id="whole"><TextEquiv><Unicode>a b c</Unicode></TextEquiv>',
    ]
    entries = entries_of(write(tmp_path, "p.xml", page_xml(lines, SIZE), PAGE))
    faults = {entry.name.removeprefix("p.xml#"): entry.fault for entry in entries}
    assert not faults["good"] and len(faults) == len(lines)
    for key, words in [
        ("no-text", "no text"), ("no-place", "neither Coords nor a Baseline"), ("flat", "polygon"),
        ("outside", "outside the image"), ("odd", "not pairs"), ("astronomical", "no positions"),
        ("whole", "region"),
    ]:  # fmt: skip
        assert words in faults[key], key


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<PcGts><Page imageFilename='p.png'><TextLine><TextEquiv><Unicode>a</Unicode></TextEquiv></TextLine>"
         "</Page></PcGts>", "neither Coords nor a Baseline"),
        ("<PcGts><Page imageFilename='p.png'><TextRegion/></Page></PcGts>", "no text line"),
        ("<mets><fileSec/></mets>", "XML (mets)"),
        ("<PcGts><Page><TextLine></PcGts>", "damaged XML"),
        ('<!DOCTYPE PcGts [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><PcGts>&b;</PcGts>', "entities"),
        ('<!DOCTYPE PcGts [<!ENTITY x SYSTEM "file:///etc/passwd">]><PcGts>&x;</PcGts>', "entities"),
        (alto("", SIZE, unit="furlong"), "furlong"),
        (page_xml([page_line("l", "a", "1,1 9,1 9,9 1,9")], SIZE, "gone.png"), "no image"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_with_a_remedy(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "name.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        entries_of(tmp_path / "name.xml")
    assert words in caught.value.problem and "name.xml" in caught.value.problem and caught.value.fix
    assert "passwd" not in caught.value.problem and "Relative paths" not in caught.value.fix


def test_another_picture_is_refused_and_a_smaller_copy_is_scaled(tmp_path: Path) -> None:
    lines = [page_line("l", TEXTS[0], with_commas(LINES[0].points))]
    path = write(tmp_path, "p.xml", page_xml(lines, SIZE), PAGE.resize((400, 400)))
    (entry,) = entries_of(path)
    assert "another picture" in entry.fault and "400 × 400" in entry.fault
    PAGE.resize((SIZE[0] // 2, SIZE[1] // 2)).save(tmp_path / "p.png")
    (entry,) = entries_of(path)
    assert abs(picture(entry).width - (LINES[0].box[2] - LINES[0].box[0]) / 2) < 30


def test_pages_of_one_file_are_those_of_its_image(tmp_path: Path) -> None:
    other, others = draw_page(TEXTS[2:])
    PAGE.save(tmp_path / "p.tif", save_all=True, append_images=[other.resize(SIZE)])
    scale = SIZE[1] / other.height
    pages = [
        f'<Page ID="page_{n}" WIDTH="{SIZE[0]}" HEIGHT="{SIZE[1]}">'
        f'<TextLine ID="line_0" {alto_box(box)}><String CONTENT="{text}"/></TextLine></Page>'
        for n, (text, box) in enumerate(
            [(TEXTS[0], LINES[0].box), (TEXTS[2], [v * scale for v in others[0].box])]
        )
    ]
    whole = alto("", SIZE, "p.tif")
    text = whole[: whole.index("<Page")] + "".join(pages) + "</Layout></alto>"
    entries = entries_of(write(tmp_path, "p.xml", text))
    assert [(entry.name, entry.label) for entry in entries] == [
        ("p.xml#page_0.line_0", TEXTS[0]), ("p.xml#page_1.line_0", TEXTS[2]),
    ]  # fmt: skip
    first, second = (np.asarray(picture(entry).convert("L")) for entry in entries)
    assert first.shape != second.shape or (first != second).any()
    single = whole.replace("<PrintSpace>", f"<PrintSpace>{tesseract_alto_line(LINES[0], 'l')}")
    (entry,) = entries_of(
        write(tmp_path, "one.xml", single.replace('PHYSICAL_IMG_NR="0"', 'PHYSICAL_IMG_NR="7"'))
    )
    assert "2 pages" in entry.fault


def test_a_folder_gives_each_page_once_and_says_what_it_leaves_aside(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    outlines = [page_line(f"r1l{n}", line.text, with_commas(line.points)) for n, line in enumerate(LINES)]
    PAGE.save(tmp_path / "p.png")
    write(tmp_path / "page", "p.xml", page_xml(outlines, SIZE, year="2013-07-15"))
    (tmp_path / "alto").mkdir()
    lines = "".join(tesseract_alto_line(line, f"l{n}") for n, line in enumerate(LINES))
    write(tmp_path / "alto", "p.xml", alto(f"<TextBlock>{lines}</TextBlock>", SIZE))
    write(tmp_path, "mets.xml", "<mets><fileSec/></mets>")
    write(tmp_path / "page", "broken.xml", "<PcGts><Page>")
    source = open_source(tmp_path)
    entries = list(source)
    assert [entry.name for entry in entries] == ["page/broken.xml", *(f"page/p.xml#r1l{n}" for n in range(4))]
    assert "damaged" in entries[0].fault and not any(entry.fault for entry in entries[1:])
    notes = " ".join(source.notes)
    assert "alto/p.xml" in notes and "mets.xml" in notes
    assert list(open_source(tmp_path)) == entries


def test_images_lie_where_the_user_says(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    lines = [page_line("l", TEXTS[0], with_commas(LINES[0].points))]
    path = write(tmp_path, "x.xml", page_xml(lines, SIZE))
    PAGE.save(tmp_path / "scans" / "p.png")
    (entry,) = entries_of(path, tmp_path / "scans")
    assert picture(entry).height > 30
