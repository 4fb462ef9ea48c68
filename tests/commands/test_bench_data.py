"""`vocr bench data` on a tiny database, in earnest."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
from conftest import line_image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine

runner = CliRunner()


def build(path: Path, height: int) -> Path:
    with LineWriter(path) as writer:
        for number in range(24):
            stream = BytesIO()
            width = (60 + 20 * (number % 3)) * height // 40
            line_image(number, width, height).save(stream, "PNG")
            writer.add(StoredLine(stream.getvalue(), "nhãn", f"{number}.png"), width, height)
    return path


@pytest.mark.slow
def test_raw_and_prescaled_are_measured_part_by_part(tmp_path: Path) -> None:
    raw, scaled = build(tmp_path / "raw", 80), build(tmp_path / "scaled", 40)
    out = tmp_path / "data.json"
    options = ["--workers", "0", "--rounds", "1", "--limit", "24", "--threads", "1", "--json", str(out)]
    result = runner.invoke(app, ["bench", "data", "--data", str(raw), "--scaled", str(scaled), *options])
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [row["name"] for row in report["rows"]] == [str(raw), str(scaled)] and report["pass_lines"] == 24
    for row in report["rows"]:
        rates = [row[key]["median"] for key in row if key.endswith("_per_s")]
        assert len(rates) == 5 and min(rates) > 0 and row["lines"] == 24 and row["indexed"]
    assert report["rows"][0]["epoch_mb"] > report["rows"][1]["epoch_mb"] > 0
    assert (report["device"], report["dtype"]) == ("cpu", "uint8") and report["batch_lines"] > 0
    for name in ("machine", "device", "threads", "dtype", "batches", "warm-up", "samples"):
        assert re.search(f"^  {name} +\\S", result.stdout, re.MULTILINE), (name, result.stdout)
    assert "Lines/s of each part" in result.output and "An epoch" in result.output


@pytest.mark.slow
def test_without_data_lines_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vocr_cli.core.synth.fonts.fonts._system_fonts", list)
    options = ["--workers", "0", "--rounds", "1", "--limit", "24", "--threads", "1", "--json", "d.json"]
    result = runner.invoke(app, ["bench", "data", *options])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    name = "the package's lines, repeated"
    assert [row["name"] for row in report["rows"]] == [name, f"{name}, pre-scaled"]
    assert {row["lines"] for row in report["rows"]} == {24}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["infer", "--workers", "2"], 2, "No such option: --workers"),
        (["data", "--quick", "--data", "x"], 2, "No such option: --quick"),
        (["data", "--data", "lines.txt"], 1, "table, folder or database at lines.txt"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments: list[str], code: int, said: str) -> None:
    result = runner.invoke(app, ["bench", *arguments])
    assert result.exit_code == code
    assert said in " ".join(f"{result.output} {result.exception}".replace("│", " ").split())
