"""Files replaced in one step: nothing half-written under their names, nothing only in the system's memory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import ConfigError, DataError
from vocr_cli.core.machine.atomic_write import atomic_write, write_report

runner = CliRunner()

KILLED_IN_THE_MIDDLE = """
import os, sys
from pathlib import Path
from vocr_cli.core.machine.atomic_write import atomic_write

with atomic_write(Path(sys.argv[1]), only_writer=True) as temporary:
    temporary.write_text("half of it")
    os._exit(9)
"""


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of the files that were flushed to the disk: they stay through a rename."""
    inodes: list[int] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        inodes.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return inodes


def test_the_file_is_flushed_before_it_gets_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def recorded_replace(source: Path, target: Path) -> None:
        order.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    with atomic_write(tmp_path / "a" / "b.txt") as temporary:
        temporary.write_text("whole")
    assert order == (["file", "rename", "folder"] if os.name == "posix" else ["file", "rename"])
    assert (tmp_path / "a" / "b.txt").read_text() == "whole"


@pytest.mark.parametrize("only_writer", [False, True])
def test_an_error_in_the_middle_leaves_the_old_file_alone(tmp_path: Path, only_writer: bool) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="broken"), atomic_write(path, only_writer=only_writer) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError("broken")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.bin"]


def test_a_kill_in_the_middle_leaves_the_old_file_and_the_next_write_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE, path], check=False)
    assert killed.returncode == 9
    assert path.read_text() == "old"
    with atomic_write(path, only_writer=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(os.name != "posix", reason="Permissions as POSIX has them.")
def test_the_file_has_the_permissions_of_a_new_one_though_its_writer_makes_it_private(tmp_path: Path) -> None:
    (tmp_path / "fresh").touch()
    with atomic_write(tmp_path / "written") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "fresh").stat().st_mode


def test_where_there_can_be_no_folder_the_error_is_about_that(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises((FileExistsError, NotADirectoryError)), atomic_write(tmp_path / "file" / "below"):
        pass


def test_the_config_of_a_run_survives_a_power_cut(
    tmp_path: Path, flushed: list[int], lines_folder: Path
) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text("".join(f"a{number}.png\tchữ {number}\n" for number in range(1, 13)), encoding="utf-8")
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "data": {
            "train": [{"annotations": str(labels), "images": str(lines_folder)}],
            "valid": [str(labels)],
            "valid_images": str(lines_folder),
            "workers": 0,
        },
        "train": {"max_steps": 1},
    }
    config = tmp_path / "given.yaml"
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    result = runner.invoke(app, ["train", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "config.yaml").stat().st_ino in flushed


def test_parquet_output_survives_a_power_cut(
    tmp_path: Path, flushed: list[int], tiny_model: Path, lines_folder: Path
) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    out = tmp_path / "out.parquet"
    arguments = [str(lines_folder), "--model", str(tiny_model), "--device", "cpu", "-f", "parquet"]
    result = runner.invoke(app, ["infer", *arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert out.stat().st_ino in flushed


def test_a_report_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    write_report(tmp_path / "new" / "report.json", "{}")
    assert (tmp_path / "new" / "report.json").read_text(encoding="utf-8") == "{}"
    with pytest.raises(DataError, match="cannot be written"):
        write_report(tmp_path / "new", "{}")
    target = tmp_path / "target"
    target.write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to(target)
    write_report(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and target.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(
    "command", ["inspect vi-small --json .".split(), "synth out --count 1 --preview a.txt".split()]
)
def test_names_that_cannot_be_written_to_end_without_a_traceback(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, command)
    assert isinstance(result.exception, DataError) or result.exit_code == 2, result.output
    assert not (tmp_path / "out").exists()


def test_a_run_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: {train: [{synth: {}}]}", encoding="utf-8")
    result = runner.invoke(app, ["train", str(config), "--out", str(config)])
    assert isinstance(result.exception, ConfigError) and "is a file" in result.exception.problem
