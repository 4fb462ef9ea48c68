"""What `vocr read` writes is what `vocr build-lmdb` takes: the same lines, the same pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from drawn_pages import LINES, draw_page
from PIL import Image
from test_read_pages import needs_detector
from typer.testing import CliRunner

from vocr_cli.app import build_app
from vocr_cli.core.data.lmdb.store import LineStore

SECOND = ((60, 50, "Mức thu: 350.000 đồng/tháng"), (60, 300, "Nơi nhận: Bộ Tài chính"))


def vocr(*arguments: object) -> None:
    result = CliRunner().invoke(build_app([str(arguments[0])]), list(map(str, arguments)))
    assert result.exit_code == 0, result.output


def scanned(lines: tuple[tuple[int, int, str], ...], degrees: float = 0.0, mode: str = "L") -> Image.Image:
    page = draw_page(lines).convert(mode)
    white = 255 if mode == "L" else (255, 255, 255)
    return page.rotate(degrees, Image.Resampling.BICUBIC, expand=degrees % 90 == 0, fillcolor=white)


def write_documents(folder: Path, kind: str) -> Path:
    folder.mkdir()
    pages = [scanned(LINES), scanned(SECOND)]
    if kind == "images":
        pages[0].save(folder / "one.png")
        scanned(SECOND, mode="RGB").save(folder / "two.jpg", quality=95)
    elif kind == "tilted":
        scanned(LINES, 2.0).save(folder / "one.png")
        scanned(SECOND, 90).save(folder / "two.png")
    else:
        colour = [page.convert("RGB") for page in pages]
        colour[0].save(folder / f"pages.{kind}", save_all=True, append_images=colour[1:], resolution=150)
    return folder


@needs_detector
@pytest.mark.parametrize("form", ["page", "alto"])
@pytest.mark.parametrize("kind", ["images", "tilted", "tif", "pdf"])
def test_the_same_lines_and_pictures_come_back(kind: str, form: str, tmp_path: Path) -> None:
    if kind == "pdf":
        pytest.importorskip("pypdfium2")
    source, out, lines = write_documents(tmp_path / "scans", kind), tmp_path / form, tmp_path / "lines"
    vocr("read", source, "--format", form, "--out", out, "--lines", lines)
    files = sorted(out.glob("*.xml"))
    vocr("build-lmdb", *files, tmp_path / "lines.lmdb")
    rows = [row.split("\t") for row in (lines / "labels.tsv").read_text(encoding="utf-8").splitlines()]
    # But for spaces: how well they are read is not the matter here.
    read = [text.replace(" ", "") for _, text in rows]
    assert sorted(read) == sorted(text.replace(" ", "") for *_, text in LINES + SECOND)
    with LineStore(tmp_path / "lines.lmdb") as store:
        assert [store[index].text for index in range(len(store))] == [text for _, text in rows]
        for index, (name, text) in enumerate(rows):
            stored = Image.open(io.BytesIO(store[index].image)).convert("L")
            drawn = Image.open(lines / name).convert("L")
            assert stored.size == drawn.size, text
            assert np.array_equal(np.asarray(stored), np.asarray(drawn)), text


@needs_detector
def test_a_database_of_the_pictures_is_that_of_the_pages(tmp_path: Path) -> None:
    source, lines = write_documents(tmp_path / "scans", "images"), tmp_path / "lines"
    vocr("read", source, "--format", "page", "--out", tmp_path / "page", "--lines", lines)
    vocr("build-lmdb", *sorted((tmp_path / "page").glob("*.xml")), tmp_path / "pages.lmdb")
    vocr("build-lmdb", lines / "labels.tsv", tmp_path / "lines.lmdb")
    with LineStore(tmp_path / "pages.lmdb") as pages, LineStore(tmp_path / "lines.lmdb") as pictures:
        assert [line.text for line in pages] == [line.text for line in pictures]
        assert len(pages) == len(LINES + SECOND)
