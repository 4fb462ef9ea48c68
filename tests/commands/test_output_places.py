"""Outputs under names that stand for devices, pipes and links: these stay, and get what was written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import FONTS, line_image, write_annotations
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import DataError

runner = CliRunner()
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="special files as POSIX has them")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    line_image(1).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def infer(image: Path, model: Path, *options: object) -> Result:
    arguments = ["infer", str(image), "--model", str(model), "--precision", "fp32", *map(str, options)]
    return runner.invoke(app, arguments)


class Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, pipe: Path) -> None:
        super().__init__(daemon=True)
        os.mkfifo(pipe)
        self.pipe, self.content = pipe, b""
        self.start()

    def run(self) -> None:
        self.content = self.pipe.read_bytes()

    def text(self) -> str:
        self.join(20)
        return self.content.decode()


@pytest.mark.parametrize("form", ["tsv", "jsonl", "csv", "parquet"])
def test_readings_go_into_a_pipe(tmp_path: Path, tiny_model: Path, image: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    plain = infer(image, tiny_model, "--out", tmp_path / f"plain.{form}")
    assert plain.exit_code == 0, plain.output
    reader = Reader(tmp_path / "pipe")
    result = infer(image, tiny_model, "--out", reader.pipe, "--format", form)
    assert result.exit_code == 0, result.output
    reader.join(20)
    assert reader.content == (tmp_path / f"plain.{form}").read_bytes() and reader.pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "pipe", f"plain.{form}"]


def test_a_link_stays_and_its_target_is_written(tmp_path: Path, tiny_model: Path, image: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.tsv"
    link.symlink_to("disk/readings.tsv")
    (tmp_path / "bad.tsv").symlink_to("disk/bad.tsv")
    missing = tmp_path / "missing.png"
    for _ in range(2):
        result = infer(missing, tiny_model, "--out", link, "--errors", tmp_path / "bad.tsv", "--overwrite")
        assert result.exit_code == 3, result.output
        assert link.is_symlink() and (tmp_path / "bad.tsv").is_symlink()
    assert "missing.png" in (tmp_path / "disk" / "bad.tsv").read_text(encoding="utf-8")
    assert infer(image, tiny_model, "--out", link).exit_code == 2  # the target is there
    assert infer(image, tiny_model, "--out", link, "--overwrite").exit_code == 0
    assert "a.png" in (tmp_path / "disk" / "readings.tsv").read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["bad.tsv", "readings.tsv"]


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path, tiny_model: Path, image: Path) -> None:
    before = os.stat("/dev/null")
    link = tmp_path / "nothing"
    link.symlink_to("/dev/null")
    for options in (["--out", "/dev/null", "--errors", link], ["--out", link]):
        result = infer(image, tiny_model, *options)
        assert result.exit_code == 0, result.output
    assert os.stat("/dev/null").st_rdev == before.st_rdev and link.is_symlink()
    result = infer(image, tiny_model, "--out", "/dev/null", "--resume")
    assert result.exit_code == 2 and "no file" in result.output
    if os.path.exists("/dev/full"):
        full = infer(image, tiny_model, "--out", "/dev/full")
        assert (
            isinstance(full.exception, DataError) and "/dev/full cannot be written" in full.exception.problem
        )


def test_stdout_by_its_name_is_stdout(tmp_path: Path, tiny_model: Path) -> None:
    report = [sys.executable, "-m", "vocr_cli", "inspect", str(tiny_model), "--json", "/dev/stdout"]
    with (tmp_path / "all").open("wb") as stdout:
        stdout.write(b"before\n")
        stdout.flush()
        subprocess.run([*report, "--quiet"], stdout=stdout, check=True)
        stdout.write(b"after\n")
    content = (tmp_path / "all").read_text(encoding="utf-8")
    assert content.startswith("before\n") and content.endswith("after\n")
    document = content[content.index("\n{") : content.rindex("}\n") + 1]
    assert json.loads(document)["kind"] == "model"


def test_reports_of_every_command_go_through_the_same_door(
    tmp_path: Path, tiny_model: Path, image: Path
) -> None:
    pipes = {name: Reader(tmp_path / name) for name in ("bad", "facts", "scores", "sheet.png")}
    (tmp_path / "l.tsv").write_text("a.png\tmột\nb.png\thai\n", encoding="utf-8")
    runner.invoke(
        app,
        ["build-lmdb", str(tmp_path / "l.tsv"), str(tmp_path / "db"), "--bad-lines", str(pipes["bad"].pipe)],
    )
    runner.invoke(app, ["inspect", str(tiny_model), "--json", str(pipes["facts"].pipe)])
    arguments = ["--model", str(tiny_model), "--precision", "fp32", "--json", str(pipes["scores"].pipe)]
    runner.invoke(app, ["eval", str(tmp_path / "l.tsv"), *arguments])
    arguments = ["--count", "2", "--fonts", str(FONTS), "--preview", str(pipes["sheet.png"].pipe)]
    runner.invoke(app, ["synth", str(tmp_path / "synth"), *arguments])
    assert "b.png" in pipes["bad"].text()
    assert json.loads(pipes["facts"].text())["kind"] == "model" and "cer" in pipes["scores"].text()
    pipes["sheet.png"].join(20)
    assert pipes["sheet.png"].content.startswith(b"\x89PNG")
    assert all(reader.pipe.is_fifo() for reader in pipes.values())


def test_a_database_behind_a_link_is_built_where_the_link_leads(tmp_path: Path) -> None:
    labels = write_annotations(tmp_path, ["một", "hai"])
    link = tmp_path / "db"
    link.symlink_to("disk/lines.lmdb")
    (tmp_path / "disk").mkdir()
    for options in ([], ["--overwrite"]):
        result = runner.invoke(app, ["build-lmdb", str(labels), str(link), *options])
        assert result.exit_code == 0 and link.is_symlink(), result.output
    assert len(LineStore(tmp_path / "disk" / "lines.lmdb")) == 2


@pytest.mark.parametrize("place", [".", "labels.tsv/below"])
def test_a_side_file_that_cannot_be_written_is_named_before_the_work(tmp_path: Path, place: str) -> None:
    labels = write_annotations(tmp_path, ["một"]).rename(tmp_path / "labels.tsv")
    out = tmp_path / "db"
    result = runner.invoke(app, ["build-lmdb", str(labels), str(out), "--bad-lines", str(tmp_path / place)])
    assert isinstance(result.exception, DataError) and "cannot be written" in result.exception.problem
    assert not out.exists()
