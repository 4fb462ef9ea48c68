"""PDFs as pages and as output: drawn, refused with a reason, and made searchable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_pages import LINES, SIZE, box_of_line, draw_page, write_page
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import build_app
from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.errors import DataError, DependencyError
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.pages.inputs.pdf import PdfPages
from vocr_cli.core.pages.outputs.formats import FormatOptions, Target, write_document
from vocr_cli.core.pages.page import Page, PageLine

pikepdf = pytest.importorskip("pikepdf")
pypdfium2 = pytest.importorskip("pypdfium2")


def read(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(["read"]), ["read", *map(str, arguments)])


def words_of(file: Path, number: int = 0) -> dict[str, tuple[float, float, float, float]]:
    """The words of a page of a PDF and their boxes in its own units: left, bottom, right, top."""
    document = pypdfium2.PdfDocument(file)
    page = document[number]
    textpage, found = page.get_textpage(), {}
    text = textpage.get_text_range()
    at = 0
    for word in text.replace("\r\n", "  ").split(" "):
        if word:
            boxes = np.array([textpage.get_charbox(at + index) for index in range(len(word))])
            found[word] = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
        at += len(word) + 1
    document.close()
    return found


def test_a_searchable_pdf_holds_each_word_at_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = read(write_page(tmp_path), "--format", "pdf", "--out", out)
    assert result.exit_code == 0, result.output
    words, unit = words_of(out / "page.pdf"), 200 / 72  # px: the image does not tell its resolution
    for place in LINES:
        left, top, right, bottom = box_of_line(place)
        first, *_, last = place[2].split()
        assert abs(words[first][0] * unit - left) < 12 and abs(words[last][2] * unit - right) < 12
        upper, lower = (SIZE[1] - words[first][at] * unit for at in (3, 1))
        assert abs(upper - top) < 12 and abs(lower - bottom) < 12


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_text_lies_over_a_page_however_its_pdf_turns_and_crops_it(tmp_path: Path, turn: int) -> None:
    source = tmp_path / "source.pdf"
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(600, 800))
        page.obj.CropBox = pikepdf.Array([50, 40, 550, 740])
        page.obj.Rotate = turn
        pdf.save(source)
    width, height = (500, 700) if turn % 180 == 0 else (700, 500)
    corners = tuple((x * width, y * height) for x, y in ((0.2, 0.1), (0.4, 0.1), (0.4, 0.15), (0.2, 0.15)))
    line = PageLine(corners, Reading("Nghệ", 1.0, (1.0,) * 4), words=((0.0, 1.0),))
    read_page = Page(str(source), 1, width, height, 72.0, lines=(line,))
    write_document(Target(tmp_path, "out", "pdf", source, 1), [read_page], FormatOptions())
    left, bottom, right, top = words_of(tmp_path / "out.pdf")["Nghệ"]
    x, y = {0: (150, 640), 90: (110, 180), 180: (450, 140), 270: (490, 600)}[turn]  # its begin, as it is seen
    across, up = (right - left, top - bottom) if turn % 180 == 0 else (top - bottom, right - left)
    assert left - 8 < x < right + 8 and bottom - 8 < y < top + 8
    assert abs(across - 0.2 * width) < 3 and abs(up - 0.05 * height) < 8
    start = {0: left, 90: bottom, 180: right, 270: top}[turn]
    assert abs(start - (x if turn % 180 == 0 else y)) < 3


def _text_of(file: Path) -> str:
    document = pypdfium2.PdfDocument(file)
    text = document[0].get_textpage().get_text_range()
    document.close()
    return " ".join(text.split())


def _with_text(file: Path, operators: str, *, in_form: bool = False) -> Path:
    """A page of 600 x 800 points with a grey box and some text, in the page itself or in a form on it."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(600, 800))
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
        page.obj.Resources = resources
        page.contents_add(b"0.5 g 50 50 100 100 re f 0 g")
        if in_form:
            form = pikepdf.Stream(pdf, operators.encode())
            form.Type, form.Subtype = pikepdf.Name.XObject, pikepdf.Name.Form
            form.BBox, form.Resources = pikepdf.Array([0, 0, 600, 800]), resources
            page.obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Ocr=pdf.make_indirect(form)))
            operators = "/Ocr Do"
        page.contents_add(operators.encode())
        pdf.save(file)
    return file


def _over(source: Path, text: str) -> Path:
    """Lays a line over a page, from its left to its right at 80 points from above, and back."""
    corners = ((55.0, 80.0), (400.0, 80.0), (400.0, 110.0), (55.0, 110.0))
    reading = Reading(text, 1.0, (1.0,) * len(text))
    ends = tuple(
        (index / len(text.split()), (index + 0.9) / len(text.split())) for index in range(len(text.split()))
    )
    page = Page(str(source), 1, 600, 800, 72.0, lines=(PageLine(corners, reading, words=ends),))
    out = source.with_name(f"{source.stem}-out")
    write_document(Target(out.parent, out.name, "pdf", source, 1), [page], FormatOptions())
    return out.with_suffix(".pdf")


def _drawn(file: Path) -> np.ndarray:
    return PdfPages(file, 72).page(0).pixels


@pytest.mark.parametrize("in_form", [False, True])
@pytest.mark.parametrize(
    "show", ["(Wrong old text) Tj", "[(Wrong) -250 (old text)] TJ", "14 TL (Wrong old text) '"]
)
def test_what_an_earlier_ocr_left_unseen_gives_way(tmp_path: Path, show: str, in_form: bool) -> None:
    seen = "BT /F 12 Tf 60 60 Td (Page 7) Tj ET"
    unseen = f"q BT 3 Tr /F 20 Tf 60 700 Td {show} ET Q {seen}"
    source = _with_text(tmp_path / "scan.pdf", unseen, in_form=in_form)
    assert "Wrong old" in _text_of(source)
    out = _over(source, "Right new text")
    assert sorted(_text_of(out).split()) == sorted("Right new text Page 7".split())
    assert np.array_equal(_drawn(source), _drawn(out))
    assert sorted(_text_of(_over(out, "Newer text")).split()) == sorted("Newer text Page 7".split())


def test_seen_text_stays_where_it_is_behind_unseen_text(tmp_path: Path) -> None:
    mixed = "BT /F 18 Tf 60 700 Td 3 Tr (Unseen ) Tj 0 Tr (seen letters) Tj ET"
    after = 'BT /F 18 Tf 60 600 Td 3 Tr 10 3 (Unseen) " ET BT 0 Tr /F 18 Tf 60 500 Td (wide words) Tj ET'
    source = _with_text(tmp_path / "mixed.pdf", f"{mixed} {after}")
    out = _over(source, "Right new text")
    assert np.array_equal(_drawn(source), _drawn(out))
    assert _text_of(out).count("seen letters") == 1


@pytest.mark.parametrize(
    "show",
    [
        "3 Tr (Wrong ) Tj 0 Tr 0 -30 Td (seen) Tj",
        "(seen) Tj 0 -30 TD 3 Tr (Wrong) Tj 0 Tr 1 0 0 1 90 600 Tm (letters) Tj",
        "3 Tr (Wrong) Tj (Wrong) ' T* 0 Tr (seen) Tj",
        '0 Tr (seen) Tj 3 Tr 5 2 (Wrong) " 0 Tr T* (letters) Tj',
        "3 Tr (Wrong) Tj 0 Tr (seen) '",
        "3 Tr (Wrong) Tj T* (Wrong) Tj 0 Tr",
    ],
)
def test_unseen_text_between_seen_text_gives_way_where_nothing_stands_by_it(
    tmp_path: Path, show: str
) -> None:
    text = f"BT /F 18 Tf 60 700 Td 20 TL {show} ET BT /F 18 Tf 60 500 Td (spaced words) Tj ET"
    source = _with_text(tmp_path / "mixed.pdf", text)
    assert "Wrong" in _text_of(source)
    out = _over(source, "Right new text")
    assert "Wrong" not in _text_of(out)
    assert np.array_equal(_drawn(source), _drawn(out))


def _below_image(file: Path, before: str, after: str = "", **image: object) -> Path:
    """A page of 600 x 800 points that shows text, then draws a grey image."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(600, 800))
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        scan = pikepdf.Stream(pdf, bytes([200]))
        scan.Type, scan.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
        scan.Width, scan.Height, scan.BitsPerComponent = 1, 1, 8
        scan.ColorSpace = pikepdf.Name.DeviceGray
        for key, value in image.items():
            scan[f"/{key}"] = pdf.make_indirect(value) if isinstance(value, pikepdf.Stream) else value
        page.obj.Resources = pikepdf.Dictionary(
            Font=pikepdf.Dictionary(F=font),
            XObject=pikepdf.Dictionary(Scan=pdf.make_indirect(scan)),
            ExtGState=pikepdf.Dictionary(Half=pikepdf.Dictionary(ca=0.5), Full=pikepdf.Dictionary(ca=1)),
        )
        page.contents_add(f"BT /F 20 Tf 60 700 Td (Wrong old text) Tj ET {before} /Scan Do {after}".encode())
        pdf.save(file)
    return file


@pytest.mark.parametrize(
    "placed",
    [
        "q 600 0 0 800 0 0 cm",
        "q 2 0 0 2 -10 -20 cm q 1 0 0 1 5 10 cm 300 0 0 400 0 0 cm",
        "q 0 800 -600 0 600 0 cm",
        "q /Full gs 597 0 0 -796 1 799 cm",
        "/Span BMC EMC q 600 0 0 800 0 0 cm",
    ],
)
def test_text_below_a_scan_gives_way(tmp_path: Path, placed: str) -> None:
    over = "BT /F 12 Tf 60 60 Td (Page 7) Tj ET"
    source = _below_image(tmp_path / "scan.pdf", placed, f"{'Q ' * placed.count('q ')} {over}")
    assert "Wrong old" in _text_of(source)
    out = _over(source, "Right new text")
    assert sorted(_text_of(out).split()) == sorted("Right new text Page 7".split())
    assert np.array_equal(_drawn(source), _drawn(out))


@pytest.mark.parametrize(
    "placed",
    [
        "q 300 0 0 800 0 0 cm",
        "q 600 0 0 700 0 0 cm",
        "q 500 100 -100 700 50 0 cm",
        "q 0 0 100 100 re W n 600 0 0 800 0 0 cm",
        "q /Half gs 600 0 0 800 0 0 cm",
        "/OC /Layer BDC q 600 0 0 800 0 0 cm",
        "q /Unknown gs 600 0 0 800 0 0 cm",
    ],
)
def test_text_that_an_image_may_not_hide_stays(tmp_path: Path, placed: str) -> None:
    out = _over(_below_image(tmp_path / "scan.pdf", placed, "Q"), "Right new text")
    assert "Wrong old text" in _text_of(out)


def test_text_below_an_image_that_lets_it_through_stays(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        mask = pikepdf.Stream(pdf, bytes([100]))
        mask.Type, mask.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
        mask.Width, mask.Height, mask.BitsPerComponent = 1, 1, 8
        mask.ColorSpace = pikepdf.Name.DeviceGray
        scan = "q 600 0 0 800 0 0 cm"
        for key, value in (("Mask", pikepdf.Array([190, 210])), ("SMaskInData", 1)):
            out = _over(_below_image(tmp_path / f"{key}.pdf", scan, "Q", **{key: value}), "Right new text")
            assert "Wrong old text" in _text_of(out), key


def test_forms_that_share_their_resources_are_looked_at_once(tmp_path: Path) -> None:
    source = _with_text(tmp_path / "forms.pdf", "BT 3 Tr /F 20 Tf 60 700 Td (Old) Tj ET", in_form=True)
    with pikepdf.open(source, allow_overwriting_input=True) as pdf:
        resources = pdf.make_indirect(pdf.pages[0].obj.Resources)
        pdf.pages[0].obj.Resources = resources
        for number in range(14):  # 14 to the power of their depth, if each were followed from each
            form = pikepdf.Stream(pdf, b"0.9 g 5 5 9 9 re f")
            form.Type, form.Subtype = pikepdf.Name.XObject, pikepdf.Name.Form
            form.BBox, form.Resources = pikepdf.Array([0, 0, 600, 800]), resources
            resources.XObject[f"/Fm{number}"] = pdf.make_indirect(form)
        pdf.save(source)
    assert _text_of(_over(source, "New text")) == "New text"


def test_what_a_page_leaves_open_does_not_move_its_text(tmp_path: Path) -> None:
    source = _with_text(tmp_path / "open.pdf", "q 0.5 0 0 0.5 0 0 cm q 3 0 0 3 7 7 cm")
    left, bottom, right, top = words_of(_over(source, "New text"))["New"]
    assert 40 < left < right < 250 and 680 < bottom < top < 730


def _broken(pdf: pikepdf.Pdf, page: pikepdf.Page, fault: str) -> None:
    undone = pikepdf.Stream(pdf, b"no deflated bytes")
    undone.Filter = pikepdf.Name.FlateDecode
    objects = {"xobject": pikepdf.Dictionary(A=1), "xobjects": pikepdf.Array([])}
    if fault in objects:
        page.obj.Resources.XObject = objects[fault]
    elif fault == "rotate":
        page.obj.Rotate = pikepdf.Name.X
    elif fault == "crop":
        page.obj.CropBox = pikepdf.Array([pikepdf.Name.X, 0, 1])
    elif fault == "mode":
        page.contents_add(b"/X Tr")
    else:
        other = {"null": pikepdf.Object.parse(b"null"), "flate": pdf.make_indirect(undone)}[fault]
        page.obj.Contents = pikepdf.Array([page.obj.Contents, other])


@pytest.mark.parametrize("fault", ["xobject", "xobjects", "rotate", "crop", "mode", "null", "flate"])
def test_odd_pdfs_that_readers_draw_get_their_text(tmp_path: Path, fault: str) -> None:
    source = _with_text(tmp_path / "odd.pdf", "BT /F 20 Tf 60 600 Td (Seen) Tj ET")
    with pikepdf.open(source, allow_overwriting_input=True) as pdf:
        pdf.pages[0].contents_coalesce()
        _broken(pdf, pdf.pages[0], fault)
        pdf.save(source)
    assert "New text" in _text_of(_over(source, "New text"))


def test_a_pdf_that_cannot_be_written_anew_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(write_page(tmp_path / "a"), "--format", "pdf", "--out", tmp_path / "pdfs")
    shutil.copy(tmp_path / "pdfs" / "page.pdf", tmp_path / "pdfs" / "odd.pdf")
    save = pikepdf.Pdf.save

    def failing(pdf: pikepdf.Pdf, *arguments: object, **options: object) -> None:
        if pdf.filename.endswith("odd.pdf"):
            raise pikepdf.PdfError("what is it")
        save(pdf, *arguments, **options)

    monkeypatch.setattr(pikepdf.Pdf, "save", failing)
    both = (tmp_path / "pdfs" / "odd.pdf", tmp_path / "pdfs" / "page.pdf")
    for more in ((), ("--resume",)):
        result = read(*both, "--text-layer", "--format", "pdf", "--out", tmp_path / "out", *more)
        assert result.exit_code == 3, result.output
        assert "no text can be laid over it" in result.stderr and "what is it" in result.stderr
        assert "Quyết định" in _text_of(tmp_path / "out" / "page.pdf")
        assert not (tmp_path / "out" / "odd.pdf").exists()


def test_characters_beyond_the_basic_plane_shift_no_others(tmp_path: Path) -> None:
    source = tmp_path / "page.pdf"
    Image.new("L", (600, 800), 255).save(source)
    out = _over(_over(source, "Hai 😀 𝐀 chữ"), "Hai 😀 𝐀 chữ")
    result = read(out, "--text-layer", "--format", "jsonl")
    lines = json.loads(result.stdout.splitlines()[0])["lines"]
    assert " ".join(line["text"] for line in lines) == "Hai 😀 𝐀 chữ"


@pytest.mark.parametrize(
    ("read_line", "expected"),
    [
        ("Cong ty so 12", "Cong ty so 12"),
        ("Cong ty s0 12", "Cong ty so 12"),  # one character misread
        ("Công tỹ số 12", "Cong ty so 12 Công tỹ số 12"),  # letters that the PDF does not hold
    ],
)
def test_text_that_is_seen_is_not_said_twice(tmp_path: Path, read_line: str, expected: str) -> None:
    source = _with_text(tmp_path / "born.pdf", "BT /F 20 Tf 60 700 Td (Cong ty so 12) Tj ET")
    assert sorted(_text_of(_over(source, read_line)).split()) == sorted(expected.split())


def test_the_text_of_a_pdf_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    read(write_page(tmp_path), "--format", "pdf", "--out", tmp_path / "out")
    result = read(tmp_path / "out" / "page.pdf", "--text-layer", "--detector", "layout")
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.split("\n") if line] == [text for _, _, text in LINES]


def test_pdfs_that_cannot_be_read_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    draw_page().convert("RGB").save(tmp_path / "good.pdf")
    content = (tmp_path / "good.pdf").read_bytes()
    with pikepdf.open(tmp_path / "good.pdf") as pdf:
        pdf.save(tmp_path / "encrypted.pdf", encryption=pikepdf.Encryption(owner="a", user="b"))
    (tmp_path / "cut.pdf").write_bytes(content[: len(content) // 3])
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "other.pdf").write_bytes(b"no PDF at all\n" * 20)
    result = read(tmp_path, "--detector", "layout", "--text-layer", "--errors", tmp_path / "errors")
    assert result.exit_code == 1  # a folder is searched for layout files then
    files = [tmp_path / f"{name}.pdf" for name in ("cut", "empty", "encrypted", "other")]
    write_page(tmp_path / "xml")
    result = read(
        *files, tmp_path / "xml" / "page.xml", "--detector", "layout", "--errors", tmp_path / "errors"
    )
    assert result.exit_code == 3 and LINES[0][2] in result.stdout
    errors = (tmp_path / "errors").read_text(encoding="utf-8").splitlines()
    assert len(errors) == 4
    assert "no PDF, or damaged" in errors[0] and "empty, 0 bytes" in errors[1]
    assert "the PDF is encrypted" in errors[2] and "no PDF, or damaged" in errors[3]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("medium", [(0, 0, 600, 800), (-50, 30, 550, 830)])
def test_the_text_of_a_pdf_stands_where_it_is_seen(
    tmp_path: Path, turn: int, turned: bool, medium: tuple[int, int, int, int]
) -> None:
    """A page that is drawn sideways and turned to be read, as landscape tables are, or cut to a part.

    Scans that lay askew are drawn sideways and not turned.
    """
    left, bottom, right, top = medium
    matrix, height = {
        0: (f"1 0 0 1 {left} {bottom}", 800),
        90: (f"0 1 -1 0 {right} {bottom}", 600),
        180: (f"-1 0 0 -1 {right} {top}", 800),
        270: (f"0 -1 1 0 {left} {top}", 600),
    }[turn]
    source = tmp_path / "source.pdf"
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(600, 800))
        page.obj.MediaBox = pikepdf.Array(list(medium))
        page.obj.CropBox = pikepdf.Array([left - 20, bottom - 20, right + 20, top + 20])
        page.obj.Rotate = turn if turned else 0
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        page.obj.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
        text = (
            f"q {matrix} cm BT /F 20 Tf 60 500 Td (Invoice number twelve) Tj 0 -40 Td (Second line) Tj ET Q"
        )
        page.contents_add(text.encode())
        pdf.save(source)
    result = read(source, "--text-layer", "--format", "jsonl", "--dpi", "72")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[0])
    lines = document["lines"]
    assert [line["text"] for line in lines] == ["Invoice number twelve", "Second line"]
    for line, base in zip(lines, (500, 460), strict=True):
        corners = np.array(line["corners"])
        if not turned:  # held as it is read
            corners = (
                corners
                @ {
                    0: [[1, 0], [0, 1]],
                    90: [[0, 1], [-1, 0]],
                    180: [[-1, 0], [0, -1]],
                    270: [[0, -1], [1, 0]],
                }[turn]
                + {0: (0, 0), 90: (800, 0), 180: (600, 800), 270: (0, 600)}[turn]
            )
        assert corners[0, 0] < corners[1, 0] and corners[0, 1] < corners[3, 1]
        xs, ys = corners.T
        assert abs(min(xs) - 60) < 8 and min(ys) < height - base < max(ys) + 2 and max(ys) - min(ys) < 40


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_page_that_lay_askew_becomes_an_upright_one(tmp_path: Path, turned: int) -> None:
    upright = draw_page()
    source = tmp_path / "page.png"
    upright.rotate(turned, expand=True).save(source, dpi=(72, 72))
    image = Image.open(source)
    read_page = Page(str(source), 1, image.width, image.height, 72.0, turned)
    write_document(Target(tmp_path, "out", "pdf", source, 1), [read_page], FormatOptions())
    drawn = _drawn(tmp_path / "out.pdf")
    assert drawn.shape[:2] == (upright.height, upright.width)
    assert np.abs(drawn[..., 0].astype(float) - np.asarray(upright)).mean() < 2


def test_hocr_of_a_pdf_has_no_pictures_to_cut_and_says_what_has(tmp_path: Path) -> None:
    read(write_page(tmp_path), "--format", "pdf", "--out", tmp_path)
    made = read(tmp_path / "page.pdf", "--text-layer", "--format", "hocr", "--out", tmp_path / "out")
    assert made.exit_code == 0, made.output
    with pytest.raises(DataError, match="a PDF, not an image") as caught:
        build_databases(
            [open_source(tmp_path / "out" / "page.hocr")], tmp_path / "db", BuildSettings(), lambda done: None
        )
    assert "--format alto" in caught.value.fix


def test_what_stands_in_form_fields_is_read(tmp_path: Path) -> None:
    source = tmp_path / "form.pdf"
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(300, 100))
        font = pdf.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
            )
        )
        look = pdf.make_stream(b"/Tx BMC q BT /F 20 Tf 2 8 Td (NGUYEN VAN AN) Tj ET Q EMC")
        look.Type, look.Subtype = pikepdf.Name.XObject, pikepdf.Name.Form
        look.BBox = pikepdf.Array([0, 0, 260, 30])
        look.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
        field = pdf.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Widget, FT=pikepdf.Name.Tx, T="name",
                V="NGUYEN VAN AN", Rect=pikepdf.Array([20, 30, 280, 60]), F=4,
                AP=pikepdf.Dictionary(N=look), DA="/F 20 Tf 0 g",
            )
        )  # fmt: skip
        page.obj.Annots = pikepdf.Array([field])
        pdf.Root.AcroForm = pikepdf.Dictionary(
            Fields=pikepdf.Array([field]),
            DR=pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font)),
            DA="/F 20 Tf 0 g",
        )
        pdf.save(source)
    pages = PdfPages(source, 100)
    assert pages.page(0).pixels.min() < 100
    pages.close()


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_a_copy_of_a_signed_pdf_is_said_to_be_signed_no_more(
    tmp_path: Path, signed: bool, below: bool
) -> None:
    source, kind = tmp_path / "form.pdf", pikepdf.Dictionary(FT=pikepdf.Name.Sig, T="signature")
    with pikepdf.new() as pdf:
        pdf.add_blank_page(page_size=(300, 100))
        if signed:
            kind.V = pikepdf.Dictionary(Type=pikepdf.Name.Sig, Contents=b"", ByteRange=[0, 1, 2, 3])
        field = pdf.make_indirect(kind)
        if below:
            field = pdf.make_indirect(pikepdf.Dictionary(T="all", Kids=pikepdf.Array([field])))
            field.Kids.append(field)  # as damaged forms do
        pdf.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array([field]))
        pdf.save(source)
    target = Target(tmp_path / "out", "form", "pdf", source, 1)
    assert write_document(target, [Page(str(source), 1, 300, 100, ())], FormatOptions()) == signed
    result = read(source, "--format", "pdf", "--out", tmp_path / "read")
    assert result.exit_code == 0, result.output
    assert ("1 document had digital signatures" in " ".join(result.stderr.split())) == signed


@pytest.mark.parametrize("size", [(60, 24), (1000, 20_000)])
def test_pages_of_any_size_become_pdfs(tmp_path: Path, size: tuple[int, int]) -> None:
    image = tmp_path / "page.png"
    Image.new("L", size, 255).save(image, dpi=(1200, 1200) if size[0] < 100 else (72, 72))
    page = Page(str(image), 1, *size, 1200.0 if size[0] < 100 else 72.0)
    write_document(Target(tmp_path, "out", "pdf", image, 1), [page], FormatOptions())
    with pikepdf.open(tmp_path / "out.pdf") as pdf:
        _, _, width, height = map(float, pdf.pages[0].MediaBox)
    assert 3 <= width <= 14_400 and 3 <= height <= 14_400


def test_a_pdf_that_is_not_there_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocr_cli.core.pages.inputs.pdf.find_spec", lambda name: None)
    with pytest.raises(DataError, match="no such file"):
        PdfPages(tmp_path / "none.pdf", 200)
    (tmp_path / "one.pdf").write_bytes(b"%PDF-1.4")
    with pytest.raises(DependencyError, match="pypdfium2"):
        PdfPages(tmp_path / "one.pdf", 200)
