"""`python -m vocr_cli.demo` shows what vocr does wherever it is installed, without make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import EXAMPLE_LINES, ROOT


def demo(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vocr_cli.demo", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_demo_reads_the_package_s_lines_or_a_folder_s(tmp_path: Path) -> None:
    shown = demo(folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "✓" in shown.stdout and "Nguyễn Thị Quỳnh Hương" in shown.stdout and "CER" in shown.stdout
    assert not list(tmp_path.iterdir())
    assert demo(str(EXAMPLE_LINES), folder=tmp_path).stdout.count("✓") > shown.stdout.count("✓")


def test_a_folder_without_labels_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    shown = demo(str(tmp_path), folder=tmp_path)
    assert shown.returncode == 1 and "labels.tsv" in shown.stderr and "Traceback" not in shown.stderr
