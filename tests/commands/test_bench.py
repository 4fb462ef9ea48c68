"""vocr bench."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.inference import Recognizer

runner = CliRunner()


@pytest.fixture(scope="module")
def labelled(tiny_model: Path, lines_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines, labelled with what the tiny model reads in fp32; one more file is no image."""
    folder = tmp_path_factory.mktemp("labelled")
    files = [shutil.copy(file, folder) for file in sorted(lines_folder.iterdir())]
    readings = Recognizer.load(tiny_model, "cpu", "fp32").read_files(files)
    rows = [f"{Path(file).name}\t{reading.text}" for file, reading in zip(files, readings, strict=True)]
    (folder / "bad.png").write_bytes(b"")
    (folder / "labels.tsv").write_text("\n".join([*rows, "bad.png\tx"]) + "\n", encoding="utf-8")
    return folder


def test_report_counts_what_was_read_and_leaves_the_processors_free(
    tiny_model: Path, labelled: Path, tmp_path: Path
) -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    result = runner.invoke(
        app,
        ["bench", "infer", "--model", str(tiny_model), "--data", str(labelled), "--precision", "fp32",
         "--device", "cpu", "--threads", "1", "--json", str(tmp_path / "b.json")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert report["lines"] == 12 and len(report["unreadable"]) == 1 and report["threads"] == 1
    (row,) = report["precisions"]
    assert row["facts"]["precision"] == "fp32" and row["cer"]["value"] == 0
    assert row["end_to_end"]["low"] <= row["end_to_end"]["median"] <= row["end_to_end"]["high"]
    assert 0 < row["latency_ms_p50"] <= row["latency_ms_p95"] and row["peak_memory_mb"] > 50
    assert report["peers"] is None and "bad.png" in result.stderr
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_infer_measures_in_an_empty_folder(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vocr_cli.core.synth.fonts.fonts._system_fonts", list)
    options = ["--model", str(tiny_model), "--precision", "fp32", "--device", "cpu"]
    result = runner.invoke(app, ["bench", "infer", *options, "--json", "i.json"])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "i.json").read_text(encoding="utf-8"))
    assert report["lines"] == 12 and report["data"] == "the package's lines" and not report["unreadable"]
    assert report["device"] == "cpu" and report["precisions"][0]["cer"] is not None
    assert [path.name for path in tmp_path.iterdir()] == ["i.json"]
    for name in ("machine", "device", "threads", "fp32", "batches", "warm-up", "samples"):
        assert re.search(f"^  {name} +\\S", result.stdout, re.MULTILINE), (name, result.stdout)


@pytest.mark.parametrize("suite", ["infer", "train", "data", "claims"])
def test_help_is_short_and_has_an_example(suite: str) -> None:
    result = runner.invoke(app, ["bench", suite, "-h"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()
    assert max(map(len, rows)) <= 80 and f"Example: vocr bench {suite} " in result.stdout
    shown = set(re.findall(r"^│ (--[a-z-]+)", result.stdout, re.MULTILINE))
    shown -= {"--help", "--quiet", "--verbose"}  # which every command has
    assert {"--model", "--data", "--threads", "--json"} <= shown and len(shown) <= 14


def test_unknown_suite_is_a_usage_error() -> None:
    assert runner.invoke(app, ["bench", "speed"]).exit_code == 2
