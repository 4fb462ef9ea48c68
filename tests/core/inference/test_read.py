"""A request of a program: results are yielded as they come, and written meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch

from vocr_cli.core.errors import DataError
from vocr_cli.core.inference import pipeline
from vocr_cli.core.inference.inputs.inputs import Inputs
from vocr_cli.core.inference.read import ReadRequest, start_reading
from vocr_cli.core.inference.recognizer_options import RecognizerOptions


def request(model: Path, folder: Path, out: Path | None = None, resume: bool = False) -> ReadRequest:
    options = RecognizerOptions(model=model, precision="fp32")
    return ReadRequest(inputs=Inputs([folder]), recognizer=options, device="cpu", out=out, resume=resume)


def ignore(told: object) -> None:
    pass


def test_results_come_in_order_and_are_written(tiny_model: Path, lines_folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    done: list[int] = []
    run = start_reading(request(tiny_model, lines_folder, tmp_path / "out.tsv"), notes.append)
    results = list(run.results(ignore, done.append))
    assert [Path(result.path).name for result in results] == [f"a{number}.png" for number in range(1, 13)]
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text(encoding="utf-8").splitlines()]
    assert [row[1] for row in rows] == [result.reading.text for result in results if result.reading]
    assert sum(done) == run.output.tally.lines == 12 and run.cached_lines is None
    assert notes == [f"Precision fp32 in torch {torch.__version__}: as asked for."]


def test_what_was_read_before_the_caller_stopped_is_not_read_again(
    tiny_model: Path, lines_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CPU_WINDOW_LINES", 1)  # sections of four lines
    whole, out = tmp_path / "whole.tsv", tmp_path / "out.tsv"
    list(start_reading(request(tiny_model, lines_folder, whole), ignore).results(ignore, ignore))
    with closing(
        start_reading(request(tiny_model, lines_folder, out), ignore).results(ignore, ignore)
    ) as some:
        for _ in range(6):
            next(some)
    assert not out.exists() and out.with_name("out.tsv.partial").exists()
    notes: list[str] = []
    run = start_reading(request(tiny_model, lines_folder, out, resume=True), notes.append)
    assert len(list(run.results(ignore, ignore))) == 8  # from the beginning of the section on
    assert 6 <= run.output.taken_over <= 12
    assert f"Resumed: {run.output.taken_over} lines were done before." in notes
    assert out.read_bytes() == whole.read_bytes() and run.output.tally.lines == 12


def test_inputs_without_a_line_are_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No image"):
        start_reading(request(tmp_path / "no-such.safetensors", tmp_path), ignore)
