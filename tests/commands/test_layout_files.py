"""PAGE XML, ALTO and hOCR in every command that takes labelled lines, and what `vocr read` writes of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import write_config
from layout_pages import (
    TEXTS,
    alto,
    draw_page,
    hocr,
    hocr_line,
    page_line,
    page_xml,
    tesseract_alto_line,
    with_commas,
    write,
)
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.open_source import open_source

runner = CliRunner()
PAGE, LINES = draw_page()
READING = ["--device", "cpu", "--precision", "fp32"]


def run(*arguments: str | Path) -> Result:
    return runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def layouts(tmp_path: Path) -> dict[str, Path]:
    """The same page in three formats, each in a folder of its own."""
    files = {
        "page": page_xml(
            [page_line(f"l{n}", line.text, with_commas(line.points)) for n, line in enumerate(LINES)],
            PAGE.size,
        ),
        "alto": alto(
            "".join(tesseract_alto_line(line, f"l{n}") for n, line in enumerate(LINES)),
            PAGE.size,
        ),
        "hocr": hocr([hocr_line(line, f"l{n}") for n, line in enumerate(LINES)], PAGE.size),
    }
    found = {}
    for name, text in files.items():
        (tmp_path / name).mkdir()
        found[name] = write(tmp_path / name, f"p.{'hocr' if name == 'hocr' else 'xml'}", text, PAGE)
    return found


def test_every_command_takes_the_lines_of_pages(layouts: dict[str, Path], tmp_path: Path) -> None:
    for name, file in layouts.items():
        built = run("build-lmdb", file.parent, tmp_path / f"{name}.lmdb", "--workers", "1")
        assert built.exit_code == 0, built.output
        with LineStore(tmp_path / f"{name}.lmdb") as store:
            assert [(line.path, line.text) for line in store] == [
                (f"{file.name}#l{n}", text) for n, text in enumerate(TEXTS)
            ]
    file = layouts["page"]
    scored = run("eval", file, *READING)
    assert scored.exit_code == 0 and "4 lines" in scored.stdout
    seen = run("inspect", layouts["hocr"])
    assert seen.exit_code == 0 and TEXTS[0] in seen.stdout
    read = run("infer", layouts["alto"], *READING)
    assert read.exit_code == 0, read.output
    assert [row.split("\t")[:2] for row in read.stdout.splitlines()] == [
        [f"p.xml#l{n}", text] for n, text in enumerate(TEXTS)
    ]
    (tmp_path / "r.tsv").write_text(read.stdout, encoding="utf-8")
    matched = run("eval", layouts["alto"], "--readings", tmp_path / "r.tsv")
    assert matched.exit_code == 0, matched.output


@pytest.mark.slow
def test_the_lines_of_pages_are_timed(layouts: dict[str, Path]) -> None:
    timed = run("bench", "infer", "--data", layouts["page"], *READING)
    assert timed.exit_code == 0, timed.output


def test_training_takes_the_lines_of_pages(layouts: dict[str, Path], tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        {
            "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
            "data": {"workers": 0},
            "precision": {"amp": "off"},
        },
    )
    picture = tmp_path / "preview.png"
    data = ["--data", layouts["page"], "--data", layouts["alto"].parent, "--valid", layouts["hocr"]]
    result = run(
        "train", config, *data, "--preview-batch", picture, "--device", "cpu", "--out", tmp_path / "run"
    )
    assert result.exit_code == 0, result.output
    assert picture.is_file()


def test_lines_without_a_text_are_read_and_only_named_where_texts_are_wanted(
    layouts: dict[str, Path], tmp_path: Path
) -> None:
    file = layouts["page"]
    file.write_text(file.read_text(encoding="utf-8").replace(TEXTS[1], ""), encoding="utf-8")
    built = run("build-lmdb", file, tmp_path / "db", "--workers", "1", "--bad-lines", tmp_path / "bad.tsv")
    assert built.exit_code == 3
    assert "p.xml#l1" in (tmp_path / "bad.tsv").read_text(encoding="utf-8")
    read = run("infer", file, *READING)
    assert [row.split("\t")[1] for row in read.stdout.splitlines()] == list(TEXTS)


def test_splits_of_pages_are_kept_apart(layouts: dict[str, Path], tmp_path: Path) -> None:
    for split, name in (("train", "page"), ("test", "alto")):
        shutil.move(layouts[name].parent, tmp_path / "set" / split / "pages")
    refused = run("build-lmdb", tmp_path / "set", tmp_path / "db")
    assert refused.exit_code == 1 and "splits" in str(refused.exception)
    built = run("build-lmdb", tmp_path / "set", tmp_path / "db", "--split", "train", "--workers", "1")
    assert built.exit_code == 0, built.output
    with LineStore(tmp_path / "db") as store:
        assert [line.path for line in store] == [f"train/pages/p.xml#l{n}" for n in range(4)]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Tesseract")
@pytest.mark.parametrize("kind", ["alto", "hocr"])
def test_files_that_tesseract_writes_give_each_line_with_its_text(tmp_path: Path, kind: str) -> None:
    other, _ = draw_page(TEXTS[2:] + TEXTS[:2])
    PAGE.save(tmp_path / "p.tif", save_all=True, append_images=[other], dpi=(300, 300))
    subprocess.run(
        ["tesseract", "p.tif", "p", kind], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
    file = tmp_path / ("p.xml" if kind == "alto" else "p.hocr")
    entries = list(open_source(file))
    written = file.read_text(encoding="utf-8")
    assert len(entries) == written.count("<TextLine" if kind == "alto" else "class='ocr_line'") == 8
    assert len({entry.name for entry in entries}) == 8 and not any(entry.fault for entry in entries)
    read = run("infer", file, *READING)
    assert [row.split("\t")[1] for row in read.stdout.splitlines()] == [*TEXTS, *TEXTS[2:], *TEXTS[:2]]
