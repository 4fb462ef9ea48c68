"""vocr bench infer --against: whole processes of peers, here small scripts in their place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.bench.contestants.peers.rapidocr import RAPIDOCR
from vocr_cli.core.bench.contestants.peers.tesseract import MARGIN_PX
from vocr_cli.core.bench.contestants.peers.trueocr import TRUEOCR
from vocr_cli.core.bench.contestants.peers.whole_process import run_whole
from vocr_cli.core.bench.suites.peers import with_margin
from vocr_cli.core.errors import DependencyError, VocrError

runner = CliRunner()

# A peer's interpreter: `python -I SCRIPT LIST OUT THREADS`. Each image has its text beside the test's labels.
PEER = """#!{python}
import os, pathlib, sys, unicodedata
_, _, script, images, out, threads = sys.argv
assert script.endswith("trueocr_lines.py") and threads == "1"
files = pathlib.Path(images).read_text().split()
assert all(pathlib.Path(file).is_file() for file in files)
texts = pathlib.Path({texts!r}).read_text(encoding="utf-8").splitlines()[: len(files)]
decomposed = [unicodedata.normalize("NFD", text) for text in texts]
pathlib.Path(out).write_text("\\n".join(decomposed), encoding="utf-8")
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder without peers, and one round instead of several."""
    monkeypatch.setenv("VOCR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("vocr_cli.core.bench.suites.peers.ROUNDS", 1)
    monkeypatch.setattr("vocr_cli.core.bench.suites.infer.WARM_UP_PASSES", 1)
    return tmp_path / "cache"


@pytest.fixture
def labelled(lines_folder: Path, tmp_path: Path) -> Path:
    """Three lines with labels that stand for any text."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    files = sorted(lines_folder.iterdir())[:3]
    labels = ["Đường Nguyễn Huệ", "số 7", "Tổ chức"]
    rows = [
        f"{shutil.copy(file, folder / file.name).name}\t{label}"
        for file, label in zip(files, labels, strict=True)
    ]
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def plant(program: str) -> None:
    """Put a program in the place of TrueOCR's interpreter, as if it had been installed."""
    TRUEOCR.python.parent.mkdir(parents=True)
    TRUEOCR.python.write_text(program)
    TRUEOCR.python.chmod(0o755)
    (TRUEOCR.folder / "complete").touch()


def bench(model: Path, *options: str) -> Result:
    given = ["--model", str(model), "--precision", "fp32", "--device", "cpu", "--threads", "1"]
    return runner.invoke(app, ["bench", "infer", *given, *options], env={"COLUMNS": "80"})


@pytest.mark.slow
def test_a_peer_is_measured_as_whole_processes_and_compared_in_nfc(
    tiny_model: Path, labelled: Path, cache: Path, tmp_path: Path
) -> None:
    texts = tmp_path / "texts"
    rows = (labelled / "labels.tsv").read_text(encoding="utf-8").splitlines()
    texts.write_text("\n".join(row.split("\t")[1] for row in rows), encoding="utf-8")
    plant(PEER.format(python=sys.executable, texts=str(texts)))
    result = bench(
        tiny_model, "--data", str(labelled), "--against", "trueocr", "--json", str(tmp_path / "b.json")
    )
    assert result.exit_code == 0, (result.output, result.exception)
    report = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["peers"]
    assert report["lines"] == report["choosing_lines"] == 3 and report["rounds"] == 1
    ours, theirs = report["contestants"]
    assert ours["name"] == "vocr" and theirs["name"] == "trueocr" and theirs["version"] == "trueocr 0.1.1"
    assert theirs["cer"]["value"] == 0 and theirs["tried"][0]["cer"] == 0  # written in NFD
    assert ours["cer"]["value"] > 0  # random weights
    for row in (ours, theirs):
        assert 0 < row["start_cpu_s"]["median"] and 0 < row["cpu_s_per_line"]["median"]
        assert 3 * row["cpu_s_per_line"]["median"] > row["start_cpu_s"]["median"] / 2  # starts are counted
    assert ours["peak_memory_mb"] > 50 > theirs["peak_memory_mb"] > 3
    shown = result.stdout[result.stdout.index("Whole processes that read 3 lines") :]
    tables = [row for row in shown.splitlines() if re.match("[│┃┏└┡]", row)]
    assert tables and max(map(len, tables)) <= 80


def test_a_peer_that_fails_is_named_with_its_last_words(
    tiny_model: Path, labelled: Path, cache: Path
) -> None:
    plant("#!/bin/sh\necho first >&2\necho 'no model here' >&2\nexit 4\n")
    result = bench(tiny_model, "--data", str(labelled), "--against", "trueocr")
    assert isinstance(result.exception, VocrError)
    assert result.exception.problem == "trueocr failed, exit code 4: no model here"


def test_missing_peers_are_one_error_with_every_remedy(
    tiny_model: Path, labelled: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    result = bench(tiny_model, "--data", str(labelled), "--against", "all")
    assert isinstance(result.exception, DependencyError)
    assert result.exception.problem == "Not installed: tesseract, trueocr, rapidocr."
    fix = result.exception.fix
    assert "apt install tesseract-ocr-vie" in fix.replace("tesseract-ocr tesseract", "tesseract")
    assert fix.count("--install") == 2 and str(cache) in fix
    result = bench(tiny_model, "--data", str(labelled), "--against", "tesseract", "--install")
    assert isinstance(result.exception, DependencyError) and "apt install" in result.exception.fix


def test_install_without_a_peer_is_a_usage_error(tiny_model: Path) -> None:
    assert bench(tiny_model, "--install").exit_code == 2


@pytest.mark.slow
def test_an_installation_that_fails_is_not_taken_for_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DependencyError, match=r"rapidocr 3\.10\.0 could not be installed: .*rapidocr"):
        RAPIDOCR.install(lambda message: None)
    assert not RAPIDOCR.is_installed()


def test_peak_memory_is_the_commands_own_and_children_count_for_processor_time(tmp_path: Path) -> None:
    held = bytearray(400 << 20)  # what measures is large; what is measured is not
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {busy!r}])"
    run = run_whole("busy", [sys.executable, "-I", "-c", code], {}, tmp_path)
    assert len(held) > 0 and run.peak_mb < 100
    assert 0.3 <= run.cpu_s and 0.3 <= run.seconds


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocrError, match=r"nobody failed, it did not start: .*nowhere"):
        run_whole("nobody", [str(tmp_path / "nowhere")], {}, tmp_path)


def test_margin_continues_the_ground_of_the_line() -> None:
    image = Image.new("RGB", (50, 20), (200, 10, 30))
    image.paste((0, 0, 0), (10, 5, 40, 15))
    larger = with_margin(image, MARGIN_PX)
    assert larger.size == (50 + 2 * MARGIN_PX, 20 + 2 * MARGIN_PX)
    assert larger.getpixel((0, 0)) == (200, 10, 30)
    assert larger.crop((MARGIN_PX, MARGIN_PX, MARGIN_PX + 50, MARGIN_PX + 20)).tobytes() == image.tobytes()


def _has_vietnamese() -> bool:
    if shutil.which("tesseract") is None:
        return False
    return (
        "vie" in subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True).stdout.split()
    )


@pytest.mark.slow
@pytest.mark.skipif(not _has_vietnamese(), reason="no tesseract with Vietnamese data")
def test_tesseract_is_run_in_the_setting_that_reads_best(
    tiny_model: Path, cache: Path, tmp_path: Path
) -> None:
    json_file = tmp_path / "b.json"
    result = bench(tiny_model, "--limit", "3", "--against", "tesseract", "--json", str(json_file))
    assert result.exit_code == 0, (result.output, result.exception)
    report = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["peers"]
    row = report["contestants"][1]
    tried = {one["name"]: one["cer"] for one in row["tried"]}
    assert {"vie, 10 px margin", "vie, no margin"} <= set(tried)
    assert tried[row["setting"]] == min(tried.values()) < 0.3
    assert row["cer"]["value"] == tried[row["setting"]]  # all lines were those of the choice
    assert "vie, no margin: " in result.stdout
