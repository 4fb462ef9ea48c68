"""PDFs as pages and as output: drawn, refused with a reason, and made searchable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_pages import LINES, SIZE, box_of_line, draw_page, write_page
from typer.testing import CliRunner, Result

from vocr_cli.app import build_app
from vocr_cli.core.inference.reading import Reading
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
