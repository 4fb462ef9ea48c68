"""vocr lm."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import DataError
from vocr_cli.core.language_model.ngram import open_language_model

runner = CliRunner()
TEXT = "Cộng hòa xã hội chủ nghĩa Việt Nam\nĐộc lập - Tự do - Hạnh phúc\n" * 80


def test_a_folder_of_text_becomes_a_model(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text(TEXT, encoding="utf-8")
    out = tmp_path / "own.lm"
    result = runner.invoke(
        app,
        ["lm", str(tmp_path / "text"), str(out), "--order", "4", "--max-mb", "0.05", "--provenance", "Ours"],
    )
    assert result.exit_code == 0, result.output
    assert "bits per character" in result.output and "not measured" not in result.output
    model = open_language_model(str(out))
    assert model.order == 4 and out.stat().st_size <= 50_000
    assert model.header.provenance == "Ours" and model.header.texts[0].name == "a.txt"


def test_little_text_is_counted_though_nothing_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("một hai ba\n", encoding="utf-8")
    result = runner.invoke(app, ["lm", str(tmp_path / "a.txt"), str(tmp_path / "own.lm")])
    assert result.exit_code == 0 and "not measured" in result.output, result.output


def test_problems_name_a_remedy_and_leave_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "own.lm"
    out.write_bytes(b"old")
    result = runner.invoke(app, ["lm", str(tmp_path / "none.txt"), str(out)])
    assert isinstance(result.exception, DataError) and result.exception.fix
    (tmp_path / "empty").mkdir()
    result = runner.invoke(app, ["lm", str(tmp_path / "empty"), str(out)])
    assert isinstance(result.exception, DataError) and result.exception.fix
    assert out.read_bytes() == b"old"


def test_a_forgotten_output_is_a_mistake_of_usage(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text(TEXT, encoding="utf-8")
    for arguments in ([str(text)], [str(text), str(text)], [str(text), str(tmp_path)]):
        result = runner.invoke(app, ["lm", *arguments])
        assert result.exit_code == 2, result.output
    assert text.read_text(encoding="utf-8") == TEXT
