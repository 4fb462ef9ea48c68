"""vocr infer over many lines: killed and resumed, cached, in shares, from lists and archives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from conftest import line_image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import DataError
from vocr_cli.core.inference import Recognizer, pipeline

runner = CliRunner()


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections of four lines."""
    monkeypatch.setattr(pipeline, "CPU_WINDOW_LINES", 1)


def infer(*arguments: object, model: Path, listed: str | None = None):  # type: ignore[no-untyped-def]
    options = ["--model", str(model), "--precision", "fp32"]
    return runner.invoke(app, ["infer", *map(str, arguments), *options], input=listed)


def many(folder: Path, count: int, bad_every: int = 9) -> Path:
    """Lines of several widths, every ninth of them unreadable."""
    folder.mkdir()
    for number in range(count):
        file = folder / f"{number}.png"
        line_image(number, 60 + 40 * (number % 3)).save(file)
        if number % bad_every == 4:
            file.write_bytes(b"nothing")
    return folder


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Ctrl-C when so many batches were read."""
    real, read = Recognizer.read_fitted, []

    def counted(self: Recognizer, lines):  # type: ignore[no-untyped-def]
        read.append(len(lines))
        if len(read) > batches:
            raise KeyboardInterrupt
        return real(self, lines)

    monkeypatch.setattr(Recognizer, "read_fitted", counted)


@pytest.mark.parametrize("form", ["tsv", "jsonl", "csv"])
def test_resumed_run_repeats_and_loses_no_line(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_sections: None, form: str
) -> None:
    folder, whole, out = many(tmp_path / "lines", 40), tmp_path / "whole", tmp_path / "out"
    result = infer(folder, "--out", whole, "-f", form, "--errors", tmp_path / "whole.bad", model=tiny_model)
    assert result.exit_code == 3, result.output
    options = (folder, "--out", out, "--errors", tmp_path / "out.bad", "-f", form, "--resume")
    for batches in (7, 0, 11):
        with monkeypatch.context() as stopped:
            stop_after(stopped, batches)
            result = infer(*options, model=tiny_model)
        assert result.exit_code == 130 and not out.exists(), result.output
        assert "--resume goes on" in result.stderr
        with out.with_name("out.partial").open("ab") as partial:
            partial.write(b"a torn li")
    result = infer(*options, model=tiny_model)
    assert result.exit_code == 3 and "Resumed: " in result.stderr and "Resumed: 0" not in result.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert (tmp_path / "out.bad").read_bytes() == (tmp_path / "whole.bad").read_bytes()
    assert "4 of 40 inputs" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lines",
        "out",
        "out.bad",
        "whole",
        "whole.bad",
    ]
    assert result.stderr.count("not an image") == (tmp_path / "out.bad").read_text().count("\n") == 4


def test_resume_refuses_other_inputs_and_other_options(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_sections: None
) -> None:
    folder, out = many(tmp_path / "lines", 30), tmp_path / "out.txt"
    with monkeypatch.context() as stopped:
        stop_after(stopped, 12)
        assert infer(folder, "--out", out, model=tiny_model).exit_code == 130
    before = (tmp_path / "out.txt.partial").read_bytes()
    for options, named in (
        (["--beam", "3"], "beam"),
        (["--deny", "a"], "deny"),
        (["-f", "jsonl"], "format"),
        (["--errors", tmp_path / "bad"], "errors"),
        (["--shard", "1/2"], "inputs"),
    ):
        result = infer(folder, "--out", out, "--resume", *options, model=tiny_model)
        assert isinstance(result.exception, DataError) and named in result.exception.problem, result.output
        assert "--resume" in result.exception.fix
    assert (tmp_path / "out.txt.partial").read_bytes()[:20] == before[:20]
    (folder / "0.png").rename(folder / "00.png")
    result = infer(folder, "--out", out, "--resume", model=tiny_model)
    assert isinstance(result.exception, DataError) and "differ" in result.exception.problem
    (tmp_path / "out.txt.partial.json").unlink()
    result = infer(folder, "--out", out, "--resume", model=tiny_model)
    assert isinstance(result.exception, DataError) and "missing" in result.exception.problem


def test_resume_keeps_the_precision_that_auto_chose(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_sections: None
) -> None:
    folder, out = many(tmp_path / "lines", 30), tmp_path / "out.tsv"
    for begun in ("fp32", "bf16"):  # one of which auto would not choose
        with monkeypatch.context() as stopped:
            stop_after(stopped, 8)
            arguments = ["infer", str(folder), "--model", str(tiny_model), "--out", str(out)]
            assert runner.invoke(app, [*arguments, "--precision", begun, "--overwrite"]).exit_code == 130
        result = runner.invoke(app, [*arguments, "--resume"])
        assert result.exit_code == 3 and "Resumed: " in result.stderr, result.output


def test_resume_of_nothing_begins_and_of_a_complete_file_does_nothing(
    tiny_model: Path, lines_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tsv"
    assert infer(lines_folder, "--out", out, "--resume", model=tiny_model).exit_code == 0
    written = out.read_bytes()
    result = infer(tmp_path / "gone", "--out", out, "--resume", model=tiny_model)
    assert result.exit_code == 0 and "nothing is left to do" in result.stderr and out.read_bytes() == written


def killed(folder: Path, model: Path, out: Path, seconds: float) -> tuple[bool, float]:
    """Runs the command and kills it after reading for so many seconds; whether it had not ended by itself.

    Returns:
        That, and the seconds it read.
    """
    code = (
        "import sys; from vocr_cli.core.inference import pipeline; pipeline.CPU_WINDOW_LINES = 8;"
        "from vocr_cli.app import main; sys.argv = ['vocr', 'infer', *sys.argv[1:]]; main()"
    )
    options = ["--model", model, "--out", out, "--errors", f"{out}.bad", "--precision", "fp32", "--resume"]
    run = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, [folder, *options])],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    journal = out.with_name(f"{out.name}.partial.json")
    while run.poll() is None and not journal.exists():
        time.sleep(0.005)
    began = time.monotonic()
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
    _, errors = run.communicate()
    assert run.returncode in (3, -signal.SIGKILL), errors.decode()
    return run.returncode != 3, time.monotonic() - began


def kill_often(folder: Path, model: Path, out: Path, times: int) -> None:
    whole = out.with_name("whole")
    was_killed, reading_seconds = killed(folder, model, whole, 600)
    assert not was_killed
    moments = random.Random(5)
    kills = 0
    while kills < times and killed(folder, model, out, moments.uniform(0, reading_seconds / times))[0]:
        kills += 1
    assert kills == times, "the run ended before it was killed often enough"
    assert not killed(folder, model, out, 600)[0]
    assert out.read_bytes() == whole.read_bytes()
    assert Path(f"{out}.bad").read_bytes() == Path(f"{whole}.bad").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.slow
def test_killed_ten_times_the_output_is_that_of_an_undisturbed_run(tiny_model: Path, tmp_path: Path) -> None:
    kill_often(many(tmp_path / "lines", 6000, 97), tiny_model, tmp_path / "out", 10)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.slow
def test_killed_twice(tiny_model: Path, tmp_path: Path) -> None:
    kill_often(many(tmp_path / "lines", 600, 97), tiny_model, tmp_path / "out", 2)


def test_list_on_stdin_and_archive_read_as_files_do(
    tiny_model: Path, lines_folder: Path, tmp_path: Path
) -> None:
    plain = infer(lines_folder, model=tiny_model).stdout
    names = "".join(f"{line.split(chr(9))[0]}\n" for line in plain.splitlines())
    assert infer("--from-file", "-", model=tiny_model, listed=names).stdout == plain
    archive = tmp_path / "lines.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in names.splitlines():
            tar.add(name, Path(name).name)
    packed = infer(archive, model=tiny_model)
    assert packed.exit_code == 0, packed.output
    assert packed.stdout == plain.replace(str(lines_folder), str(archive))


def test_shares_together_are_the_whole(tiny_model: Path, lines_folder: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(1, 6):
        result = infer(lines_folder, "--shard", f"{number}/5", model=tiny_model)
        assert result.exit_code == 0
        rows += [line.split("\t")[:2] for line in result.stdout.splitlines()]
    whole = [line.split("\t")[:2] for line in infer(lines_folder, model=tiny_model).stdout.splitlines()]
    assert sorted(rows) == sorted(whole)
    empty = infer(lines_folder / "a1.png", "--shard", "2/2", "--out", tmp_path / "none", model=tiny_model)
    assert empty.exit_code == 0 and (tmp_path / "none").read_bytes() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resume"], ["--shard", "0/2"], ["--shard", "3/2"], ["--shard", "x"], ["-f", "parquet"],
        ["--resume", "-f", "parquet", "--out", "x"], ["--engine", "ray", "--resume", "--out", "x"],
    ],
)  # fmt: skip
def test_options_that_contradict_one_another_are_a_usage_error(
    arguments: list[str], tiny_model: Path
) -> None:
    assert infer("a.png", *arguments, model=tiny_model).exit_code == 2
    assert infer(model=tiny_model).exit_code == 2


def test_second_run_takes_all_from_the_cache(
    tiny_model: Path, lines_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (lines_folder, "-f", "jsonl", "--cache", tmp_path / "cache")
    first = infer(*options, model=tiny_model)
    stop_after(monkeypatch, 0)
    second = infer(*options, model=tiny_model)
    assert second.exit_code == 0 and second.stdout == first.stdout and len(first.stdout.splitlines()) == 12
    assert "in the cache: 12" in second.stderr


def test_parquet_holds_what_jsonl_does(tiny_model: Path, lines_folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    (tmp_path / "bad.png").write_bytes(b"")
    out = tmp_path / "out.parquet"
    result = infer(lines_folder, tmp_path / "bad.png", "-f", "parquet", "--out", out, model=tiny_model)
    assert result.exit_code == 3, result.output
    rows = parquet.read_table(out).to_pylist()
    lines = infer(lines_folder, tmp_path / "bad.png", "-f", "jsonl", model=tiny_model).stdout.splitlines()
    for row, line in zip(rows, map(json.loads, lines), strict=True):
        assert (row["path"], row["text"], row["error"]) == (line["path"], line["text"], line.get("error"))
        assert row["width_px"] == line.get("width_px")
