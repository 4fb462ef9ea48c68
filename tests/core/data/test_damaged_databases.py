"""Damaged databases end in an error of ours: LMDB itself would have the process killed by a signal."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_database
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.errors import DataError

runner = CliRunner()
PAGE = 4096

READ_VARIANTS = """
import random, sys
from pathlib import Path
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import VocrError

sound, folder = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
pages = [
    page for page in range(len(sound) // 4096)
    if page < 2 or sound[page * 4096 + 10] in (1, 2) and sound[page * 4096] == page % 256
]
chance = random.Random(7)
for variant in range(150):
    data, start = bytearray(sound), 4096 * chance.choice(pages)
    kind = variant % 4
    if kind == 0:  # two bytes
        for _ in range(2):
            data[start + chance.randrange(4096)] = chance.randrange(256)
    elif kind == 1:  # two bytes of a page's head or of what follows it
        data[start + chance.randrange(64)], data[start + chance.randrange(64)] = 255, chance.randrange(256)
    elif kind == 2:  # a page that was never written, or by another program
        data[start : start + 4096] = chance.choice((bytes(4096), b"\\xff" * 4096, chance.randbytes(4096)))
    else:  # a page written where another belongs
        other = 4096 * chance.choice(pages)
        data[start : start + 4096] = data[other : other + 4096]
    file = folder / f"{variant}.mdb"
    file.write_bytes(data)
    try:
        with LineStore(file) as store:
            store.characters, store.widths
            lines = len(store)
            for number in range(lines):
                try:
                    store[number]
                except VocrError:
                    pass
            print("read", lines, data == sound)
    except VocrError as error:
        print("refused", error.problem)
    file.unlink()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """400 lines on pages of their own and beside labels: a tree of three levels."""
    path = tmp_path / "lines.lmdb"
    with LineWriter(path) as writer:
        for number in range(400):
            image = os.urandom((60, 900, 2500, 5000)[number % 4])
            writer.add(StoredLine(image, f"dòng {number}", f"images/{number}.png"), 30, 20)
    return path


def test_no_damage_kills_the_reader_or_takes_lines_away(database: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ_VARIANTS, str(database / "data.mdb"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result
    rows = [row.split(" ", 2) for row in result.stdout.splitlines()]
    assert len(rows) == 150
    assert sum(row[0] == "refused" for row in rows) > 75
    assert not [row for row in rows if row[0] == "read" and row[1] != "400"]


@pytest.mark.parametrize(
    "command", [["build-lmdb", "--check"], ["inspect"], ["infer", "--precision", "int8"]], ids=lambda c: c[0]
)
def test_a_damaged_database_is_named_by_every_command(database: Path, command: list[str]) -> None:
    assert LineStore(database)[0].text == "dòng 0"  # open here already, when the damage comes
    file = database / "data.mdb"
    data = bytearray(file.read_bytes())
    newest = max((0, PAGE), key=lambda meta: struct.unpack_from("<Q", data, meta + 144)[0])
    root = struct.unpack_from("<Q", data, newest + 128)[0]
    data[root * PAGE + 16 : root * PAGE + 18] = b"\xff\xff"
    file.write_bytes(data)
    result = runner.invoke(app, [command[0], str(database), *command[1:]])
    assert result.exit_code == (3 if command[0] == "infer" else 1), result.output
    told = result.output if command[0] == "infer" else str(result.exception)
    assert "is a damaged LMDB" in told and "Copy or build the database again" in told


def test_a_key_far_beyond_all_lines_is_no_number_of_lines(tmp_path: Path) -> None:
    path = write_database(tmp_path / "lines.lmdb", ["một", "hai"])
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes().replace(b"image-000000001", b"image-900000001"))
    with pytest.raises(DataError, match="cannot be"):
        LineStore(path)


def test_a_damaged_interrupted_build_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), LineWriter(tmp_path / "db", fingerprint="x") as writer:
        writer.add(StoredLine(b"image", "một", "0.png"), 9, 9)
        raise KeyboardInterrupt
    (left,) = tmp_path.glob(".db.tmp-*/data.mdb")
    data = bytearray(left.read_bytes())
    data[2 * PAGE :] = b"\xff" * (len(data) - 2 * PAGE)
    left.write_bytes(data)
    with pytest.raises(DataError, match="is damaged") as caught:
        LineWriter(tmp_path / "db", fingerprint="x", resume=True)
    assert "--resume" in caught.value.fix
    with LineWriter(tmp_path / "db", fingerprint="x") as writer:
        writer.add(StoredLine(b"image", "hai", "0.png"), 9, 9)
    assert LineStore(tmp_path / "db")[0].text == "hai"


def test_a_damaged_result_cache_is_begun_anew(tmp_path: Path, tiny_model: Path, lines_folder: Path) -> None:
    arguments = ["infer", str(lines_folder), "--model", str(tiny_model), "--precision", "fp32"]
    arguments += ["--cache", str(tmp_path / "cache")]
    first = runner.invoke(app, arguments)
    file = tmp_path / "cache" / "data.mdb"
    data = bytearray(file.read_bytes())
    data[2 * PAGE :] = b"\x11" * (len(data) - 2 * PAGE)
    file.write_bytes(data)
    second = runner.invoke(app, arguments)
    assert second.exit_code == 0 and second.stdout == first.stdout
    assert "was damaged and is begun anew" in second.stderr
    assert "in the cache: 12" in runner.invoke(app, arguments).stderr
