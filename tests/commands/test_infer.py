"""vocr infer."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import line_image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import DataError
from vocr_cli.core.inference import Recognizer

runner = CliRunner()


def infer(*arguments: object):  # type: ignore[no-untyped-def]
    return runner.invoke(app, ["infer", *map(str, arguments)])


def test_tsv_has_one_row_a_line_in_natural_order(tiny_model: Path, lines_folder: Path) -> None:
    result = infer(lines_folder, "--model", tiny_model, "--precision", "fp32")
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [Path(row[0]).name for row in rows] == [f"a{number}.png" for number in range(1, 13)]
    expected = Recognizer.load(tiny_model, "cpu", "fp32").read_files([row[0] for row in rows])
    assert [row[1] for row in rows] == [reading.text for reading in expected]
    assert all(0 <= float(row[2]) <= 1 for row in rows)


def test_jsonl_holds_everything_and_names_the_unreadable(
    tiny_model: Path, lines_folder: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    result = infer(lines_folder / "a1.png", bad, "--model", tiny_model, "--format", "jsonl")
    assert result.exit_code == 3
    good, failed = map(json.loads, result.stdout.splitlines())
    assert len(good["char_confidences"]) == len(good["text"]) and good["width_px"] == 100
    assert failed["text"] is None and "bad.png" in failed["error"]


def test_csv_survives_commas_and_quotes(tiny_model: Path, tmp_path: Path) -> None:
    line_image(1).save(tmp_path / 'a, "b".png')
    out = tmp_path / "out.csv"
    result = infer(tmp_path, "--model", tiny_model, "--format", "csv", "--out", out)
    assert result.exit_code == 0, result.output
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(tmp_path / 'a, "b".png')]


def test_unreadable_inputs_are_named_and_the_rest_is_read(
    tiny_model: Path, lines_folder: Path, tmp_path: Path
) -> None:
    for number in range(25):
        (tmp_path / f"bad{number}.png").write_bytes(b"")
    errors = tmp_path / "errors.tsv"
    result = infer(
        tmp_path, lines_folder, tmp_path / "gone.png", "--model", tiny_model, "--errors", errors
    )  # fmt: skip
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 12
    assert "26 of 38" in result.stderr and "bad0.png" in result.stderr and "6 more" in result.stderr
    listed = errors.read_text(encoding="utf-8").splitlines()
    assert len(listed) == 26 and all(len(line.split("\t")) == 2 for line in listed)


def test_out_appears_only_when_complete(
    tiny_model: Path, lines_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tsv"
    real = Recognizer.read_fitted
    calls = []

    def interrupted(self: Recognizer, lines):  # type: ignore[no-untyped-def]
        calls.append(len(lines))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, lines)

    monkeypatch.setattr(Recognizer, "read_fitted", interrupted)
    result = infer(lines_folder, "--model", tiny_model, "--out", out)
    assert result.exit_code == 130 and not out.exists()
    assert out.with_name("out.tsv.partial").exists() and "out.tsv.partial" in result.stderr
    monkeypatch.setattr(Recognizer, "read_fitted", real)
    # How many readings are in it depends on the threads; an empty one holds nothing that is worth asking for.
    out.with_name("out.tsv.partial").write_text("a.png\ta\t0.9\n", encoding="utf-8")
    result = infer(lines_folder, "--model", tiny_model, "--out", out)
    assert result.exit_code == 2 and {"--resume", "--overwrite"} <= set(re.findall(r"--\w+", result.stderr))
    result = infer(lines_folder, "--model", tiny_model, "--out", out, "--overwrite")
    assert result.exit_code == 0 and len(out.read_text(encoding="utf-8").splitlines()) == 12
    assert not out.with_name("out.tsv.partial").exists() and result.stdout == ""


def test_folder_without_images_is_an_error_with_a_remedy(tiny_model: Path, tmp_path: Path) -> None:
    result = infer(tmp_path, "--model", tiny_model)
    assert result.exit_code == 1 and isinstance(result.exception, DataError) and result.exception.fix


def test_out_in_an_impossible_place_is_an_error(tiny_model: Path, lines_folder: Path, tmp_path: Path) -> None:
    result = infer(lines_folder, "--model", tiny_model, "--out", tmp_path)
    assert isinstance(result.exception, DataError) and str(tmp_path) in result.exception.problem


def test_flagged_lines_are_counted(tiny_model: Path, tmp_path: Path) -> None:
    line_image(0, width=1500).save(tmp_path / "wide.png")
    result = infer(tmp_path, "--model", tiny_model)
    assert result.exit_code == 0 and "squeezed: 1" in result.stderr


def test_path_with_a_tab_does_not_break_the_columns(tiny_model: Path, tmp_path: Path) -> None:
    try:
        line_image(0).save(tmp_path / "a\tb.png")
    except OSError:
        pytest.skip("file names cannot hold tabs here")
    result = infer(tmp_path, "--model", tiny_model)
    assert len(result.stdout.splitlines()[0].split("\t")) == 3


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_reader_that_stops_early_is_no_error(tiny_model: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    line_image(0).save(image)
    code = (
        "import sys; from vocr_cli.app import main;"
        "sys.argv = ['vocr', 'infer', '--model', *sys.argv[1:]]; main()"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_model), str(image)],
        stdout=write, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 0, done.stderr
    assert "Broken" not in done.stderr and "Traceback" not in done.stderr
