"""Other programs' own readers take what `vocr read` writes: kraken's, OCRmyPDF's and hocr-tools'.

They are no dependency of vocr; `make test-peers` installs them in an environment of its own. Tesseract itself
reads none of these formats: OCRmyPDF and hocr-tools are what reads its hOCR.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_pages import LINES, SIZE, box_of_line, write_page
from PIL import Image
from test_detectors import needs_rapidocr, read

pytestmark = pytest.mark.peers
TEXTS = [text for _, _, text in LINES]


def written(folder: Path, form: str, *pages: Path) -> Path:
    result = read(*(pages or (write_page(folder),)), "--format", form, "--out", folder / form)
    assert result.exit_code == 0, result.output
    (file,) = (folder / form).glob("[!.]*")
    return file


def ink_px(image: Image.Image) -> int:
    return int((np.asarray(image.convert("L")) < 128).sum())


@pytest.mark.parametrize("shape", ["baselines", "bbox"])
@pytest.mark.parametrize("form", ["alto", "page"])
def test_kraken_reads_lines_and_cuts_them_out_whole(form: str, shape: str, tmp_path: Path) -> None:
    xml = pytest.importorskip("kraken.lib.xml")
    from kraken.lib.segmentation import extract_polygons

    page = xml.XMLPage(written(tmp_path, form), linetype=shape)
    assert page.imagename.resolve() == tmp_path / "page.png" and page.image_size == SIZE
    lines = page.get_sorted_lines()
    assert [line.text for line in lines] == TEXTS
    assert {language for line in lines for language in line.language} <= {"vi", "vie"}
    assert sum(len(regions) for regions in page.regions.values()) >= 1
    with Image.open(page.imagename) as image:
        cut = list(extract_polygons(image, page.to_container()))
        assert len(cut) == len(LINES)
        for (picture, _), place in zip(cut, LINES, strict=True):
            assert ink_px(picture) >= 0.97 * ink_px(image.crop(box_of_line(place)))


@needs_rapidocr
@pytest.mark.parametrize("form", ["alto", "page"])
def test_kraken_follows_lines_that_bend(form: str, tmp_path: Path) -> None:
    xml = pytest.importorskip("kraken.lib.xml")
    from kraken.lib.segmentation import extract_polygons
    from test_bent_pages import bent_page

    page = xml.XMLPage(written(tmp_path, form, bent_page(tmp_path)))
    lines = page.get_sorted_lines()
    assert [line.text for line in lines] == TEXTS and all(len(line.baseline) > 2 for line in lines)
    with Image.open(page.imagename) as image:
        inks = [ink_px(picture) for picture, _ in extract_polygons(image, page.to_container())]
        assert sum(inks) >= 0.95 * ink_px(image)


def test_ocrmypdf_reads_the_words_of_hocr_at_their_places(tmp_path: Path) -> None:
    reader = pytest.importorskip("ocrmypdf.hocrtransform")
    file = written(tmp_path, "hocr")
    page = reader.HocrParser(file).parse()
    assert (page.bbox.right, page.bbox.bottom) == SIZE
    lines = [line for paragraph in page.children for line in paragraph.children]
    assert [" ".join(word.text for word in line.children) for line in lines] == TEXTS
    for line, place in zip(lines, LINES, strict=True):
        box = line.bbox
        assert np.abs(np.array((box.left, box.top, box.right, box.bottom)) - box_of_line(place)).max() <= 4
        assert abs(line.baseline.slope) < 0.01 and -20 < line.baseline.intercept < 0
        assert line.language == "vi" and all(0 <= word.confidence <= 1 for word in line.children)


def test_ocrmypdf_knows_that_pages_have_their_text(tmp_path: Path) -> None:
    info = pytest.importorskip("ocrmypdf.pdfinfo")
    pytest.importorskip("pikepdf")
    file = written(tmp_path, "pdf")
    page = info.PdfInfo(file, detailed_analysis=True)[0]
    assert page.has_text and not page.has_visible_text and not page.has_corrupt_text
    assert len(list(page.get_textareas(visible=False))) >= len(LINES)
    assert not list(page.get_textareas(visible=True)) and not list(page.get_textareas(corrupt=True))


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="OCRmyPDF needs Tesseract")
def test_ocrmypdf_leaves_the_text_of_searchable_pdfs_alone(tmp_path: Path) -> None:
    pytest.importorskip("ocrmypdf")
    pdfium = pytest.importorskip("pypdfium2")
    file, out = written(tmp_path, "pdf"), tmp_path / "out.pdf"
    command = [sys.executable, "-m", "ocrmypdf", "--output-type", "pdf", str(file), str(out)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 6 and "already has text" in refused.stderr  # PriorOcrFoundError
    subprocess.run([*command, "--skip-text"], check=True, capture_output=True)
    document = pdfium.PdfDocument(out)
    text = document[0].get_textpage().get_text_range()
    document.close()
    assert text.split() == " ".join(TEXTS).split()


@pytest.mark.parametrize("tool", ["hocr-check", "hocr-lines", "hocr-wordfreq"])
def test_hocr_tools_take_hocr(tool: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name(tool)
    if not program.exists():
        pytest.skip("hocr-tools is not installed")
    command = [sys.executable, str(program), str(written(tmp_path, "hocr"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if tool == "hocr-check":
        assert done.stderr.startswith("ok 1") and "not ok" not in done.stderr
    elif tool == "hocr-lines":
        assert done.stdout.splitlines() == TEXTS
    else:
        assert "quyết" in done.stdout.casefold()
