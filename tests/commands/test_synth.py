"""vocr synth."""

from __future__ import annotations

from pathlib import Path

from conftest import FONTS
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import DataError, FontError

runner = CliRunner()


def synth(out: Path, *more: str) -> object:
    return runner.invoke(app, ["synth", str(out), "--fonts", str(FONTS), "--workers", "1", *more])


def test_folder_and_database_hold_the_same_lines(tmp_path: Path) -> None:
    for out in ("lines", "lines.lmdb"):
        result = synth(tmp_path / out, "--count", "12", "--seed", "3")
        assert result.exit_code == 0, result.output
    rows = (tmp_path / "lines" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    with LineStore(tmp_path / "lines.lmdb") as store:
        assert [line.text for line in store] == [row.split("\t")[1] for row in rows]
        assert store[11].image == (tmp_path / "lines" / "images" / "000011.png").read_bytes()


def test_preview_and_grey(tmp_path: Path) -> None:
    result = synth(tmp_path / "g", "--count", "3", "--grey", "--preview", str(tmp_path / "p.png"))
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "g" / "images" / "000000.png").mode == "L"
    assert Image.open(tmp_path / "p.png").width > 1600


def test_own_text_is_used(tmp_path: Path) -> None:
    text = tmp_path / "own.txt"
    text.write_text("Chuyến xe khởi hành lúc năm giờ sáng.\n" * 3, encoding="utf-8")
    result = synth(tmp_path / "t", "--count", "30", "--text", str(text), "--text-share", "1")
    assert result.exit_code == 0, result.output
    labels = (tmp_path / "t" / "labels.tsv").read_text(encoding="utf-8").lower()
    assert labels.count("khởi hành") > 5


def test_missing_fonts_and_text_name_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = runner.invoke(app, ["synth", str(tmp_path / "x"), "--fonts", str(tmp_path / "empty")])
    assert result.exit_code == 1 and isinstance(result.exception, FontError) and result.exception.fix
    result = synth(tmp_path / "y", "--text", str(tmp_path / "none.txt"))
    assert result.exit_code == 1 and isinstance(result.exception, DataError) and result.exception.fix
    assert not (tmp_path / "x").exists() and not (tmp_path / "y").exists()


def test_refused_fonts_take_one_line_and_a_list_on_demand(tmp_path: Path) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    for file in FONTS.glob("*.ttf"):
        (fonts / file.name).write_bytes(file.read_bytes())
    for number in range(3):
        (fonts / f"bad{number}.ttf").write_bytes(b"nothing")
    command = ["synth", str(tmp_path / "x"), "--count", "1", "--fonts", str(fonts), "--workers", "1"]
    shown = runner.invoke(app, command).stderr
    assert "3 refused; -v tells" in shown and "bad1.ttf" not in shown
    shown = runner.invoke(app, [*command, "-v"]).stderr
    assert all(f"Font refused: {fonts / f'bad{number}.ttf'}" in shown for number in range(3))
    assert "-v tells" not in shown
    assert runner.invoke(app, [*command, "-q"]).stderr == ""
