"""The tables of the measurements are those of their raw results, and an edited number is noticed."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "tests" / "golden" / "bench-infer.json"
"""What `vocr bench infer --limit 6 --precision fp32 --against tesseract --threads 1 --json` wrote."""


@pytest.fixture
def measurements(tmp_path: Path) -> Path:
    """A copy of the pages, the results and the script."""
    shutil.copy(ROOT / "BENCHMARKS.md", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    for name in ("LEADERBOARD.md", "tables.py"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path / "benchmarks")
    shutil.copytree(ROOT / "benchmarks" / "results", tmp_path / "benchmarks" / "results")
    return tmp_path


def tables(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = str(folder / "benchmarks" / "tables.py")
    return subprocess.run([sys.executable, script, *options], capture_output=True, text=True)


def functions() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))


def test_every_table_is_that_of_its_results() -> None:
    checked = tables(ROOT, "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("page", ["BENCHMARKS.md", "benchmarks/LEADERBOARD.md"])
def test_an_edited_number_is_noticed_and_written_anew(measurements: Path, page: str) -> None:
    file = measurements / page
    text = file.read_text(encoding="utf-8")
    start = text.index("<!-- table ")
    cell = text.index("%", start)
    file.write_text(f"{text[: cell - 1]}{(int(text[cell - 1]) + 1) % 10}{text[cell:]}", encoding="utf-8")
    edited = file.read_text(encoding="utf-8")
    checked = tables(measurements, "--check")
    assert checked.returncode == 1 and file.name in checked.stdout
    assert file.read_text(encoding="utf-8") == edited  # --check writes nothing
    assert tables(measurements).returncode == 0
    assert file.read_text(encoding="utf-8") == text


def test_every_result_has_its_table_and_every_table_its_machine_and_command() -> None:
    named = functions()["MARKED"].findall(
        "".join(
            (ROOT / page).read_text(encoding="utf-8")
            for page in ("BENCHMARKS.md", "benchmarks/LEADERBOARD.md")
        )
    )
    assert len(named) == len({name for _, name, _ in named}) >= 10
    for _, name, _ in named:
        result = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        assert result["machine"] and ("precisions" in result or result["command"])


def test_a_comparison_with_peers_becomes_a_table_of_whole_processes() -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    columns, rows = functions()["infer_table"](report)
    assert all(len(row) == len(columns) for row in rows)
    assert [row[0] for row in rows] == ["vocr 0.1.0, vi-small", "tesseract 5.3.0"]
    ours = report["peers"]["contestants"][0]
    assert rows[0][2] == f"{ours['lines_per_s']['median']:.1f}"
    assert rows[0][5] == f"{ours['start_cpu_s']['median']:.2f}"
    rule = functions()["markdown"](columns, rows).splitlines()[1]
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"


def test_a_report_without_labels_or_peers_becomes_a_table_of_precisions() -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8")) | {"peers": None}
    (fp32,) = report["precisions"]
    fp32["cer"] = None
    columns, rows = functions()["infer_table"](report)
    assert [len(row) for row in rows] == [len(columns)]
    assert rows[0][0].startswith("vi-small fp32, torch ") and rows[0][-1] == ""
    assert rows[0][2] == f"{fp32['latency_ms_p50']:.1f}"
