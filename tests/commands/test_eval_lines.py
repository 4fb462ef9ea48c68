"""`vocr eval --lines`: every line that was scored, as a table."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import write_annotations
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.evaluation.line_scores import score_lines
from vocr_cli.core.evaluation.line_table import format_lines

runner = CliRunner()

LABELS = ("Đường Nguyễn Huệ", "Số 12", "phở bò")
READINGS = (("Đường Nguyễn Huệ", 0.98765), ("Sổ 12", 0.5))
COLUMNS = ["path", "label", "reading", "edits", "cer", "confidence", "flags"]
ROWS = [
    ["0.png", "Đường Nguyễn Huệ", "Đường Nguyễn Huệ", "0", "0.0000", "0.9877", ""],
    ["1.png", "Số 12", "Sổ 12", "1", "0.2000", "0.5000", ""],
    ["2.png", "phở bò", "", "6", "1.0000", "", "unread"],
]


@pytest.fixture
def evaluate(tmp_path):
    """Scores three lines, of which the last has no reading."""
    data, readings = write_annotations(tmp_path, LABELS), tmp_path / "readings.tsv"
    rows = [f"{index}.png\t{text}\t{confidence}\n" for index, (text, confidence) in enumerate(READINGS)]
    readings.write_text("".join(rows), encoding="utf-8")

    def run(*arguments):
        return runner.invoke(app, ["eval", str(data), "--readings", str(readings), *map(str, arguments)])

    return run


@pytest.mark.parametrize(
    ("name", "delimiter"), [("f.tsv", "\t"), ("f.CSV", ","), ("f.txt", "\t"), ("f", "\t")]
)
def test_every_line_is_written_right_ones_and_unread_ones_too(evaluate, tmp_path, name, delimiter):
    result = evaluate("--lines", tmp_path / name)
    assert result.exit_code == 3 and f"Wrote {tmp_path / name}" in result.stderr.replace("\n", "")
    with (tmp_path / name).open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, delimiter=delimiter)) == [COLUMNS, *ROWS]


def test_jsonl_keeps_numbers_lists_and_the_reason(evaluate, tmp_path):
    evaluate("--lines", tmp_path / "f.jsonl")
    found = [json.loads(row) for row in (tmp_path / "f.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [list(record) for record in found[:2]] == [COLUMNS, COLUMNS]
    assert (found[1]["edits"], found[1]["cer"], found[1]["confidence"]) == (1, 0.2, 0.5)
    assert (found[2]["confidence"], found[2]["flags"]) == (None, ["unread"])
    assert "readings.tsv" in found[2]["error"]


def test_what_is_there_is_replaced_only_when_asked_and_before_anything_is_read(evaluate, tmp_path):
    out = tmp_path / "f.tsv"
    out.write_text("mine", encoding="utf-8")
    result = evaluate("--lines", out)
    assert result.exit_code == 2 and "--overwrite" in result.stderr
    assert out.read_text(encoding="utf-8") == "mine" and "CER" not in result.stdout
    assert evaluate("--lines", out, "--overwrite").exit_code == 3
    assert out.read_text(encoding="utf-8").startswith("path\tlabel")


def test_lines_on_stdout_stand_there_alone(evaluate):
    result = evaluate("--lines", "-")
    assert [row.split("\t") for row in result.stdout.splitlines()] == [COLUMNS, *ROWS]
    assert "CER" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lines", "f.parquet"), ".parquet"),
        (("--lines", "f.xlsx"), ".jsonl"),
        (("--lines", "-", "--json", "-"), "--json"),
        (("--lines", "f.tsv", "--report", "./f.tsv"), "--report"),
        (("--overwrite",), "--lines"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    evaluate, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    result = evaluate(*arguments)
    assert result.exit_code == 2 and said in result.stderr and "CER" not in result.stdout
    assert not list(tmp_path.glob("f*"))


def test_flags_of_a_model_stand_beside_its_readings(tmp_path, tiny_model):
    data = write_annotations(tmp_path, ["a", "b"], [90, 3000])
    options = ["--model", str(tiny_model), "--device", "cpu", "--lines", str(tmp_path / "f.tsv")]
    assert runner.invoke(app, ["eval", str(data), *options]).exit_code == 0
    rows = [row.split("\t") for row in (tmp_path / "f.tsv").read_text(encoding="utf-8").splitlines()]
    assert [row[6] for row in rows[1:]] == ["", "squeezed"]
    assert all(0 < float(row[5]) <= 1 for row in rows[1:])


def test_a_name_with_tabs_and_broken_bytes_stays_one_cell():
    lines = score_lines(["a"], ["b"], paths=["x\ty\n\udcff.png"])
    assert "".join(format_lines(lines, "tsv")).splitlines()[1].startswith("x\\ty\\n\ufffd.png\ta\tb\t1\t")
    (record,) = map(json.loads, format_lines(lines, "jsonl"))
    assert record["path"] == "x\ty\n\ufffd.png"
    rows = list(csv.reader("".join(format_lines(lines, "csv")).splitlines(keepends=True)))
    assert rows[1][:3] == ["x\ty\n\ufffd.png", "a", "b"]
