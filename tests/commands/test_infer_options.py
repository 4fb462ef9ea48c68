"""What the options of `vocr infer` mean together: endings, stdin, files that are there, pages, silence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import EXAMPLE_LINES, line_image
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import ModelError

runner = CliRunner()
LINE = EXAMPLE_LINES / "images" / "00.png"
TEXT = "PHIẾU NHẬP KHO SỐ 0457/PN-KT"


def infer(*arguments: object, piped: bytes | None = None):  # type: ignore[no-untyped-def]
    return runner.invoke(app, ["infer", *map(str, arguments)], input=piped)


def usage_error(result) -> str:  # type: ignore[no-untyped-def]
    """The text of a usage error, without its frame and line breaks."""
    assert result.exit_code == 2, result.output
    return " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())


@pytest.mark.parametrize(
    ("name", "start"), [("x.jsonl", "{"), ("x.CSV", "path,text"), ("x.tsv", str(LINE)), ("x.txt", str(LINE))]
)
def test_the_ending_of_the_file_names_the_format(tmp_path: Path, name: str, start: str) -> None:
    assert infer(LINE, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_a_format_that_contradicts_the_ending_is_refused(tmp_path: Path) -> None:
    text = usage_error(infer(LINE, "--out", tmp_path / "x.csv", "--format", "jsonl"))
    assert "--format jsonl" in text and not (tmp_path / "x.csv").exists()
    assert infer(LINE, "--out", tmp_path / "x.csv", "--format", "csv").exit_code == 0


def test_an_image_is_read_from_stdin_and_a_minus_writes_to_stdout() -> None:
    result = infer("-", "--out", "-", piped=LINE.read_bytes())
    assert result.exit_code == 0 and result.stdout.startswith(f"-\t{TEXT}\t"), result.output
    empty = infer("-", piped=b"")
    assert empty.exit_code == 3 and "empty" in empty.stderr and "0 bytes" in empty.stderr
    assert "stdin" in usage_error(infer("-", "--from-file", "-", piped=b""))
    assert "local engine" in usage_error(infer("-", "--engine", "ray", piped=b""))


def test_what_is_there_is_replaced_only_on_demand(tmp_path: Path) -> None:
    out = tmp_path / "x.tsv"
    out.write_text("mine")
    text = usage_error(infer(LINE, "--out", out))
    assert "--overwrite" in text and "--resume" in text and out.read_text() == "mine"
    assert "contradicts" in usage_error(infer(LINE, "--out", out, "--overwrite", "--resume"))
    assert infer(LINE, "--out", out, "--overwrite").exit_code == 0
    assert TEXT in out.read_text(encoding="utf-8")


def page(width: int = 1240, height: int = 1754) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for top in range(100, height - 100, 50):
        draw.text((100, top), "One of the many lines of this page. " * 4, fill="black")
    return image


def test_a_page_is_no_line_and_the_remedy_says_so(tmp_path: Path) -> None:
    page().save(tmp_path / "page.png")
    result = infer(tmp_path / "page.png", "--errors", tmp_path / "bad.tsv", "--cache", tmp_path / "cache")
    assert result.exit_code == 3 and result.stdout == ""
    assert (
        "page.png: 1,240 × 1,754 px, a page" in result.stderr
        and "Remedy: Read pages with `vocr read`" in result.stderr
    )
    assert "page.png" in (tmp_path / "bad.tsv").read_text(encoding="utf-8")
    again = infer(tmp_path / "page.png", "--cache", tmp_path / "cache", "-f", "jsonl")
    assert again.exit_code == 3 and json.loads(again.stdout)["text"] is None


def test_a_large_picture_of_one_word_is_still_read(tmp_path: Path) -> None:
    from PIL import ImageFont

    font = ImageFont.truetype(str(EXAMPLE_LINES.parent / "fonts" / "BeVietnam-Regular.ttf"), 250)
    image = Image.new("RGB", (700, 650), "white")
    ImageDraw.Draw(image).text((70, 130), "Hà", fill="black", font=font)
    image.save(tmp_path / "word.png")
    result = infer(tmp_path / "word.png")
    assert result.exit_code == 0 and "Hà" in result.stdout and "page-like: 1" in result.stderr


def test_a_pdf_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    result = infer(tmp_path / "scan.pdf")
    assert result.exit_code == 3 and "scan.pdf: a PDF" in result.stderr and "vocr read" in result.stderr


def test_quiet_shows_results_and_what_is_unreadable_alone(tmp_path: Path) -> None:
    result = infer(LINE, "-q")
    assert result.exit_code == 0 and TEXT in result.stdout and result.stderr == ""
    result = infer(LINE, tmp_path / "gone.png", "--quiet")
    assert result.exit_code == 3 and "gone.png: no such file" in result.stderr
    assert "Precision" not in result.stderr
    assert "contradicts" in usage_error(infer(LINE, "-q", "-v"))
    assert "Precision" in infer(LINE).stderr  # quiet is over with the command


def test_silence_may_be_asked_for_before_the_name_of_the_command() -> None:
    result = runner.invoke(app, ["-q", "infer", str(LINE)])
    assert result.exit_code == 0 and TEXT in result.stdout and result.stderr == ""
    assert "contradicts" in usage_error(runner.invoke(app, ["-q", "infer", str(LINE), "-v"]))
    assert "Precision" in infer(LINE).stderr


def test_nothing_has_no_speed(tmp_path: Path) -> None:
    assert "/s" not in infer(tmp_path / "gone.png").stderr
    assert "Read 1 of 1 lines.\n" in infer(LINE).stderr  # in less than a second


def problem(*arguments: object) -> ModelError:
    error = infer(LINE, *arguments).exception
    assert isinstance(error, ModelError)
    return error


def test_what_is_no_model_is_called_what_it_is(tmp_path: Path) -> None:
    from vocr_cli.core.training.checkpoint import save_checkpoint

    run = tmp_path / "run"
    save_checkpoint(
        run / "checkpoints" / "last.pt", {"module": {}, "loop_state": {"step": 1}, "charset": "a"}
    )
    best = run / "checkpoints" / "best.safetensors"
    best.write_bytes(b"")
    for name in ("run", "run/checkpoints", "run/checkpoints/last.pt"):
        assert str(best) in problem("--model", tmp_path / name).fix
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "data.mdb").write_bytes(b"")
    assert "a database" in problem("--model", tmp_path / "db").problem
    assert "a folder" in problem("--model", tmp_path).problem


def test_remedies_fit_what_stands_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    line_image(0).save(tmp_path / "a.png")
    for options, problem, fix in (
        (("--out", tmp_path), "is a folder", "Name a file"),
        (("--out", file / "x.tsv"), "its folder is a file", "another folder"),
        (("--cache", file), "is a file", "folder"),
    ):
        error = infer(tmp_path / "a.png", *options).exception
        assert problem in error.problem and fix in error.fix, error  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [".", "", "./", "/"])
def test_a_folder_is_no_place_for_readings_or_errors_whatever_it_is_called(name: str) -> None:
    for option in ("--out", "--errors"):
        error = infer(LINE, option, name, *(("--overwrite",) if option == "--out" else ())).exception
        assert "a folder" in error.problem and "Name " in error.fix, error  # type: ignore[union-attr]


def test_a_list_of_paths_may_begin_with_a_bom(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbf" + str(LINE).encode() + b"\r\n")
    result = infer("--from-file", listed)
    assert result.exit_code == 0 and result.stdout.startswith(f"{LINE}\t{TEXT}"), result.output


def test_another_file_is_no_language_model_even_where_no_line_needs_one(tmp_path: Path) -> None:
    other = tmp_path / "labels.tsv"
    other.write_text("a\tb\n")
    error = infer(LINE, "--lm", other, "--out", tmp_path / "x.tsv").exception
    assert isinstance(error, ModelError) and "no language model" in error.problem
    assert not list(tmp_path.glob("x.tsv*"))


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "command",
    [
        ("infer", LINE, "--cache", "c", "--cache-limit"), ("synth", "out", "--strength"),
        ("build-lmdb", EXAMPLE_LINES, "out", "--valid-share"), ("lm", "text.txt", "x.lm", "--max-mb"),
        ("read", LINE, "--cache-limit"),
    ],
)  # fmt: skip
def test_what_is_no_finite_number_is_refused(command: tuple[object, ...], value: str) -> None:
    result = runner.invoke(app, [*map(str, command), value])
    text = usage_error(result)
    assert str(command[-1]) in text and (value in text or "range" in text)
