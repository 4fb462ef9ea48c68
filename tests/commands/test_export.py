"""vocr export."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import ModelError
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.int8_companion import has_current_int8
from vocr_cli.core.inference.model_source import find_source

runner = CliRunner()


def export(*arguments: object):  # type: ignore[no-untyped-def]
    return runner.invoke(app, ["export", *map(str, arguments)])


def test_fp16_file_is_half_as_large_and_reads(tiny_model: Path, tmp_path: Path, lines_folder: Path) -> None:
    out = tmp_path / "half.safetensors"
    result = export(tiny_model, out, "--dtype", "fp16")
    assert result.exit_code == 0, result.output
    assert "largest difference" in result.stderr
    assert out.stat().st_size < 0.75 * tiny_model.stat().st_size
    Recognizer.load(out, "cpu", "fp32").read_files([lines_folder / "a1.png"])


def test_onnx_file_reads_the_same(tiny_model: Path, tmp_path: Path, lines_folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    result = export(tiny_model, tmp_path / "copy.onnx")
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["copy.onnx"]  # nothing else is left behind
    files = sorted(lines_folder.iterdir())
    source = Recognizer.load(tiny_model, "cpu", "fp32").read_files(files)
    copy = Recognizer.load(tmp_path / "copy.onnx").read_files(files)
    assert [reading.text for reading in copy] == [reading.text for reading in source]


def test_int8_companion_serves_precision_int8(tiny_model: Path, tmp_path: Path, lines_folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = shutil.copy(tiny_model, tmp_path / "tiny.safetensors")
    result = export(model, tmp_path / "tiny.int8.onnx", "--calibrate", lines_folder)
    assert result.exit_code == 0, result.output
    assert Recognizer.load(model, precision="int8").engine.precision == "int8"
    read = runner.invoke(
        app, ["infer", str(lines_folder), "--model", str(model), "--precision", "int8", "--device", "cpu"]
    )
    assert read.exit_code == 0 and len(read.stdout.splitlines()) == 12


def test_an_int8_file_is_read_unasked_until_the_model_is_written_anew(
    tiny_model: Path, tmp_path: Path, lines_folder: Path
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = Path(shutil.copy(tiny_model, tmp_path / "tiny.safetensors"))
    companion = tmp_path / "tiny.int8.onnx"
    assert not has_current_int8(find_source(model))
    assert export(model, companion, "--calibrate", lines_folder).exit_code == 0
    assert has_current_int8(find_source(model))
    assert Recognizer.load(model, "cpu").engine.precision == "int8"
    half = tmp_path / "half.safetensors"
    assert export(model, half, "--dtype", "fp16").exit_code == 0
    half.replace(model)  # as a training run writes its best model anew
    assert not has_current_int8(find_source(model))
    assert Recognizer.load(model, "cpu").engine.precision != "int8"
    assert Recognizer.load(model, "cpu", "int8").engine.precision == "int8"  # as asked for
    assert export(model, companion, "--calibrate", lines_folder).exit_code == 0
    assert has_current_int8(find_source(model))


def test_options_that_do_not_fit_the_kind_are_usage_errors(tiny_model: Path, tmp_path: Path) -> None:
    assert export(tiny_model, tmp_path / "out.bin").exit_code == 2
    assert export(tiny_model, tmp_path / "out.onnx", "--dtype", "fp16").exit_code == 2
    assert export(tiny_model, tmp_path / "out.onnx", "--calibrate", tmp_path).exit_code == 2


def test_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    result = export(tmp_path / "no.safetensors", tmp_path / "out.onnx")
    assert isinstance(result.exception, ModelError) and not (tmp_path / "out.onnx").exists()


def test_what_a_kind_of_model_cannot_be_written_as_is_refused_with_what_it_can(
    tiny_model: Path, tmp_path: Path
) -> None:
    from tiny_vietocr import make_model

    from vocr_cli.core.models.files import save_model

    save_model(tmp_path / "text.safetensors", make_model("convseq2seq"))
    refused = export(tmp_path / "text.safetensors", tmp_path / "out.onnx").exception
    assert isinstance(refused, ModelError) and "by convolutions" in refused.problem and "int8" in refused.fix
    refused = export(tiny_model, tmp_path / "out.pth", "--to", "vietocr").exception
    assert isinstance(refused, ModelError) and "family ctc" in refused.problem
    assert not list(tmp_path.glob("out.*"))


def test_help_flows_in_a_terminal_of_80_columns() -> None:
    result = runner.invoke(app, ["export", "--help"], env={"COLUMNS": "80"})
    rows = [row.strip() for row in result.output.partition("╭")[0].splitlines()]
    broken = [row for row, after in itertools.pairwise(rows) if row and after and len(row) < 60]
    assert not broken
