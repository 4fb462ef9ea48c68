"""vocr infer --resume: no batch that was read is read again, and the output is the undisturbed one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.inference import Recognizer, pipeline
from vocr_cli.core.inference.outputs import output
from vocr_cli.core.models.files import save_model

runner = CliRunner()
LINES, SECTION = 48, 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lines of nine widths, some of them unreadable."""
    folder = tmp_path / "lines"
    folder.mkdir()
    chance = random.Random(3)
    for number in range(LINES):
        file = folder / f"{number}.png"
        line_image(number, 60 + 24 * chance.randrange(9)).save(file)
        if number % 31 == 4:
            file.write_bytes(b"nothing")
    return folder


def arguments_for(way: str, folder: Path, tiny_model: Path) -> list[str]:
    """Lines of one width together, of near widths together, and each alone."""
    if way == "alone":
        return ["--model", "vi-small", "--precision", "int8", "--runtime", "onnxruntime"]
    if way.startswith("one width"):
        cache = ["--cache", str(folder / "cache")] if "cache" in way else []
        return ["--model", str(tiny_model), "--precision", "fp32", *cache]
    save_model(folder / "vietocr.safetensors", make_model())
    return ["--model", str(folder / "vietocr.safetensors"), "--precision", "fp32"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many lines each batch had that was read."""
    counts: list[int] = []
    real = Recognizer.read_fitted

    def counted(self: Recognizer, lines):  # type: ignore[no-untyped-def]
        readings = real(self, lines)
        counts.append(len(lines))
        return readings

    monkeypatch.setattr(Recognizer, "read_fitted", counted)
    monkeypatch.setattr(pipeline, "CPU_WINDOW_LINES", SECTION // 4)
    monkeypatch.setattr(output, "_NOTED_EVERY_S", 0.0)
    return counts


def stopping_after(monkeypatch: pytest.MonkeyPatch, results: int) -> None:
    """Ends the run as Ctrl-C does, at a result."""
    real, seen = output.Output.add, []

    def counted(self, result):  # type: ignore[no-untyped-def]
        seen.append(result)
        if len(seen) > results:
            raise KeyboardInterrupt
        real(self, result)

    monkeypatch.setattr(output.Output, "add", counted)


@pytest.mark.parametrize(
    "way",
    ["alone", "one width", "one width and a cache", pytest.param("near widths", marks=pytest.mark.slow)],
)
def test_what_was_read_is_not_read_again(
    folder: Path, tiny_model: Path, way: str, read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    command = ["infer", str(folder), *arguments_for(way, tmp_path, tiny_model), "--device", "cpu"]
    plain = [argument for argument in command if "cache" not in argument]
    assert runner.invoke(app, [*plain, "--out", str(whole)]).exit_code == 3
    wanted = sum(read)
    read.clear()
    for results in (20, 9):
        with monkeypatch.context() as stopped:
            stopping_after(stopped, results)
            result = runner.invoke(app, [*command, "--out", str(out), "--resume"])
        assert result.exit_code == 130, result.output
    spoiled = out.with_name("out.jsonl.partial.lines")
    if spoiled.exists():
        with spoiled.open("ab") as stream:
            stream.write(b"half a record")
    result = runner.invoke(app, [*command, "--out", str(out), "--resume"])
    assert result.exit_code == 3 and "Resumed: " in result.stderr, result.output
    assert out.read_bytes() == whole.read_bytes()
    assert wanted <= sum(read) <= wanted + 2 * 4 * max(read)  # batches under way at each of two stops
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl"]
