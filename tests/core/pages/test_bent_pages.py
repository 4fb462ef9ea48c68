"""Pages that do not lie flat: lines are cut out along their bend, and columns told apart that wander."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_pages import LINES, draw_page
from lxml import etree
from PIL import Image
from test_detectors import needs_rapidocr
from typer.testing import CliRunner

from vocr_cli.app import build_app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.pages.order.arrange import arrange

BEND_PX = 26


def bent_page(folder: Path) -> Path:
    """The drawn page, its middle pushed down."""
    flat = np.asarray(draw_page())
    down = np.round(BEND_PX * np.sin(np.linspace(0, np.pi, flat.shape[1]))).astype(int)
    columns = [np.roll(flat[:, x], shift) for x, shift in enumerate(down)]
    file = folder / "page.png"
    Image.fromarray(np.stack(columns, axis=1)).save(file)
    return file


def vocr(*arguments: object) -> str:
    result = CliRunner().invoke(build_app([str(arguments[0])]), list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout


@needs_rapidocr
def test_lines_that_bend_are_read(tmp_path: Path) -> None:
    page = json.loads(vocr("read", bent_page(tmp_path), "--format", "jsonl"))
    assert [line["text"] for line in page["lines"]] == [text for _, _, text in LINES]
    for line in page["lines"]:
        course = np.array(line["course"])
        chord = np.linspace(course[0], course[-1], len(course))
        assert np.ptp(course[:, 0]) > 400 and (course - chord)[len(course) // 2, 1] > 2


@needs_rapidocr
@pytest.mark.parametrize("form", ["page", "alto", "hocr"])
def test_files_of_lines_that_bend_give_them_back(form: str, tmp_path: Path) -> None:
    vocr("read", bent_page(tmp_path), "--format", form, "--out", tmp_path / "out")
    (file,) = (tmp_path / "out").glob("[!.]*")
    if form == "page":
        baselines = etree.parse(file).iterfind(".//{*}Baseline")
        assert all(len(each.get("points").split()) > 2 for each in baselines)
    again = vocr("read", file, "--detector", "layout")
    assert [line for line in again.split("\n") if line] == [text for _, _, text in LINES]
    vocr("build-lmdb", file, tmp_path / "lines.lmdb")
    with LineStore(tmp_path / "lines.lmdb") as store:
        assert [store[index].text for index in range(len(store))] == [text for _, _, text in LINES]


def test_columns_whose_narrow_gap_wanders_are_read_one_after_the_other() -> None:
    wanders = 20 * np.sin(np.linspace(0, np.pi, 30))  # to and fro, by more than the gap is wide
    corners = np.array([[0, 0], [200, 0], [200, 16], [0, 16]])
    quads = np.array(
        [
            np.add(corners, (left + wanders[row], 40 + 20 * row))
            for row in range(30)
            for left in (50, 262, 474)
        ]
    )
    order = [place.index for place in arrange(quads, (760, 700))]
    assert order == [3 * row + column for column in range(3) for row in range(30)]
