"""Detectors find the lines of drawn pages, whichever way these lie. What is not installed is skipped."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from drawn_pages import LINES, SIZE, box_of_line, draw_page
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import build_app
from vocr_cli.core.errors import DependencyError
from vocr_cli.core.pages.detectors.choice import DetectorName, make_detector
from vocr_cli.core.pages.detectors.detector import PageImage
from vocr_cli.core.pages.detectors.text_map import network_file

needs_rapidocr = pytest.mark.skipif(
    network_file() is None or find_spec("cv2") is None, reason="the extra `pages` is not installed"
)
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")
EACH = [pytest.param("rapidocr", marks=needs_rapidocr), pytest.param("tesseract", marks=needs_tesseract)]


def read(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(["read"]), ["read", *map(str, arguments)])


@pytest.mark.parametrize("name", EACH)
def test_lines_are_found_where_they_were_drawn(name: DetectorName) -> None:
    found = make_detector(name, 1).find(PageImage("page", np.asarray(draw_page()), dpi=150))
    boxes = sorted((*box.quad.min(axis=0), *box.quad.max(axis=0)) for box in found.boxes)
    expected = sorted(map(box_of_line, LINES))
    assert len(boxes) == len(expected)
    for box, drawn in zip(sorted(boxes, key=lambda each: each[1]), expected, strict=True):
        assert np.abs(np.array(box) - drawn).max() < 12


@pytest.mark.parametrize("name", EACH)
def test_a_page_is_read(name: DetectorName, tmp_path: Path) -> None:
    draw_page().save(tmp_path / "page.png", dpi=(150, 150))
    result = read(tmp_path / "page.png", "--detector", name)
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.split("\n") if line] == [text for _, _, text in LINES]


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("degrees", [2, 90, 180, 270])
def test_turned_pages_read_as_upright_ones(degrees: int, name: DetectorName, tmp_path: Path) -> None:
    page = draw_page().rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    page.save(tmp_path / "page.png", dpi=(150, 150))
    result = read(tmp_path / "page.png", "--detector", name)
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.split("\n") if line] == [text for _, _, text in LINES]


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("upwards", [True, False])
def test_a_line_that_stands_beside_others_is_read(upwards: bool, name: DetectorName, tmp_path: Path) -> None:
    text = "Lưu hồ sơ vụ việc năm 2021"
    quarter = Image.Transpose.ROTATE_90 if upwards else Image.Transpose.ROTATE_270
    page = draw_page()
    page.paste(draw_page([(20, 8, text)], (480, 60)).transpose(quarter), (780, 5))
    page.save(tmp_path / "page.png", dpi=(150, 150))
    result = read(tmp_path / "page.png", "--detector", name)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.split("\n") if line]
    standing = [line for line in lines if line not in [text for _, _, text in LINES]]
    assert len(lines) - len(standing) == len(LINES)
    # Tesseract gives it in two pieces.
    assert sorted("".join(standing).replace(" ", "")) == sorted(text.replace(" ", ""))


@needs_rapidocr
@pytest.mark.parametrize("content", ["white", "black", "noise", "blobs", "pixel"])
def test_where_nothing_is_written_nothing_is_read(content: str, tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    page = {
        "white": Image.new("L", SIZE, 255),
        "black": Image.new("L", SIZE, 0),
        "noise": Image.fromarray(dice.integers(0, 255, (500, 900), np.uint8)),
        "blobs": Image.fromarray(dice.integers(0, 255, (20, 36, 3), np.uint8)).resize(SIZE),
        "pixel": Image.new("RGB", (1, 1)),
    }[content]
    page.save(tmp_path / "page.png")
    result = read(tmp_path / "page.png")
    assert result.exit_code == 0 and result.stdout == ""
    assert "Nothing was found on 1 page" in result.stderr


@needs_rapidocr
def test_light_on_dark_is_read(tmp_path: Path) -> None:
    Image.eval(draw_page(), lambda level: 255 - level).save(tmp_path / "page.png")
    result = read(tmp_path / "page.png")
    assert [line for line in result.stdout.split("\n") if line] == [text for _, _, text in LINES]


@needs_rapidocr
def test_no_part_of_a_long_page_is_shrunk_away(tmp_path: Path) -> None:
    lines = [(20, 20 + 70 * number, f"{number}. Cà phê sữa đá") for number in range(60)]
    draw_page(lines, (420, 4300)).save(tmp_path / "page.png")
    result = read(tmp_path / "page.png")
    assert [line for line in result.stdout.split("\n") if line] == [text for _, _, text in lines]


@needs_rapidocr
def test_pages_of_a_tiff_and_exif_count(tmp_path: Path) -> None:
    second = draw_page(LINES[:1])
    draw_page().save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    assert read(tmp_path / "pages.tif").stdout.count("\f") == 1
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_page().rotate(90, expand=True).save(tmp_path / "photo.jpg", exif=exif)
    assert LINES[0][2] in read(tmp_path / "photo.jpg").stdout


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vocr_cli.core.pages.detectors.text_map.network_file", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    draw_page().save(tmp_path / "page.png")
    for arguments, missing in (
        ((), "Nothing that finds lines on pages is installed."),
        (("--detector", "rapidocr"), "needs RapidOCR, which is not installed"),
        (("--detector", "tesseract"), "needs Tesseract, which is not installed"),
    ):
        result = read(tmp_path / "page.png", *arguments)
        assert result.exit_code == 1 and missing in str(result.exception)


@pytest.mark.skipif(network_file() is None, reason="the extra `pages` is not installed")
@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        ("libGL.so.1: cannot open shared object file: No such file or directory", "opencv-python-headless"),
        ("numpy.core.multiarray failed to import", "pip install --force-reinstall"),
    ],
)
def test_an_opencv_that_cannot_be_loaded_is_named(
    failure: str, remedy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "packages" / "cv2"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"raise ImportError({failure!r})\n", encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "cv2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(broken.parent)
    draw_page().save(tmp_path / "page.png")
    result = read(tmp_path / "page.png")
    assert result.exit_code == 1 and isinstance(result.exception, DependencyError)
    assert failure in result.exception.problem and remedy in result.exception.fix
