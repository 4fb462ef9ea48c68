"""What a model is read with where nobody says it: by timings kept, else by the flags of the hardware."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import ConfigError, DependencyError, ModelError
from vocr_cli.core.export.onnx import write_int8, write_onnx
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.backends import auto_backend
from vocr_cli.core.inference.backends.auto_backend import WORTH_TIMING_LINES, BackendChoice, choose_backend
from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.inference.backends.backend_timing import sample_lines, seconds_a_line, time_backends
from vocr_cli.core.inference.backends.known_speeds import keep_speeds, kept_speeds, setting_of
from vocr_cli.core.inference.engines import onnx as onnx_engines
from vocr_cli.core.inference.int8_companion import digest_of
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.machine import precision as precisions
from vocr_cli.core.models.files import load_model

pytest.importorskip("onnxruntime")

ORT, OPENVINO = Backend("int8", "onnxruntime"), Backend("int8", "openvino")
FP32, BF16 = Backend("fp32", "torch"), Backend("bf16", "torch")
AMX = frozenset({"avx2", "avx512_vnni", "amx_int8"})
VNNI = frozenset({"avx2", "avx512_vnni"})
NO_VNNI = frozenset({"avx2"})


class Clock:
    """Moves only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[int] = []

    def __call__(self) -> float:
        return self.now

    def reading(self, *line_s: float) -> Callable[[int], None]:
        """Each pass takes as long a line as the next of `line_s` says, the last for ever."""
        left = list(line_s)

        def run(count: int) -> None:
            self.lines.append(count)
            self.now += count * (left.pop(0) if len(left) > 1 else left[0])

        return run


class Timing:
    """Says how long each way of reading takes for a line; notes what it was asked for."""

    def __init__(self, line_s: dict[Backend, float] | None = None) -> None:
        self.line_s = line_s or {}
        self.asked: list[list[Backend]] = []

    def __call__(self, backends: Sequence[Backend]) -> dict[Backend, float]:
        self.asked.append(list(backends))
        return {backend: self.line_s[backend] for backend in backends}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of timings, in an empty folder."""
    monkeypatch.setenv("VOCR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "precision.json"


@pytest.fixture
def machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a CPU with these flags, on which these runtimes are installed and torch runs fp32 and bf16."""

    def make(flags: frozenset[str], *runtimes: str) -> None:
        monkeypatch.setattr(auto_backend, "processor", lambda: ("CPU", flags))
        monkeypatch.setattr(auto_backend, "cpu_sums_int8_exactly", lambda: flags != NO_VNNI)
        monkeypatch.setattr(auto_backend, "good_precisions", lambda device: ("fp32", "bf16"))
        monkeypatch.setattr(auto_backend, "installed_runtimes", lambda: runtimes)

    make(AMX, "onnxruntime", "openvino")
    return make


@pytest.fixture(scope="module")
def onnx_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.onnx, and model.safetensors with the int8 file written from it."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("onnx")
    copy = Path(shutil.copy(tiny_model, folder / "model.safetensors"))
    model = load_model(copy)
    write_onnx(model, folder / "tiny.onnx")
    lines = [lines[:, :, None] for lines in map(_fitted, range(8))]
    write_int8(model, folder / "model.int8.onnx", lines, digest_of(copy))
    return folder


def _fitted(seed: int):  # type: ignore[no-untyped-def]
    import numpy as np
    from conftest import line_image

    return np.asarray(line_image(seed, 128, 40))


def chosen(
    model: str | Path,
    lines: int | None = None,
    timing: Timing | None = None,
    *,
    precision: str = "auto",
    runtime: str = "auto",
    threads: int = 1,
) -> BackendChoice:
    return choose_backend(
        find_source(model), "cpu", precision, runtime,
        threads=threads, count_lines=lambda: lines, time_lines=timing,
    )  # fmt: skip


def test_few_lines_of_an_embedded_model_are_read_in_onnx_runtime_untimed(machine, cache: Path) -> None:
    timing = Timing()
    for lines in (None, 1, 900):
        choice = chosen("vi-small", lines, timing)
        assert choice.backend == ORT and choice.reason == "it starts at once; not timed"
    assert not timing.asked and not cache.exists()


def test_many_lines_are_worth_the_start_of_openvino_where_it_is_known_to_be_faster(machine) -> None:
    assert chosen("vi-small", WORTH_TIMING_LINES - 1).backend == OPENVINO
    assert "flags of this CPU" in chosen("vi-small", WORTH_TIMING_LINES - 1).reason
    assert chosen("vi-small", 1500, threads=1).backend == OPENVINO
    assert chosen("vi-small", 1500, threads=4).backend == ORT  # a second is six hundred lines there
    machine(VNNI, "onnxruntime", "openvino")
    assert chosen("vi-small", 10**6).backend == ORT


def test_processes_read_a_small_model_in_onnx_runtime_whatever_is_known_of_threads(
    machine, onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = find_source("vi-small")
    keep_speeds(setting_of(source.path, "cpu", 2), {ORT: 0.004, OPENVINO: 0.002})

    def in_processes(model: str | Path) -> BackendChoice:
        lines = lambda: 100_000  # noqa: E731
        return choose_backend(find_source(model), "cpu", threads=2, count_lines=lines, in_processes=True)

    assert chosen("vi-small", 100_000, threads=2).backend == OPENVINO
    assert in_processes("vi-small").backend == ORT
    assert "2 processes" in in_processes("vi-small").reason
    monkeypatch.setattr(auto_backend, "SMALL_MODEL_BYTES", 1)  # a larger one
    assert in_processes("vi-small").backend == OPENVINO


@pytest.mark.parametrize(
    ("openvino_s", "few", "many"),
    [(0.002, ORT, OPENVINO), (0.0037, ORT, OPENVINO), (0.0039, ORT, ORT), (0.005, ORT, ORT)],
)
def test_many_lines_are_timed_once_and_start_up_is_weighed_against_the_rate(
    machine, cache: Path, openvino_s: float, few: Backend, many: Backend
) -> None:
    line_s = {ORT: 0.004, OPENVINO: openvino_s}
    timing = Timing(line_s)
    assert chosen("vi-small", WORTH_TIMING_LINES - 1, Timing()).reason.endswith("not timed")
    first = chosen("vi-small", 100_000, timing)
    assert timing.asked == [[ORT, OPENVINO]] and first.backend == many
    assert first.reason.startswith("timed just now, ms a line: int8 onnxruntime 4, int8 openvino ")
    assert json.loads(cache.read_text(encoding="utf-8"))["timings"][0]["line_s"] == {
        str(backend): seconds for backend, seconds in line_s.items()
    }
    assert os.listdir(cache.parent) == [cache.name]
    for lines, expected in ((1, few), (100, few), (100_000, many)):
        choice = chosen("vi-small", lines, timing)
        assert choice.backend == expected and choice.reason.startswith("timed on this machine before")
    assert len(timing.asked) == 1


def test_where_start_and_rate_cancel_out_the_choice_turns(machine) -> None:
    timing = Timing({ORT: 0.004, OPENVINO: 0.002})
    chosen("vi-small", WORTH_TIMING_LINES, timing)
    worth_it, worth_memory = auto_backend.WORTH_IT, auto_backend.WORTH_MEMORY  # 5 % are not worth its memory
    even = worth_memory * auto_backend.START_S["openvino"] / ((0.004 - worth_memory * 0.002) * worth_it)
    assert chosen("vi-small", int(even) - 1).backend == ORT
    assert chosen("vi-small", int(even) + 2).backend == OPENVINO


@pytest.mark.parametrize(("bf16_s", "best"), [(0.3, BF16), (0.99, FP32), (2.0, FP32)])
def test_a_model_without_an_int8_file_is_timed_in_floats(
    machine, tiny_model: Path, bf16_s: float, best: Backend
) -> None:
    assert chosen(tiny_model, 1).backend == BF16 and "not timed" in chosen(tiny_model, 1).reason
    timing = Timing({FP32: 1.0, BF16: bf16_s})
    assert chosen(tiny_model, WORTH_TIMING_LINES, timing).backend == best
    assert timing.asked == [[BF16, FP32]]
    assert [chosen(tiny_model, lines).backend for lines in (None, 1, 10**6)] == [best] * 3


def test_a_cpu_without_vnni_reads_int8_in_onnx_runtime_only_and_says_why(machine) -> None:
    machine(NO_VNNI, "onnxruntime", "openvino")
    timing = Timing()
    choice = chosen("vi-small", 10**6, timing)
    assert choice.backend == ORT and "no VNNI" in choice.reason and not timing.asked
    assert chosen("vi-small", 10**6, timing, runtime="openvino").backend == OPENVINO


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_only_runtime_is_taken(machine, runtime: str) -> None:
    machine(AMX, runtime)
    choice = chosen("vi-small", 10**6, Timing())
    assert choice.backend == Backend("int8", runtime)  # type: ignore[arg-type]
    assert choice.reason == "the runtime that is installed"


def test_without_a_runtime_an_embedded_model_is_read_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_engines, "RUNTIMES", ())
    assert chosen("vi-small").backend.runtime == "torch"
    with pytest.raises(DependencyError) as problem:
        Recognizer.load("vi-small", "cpu", "int8")
    assert "pip install onnxruntime" in problem.value.fix


def test_an_int8_file_is_taken_unasked_only_if_it_was_written_from_this_model(
    machine, onnx_folder: Path, tmp_path: Path
) -> None:
    current = onnx_folder / "model.safetensors"
    assert chosen(current).backend == ORT
    assert Recognizer.load(current, "cpu").engine.precision == "int8"

    stale = Path(shutil.copy(onnx_folder / "model.int8.onnx", tmp_path / "model.int8.onnx"))
    rewritten = tmp_path / "model.safetensors"
    content = bytearray(current.read_bytes())
    content[-1] ^= 1  # the last bit of a weight
    rewritten.write_bytes(content)
    assert chosen(rewritten).backend == BF16
    assert chosen(rewritten, precision="int8").backend == ORT
    assert Recognizer.load(rewritten, "cpu").engine.precision in ("fp32", "bf16")

    silent = tmp_path / "silent.safetensors"  # its int8 file does not say what it was written from
    shutil.copy(current, silent)
    lines = [_fitted(seed)[:, :, None] for seed in range(4)]
    write_int8(load_model(silent), tmp_path / "silent.int8.onnx", lines)
    assert chosen(silent).backend == BF16 and stale.is_file()

    damaged = Path(shutil.copy(current, tmp_path / "damaged.safetensors"))
    (tmp_path / "damaged.int8.onnx").write_bytes(b"nothing")
    assert chosen(damaged).backend == BF16


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_is_taken_as_asked_for(machine, cache: Path, precision: str) -> None:
    choice = chosen("vi-small", 10**6, Timing(), precision=precision)
    assert choice.backend == Backend(precision, "torch")  # type: ignore[arg-type]
    assert choice.reason == "as asked for" and not cache.exists()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_a_runtime_is_taken_as_asked_for(machine, cache: Path, runtime: str, precision: str) -> None:
    choice = chosen("vi-small", 10**6, Timing(), precision=precision, runtime=runtime)
    assert choice.backend == Backend("int8", runtime)  # type: ignore[arg-type]
    assert choice.reason == "as asked for" and not cache.exists()


def test_torch_is_taken_as_asked_for_in_the_better_float_format(machine) -> None:
    assert chosen("vi-small", 1, runtime="torch").backend == BF16
    assert chosen("vi-small", 1, runtime="torch", precision="fp32").backend == FP32


def test_what_does_not_go_together_is_refused_with_a_remedy(
    machine, tiny_model: Path, onnx_folder: Path
) -> None:
    for model, asked in (
        ("vi-small", {"precision": "fp32", "runtime": "onnxruntime"}),
        (tiny_model, {"runtime": "openvino"}),
        ("vi-small", {"precision": "fp16"}),
        ("vi-small", {"precision": "int8", "runtime": "torch"}),
        (onnx_folder / "tiny.onnx", {"runtime": "torch"}),
    ):
        with pytest.raises(ConfigError) as problem:
            chosen(model, **asked)  # type: ignore[arg-type]
        assert problem.value.fix


@pytest.mark.parametrize(("runtime", "other"), [("onnxruntime", "openvino"), ("openvino", "onnxruntime")])
def test_a_runtime_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, runtime: str, other: str
) -> None:
    monkeypatch.setattr(onnx_engines, "RUNTIMES", (other,))
    with pytest.raises(DependencyError) as problem:
        Recognizer.load("vi-small", "cpu", runtime=runtime)
    assert runtime in problem.value.problem and runtime in problem.value.fix


def test_an_onnx_file_runs_on_the_cpu_beside_a_gpu(
    onnx_folder: Path, lines_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "cuda_present", lambda: True)
    read = CliRunner().invoke(app, ["infer", str(lines_folder), "--model", str(onnx_folder / "tiny.onnx")])
    assert read.exit_code == 0, read.exception
    refused = CliRunner().invoke(
        app, ["infer", str(lines_folder), "--model", str(onnx_folder / "tiny.onnx"), "--device", "cuda"]
    )
    assert isinstance(refused.exception, ModelError) and "CPU only" in refused.exception.problem


@pytest.mark.parametrize("lines", [1, 900])
def test_an_onnx_file_is_read_in_what_it_holds(
    machine, onnx_folder: Path, lines_folder: Path, lines: int
) -> None:
    assert chosen(onnx_folder / "tiny.onnx", lines).backend == Backend("fp32", "onnxruntime")
    assert chosen(onnx_folder / "model.int8.onnx", lines).backend == ORT
    for name, precision in (("tiny.onnx", "fp32"), ("model.int8.onnx", "int8")):
        read = CliRunner().invoke(app, ["infer", str(lines_folder), "--model", str(onnx_folder / name)])
        assert read.exit_code == 0, read.exception
        assert f"Precision {precision} in onnxruntime" in read.stderr and len(read.stdout.splitlines()) == 12


def test_another_model_or_number_of_processors_is_timed_anew(
    machine, tiny_model: Path, tmp_path: Path
) -> None:
    slow = Timing({FP32: 1.0, BF16: 2.0})
    assert chosen(tiny_model, WORTH_TIMING_LINES, slow, threads=1).backend == FP32
    assert chosen(tiny_model, threads=1).backend == FP32
    assert chosen(tiny_model, threads=2).backend == BF16
    other = Path(shutil.copy(tiny_model, tmp_path / "other.safetensors"))
    assert chosen(other, WORTH_TIMING_LINES, Timing({FP32: 1.0, BF16: 0.5})).backend == BF16
    assert chosen(tiny_model, threads=1).backend == FP32
    os.utime(tiny_model)  # written anew
    assert chosen(tiny_model, threads=1).backend == BF16


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"format": 2}',
        b'{"format": 2, "timings": [{"setting": {}, "line_s": {"fp32": 1}}]}',
        b'{"format": 2, "timings": [{"setting": {}, "line_s": {"int8 abacus": 1}}]}',
        b'{"format": 1, "timings": []}',
        b"\xff",
    ],
)
def test_a_damaged_or_older_cache_is_an_empty_one(machine, cache: Path, content: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    timing = Timing({ORT: 1.0, OPENVINO: 2.0})
    assert "just now" in chosen("vi-small", WORTH_TIMING_LINES, timing).reason
    assert "before" in chosen("vi-small", 1).reason


def test_a_folder_that_cannot_be_written_costs_the_timing_only(machine, cache: Path) -> None:
    cache.parent.write_bytes(b"a file where the folder should be")
    timing = Timing({ORT: 1.0, OPENVINO: 2.0})
    choice = chosen("vi-small", WORTH_TIMING_LINES, timing)
    assert choice.backend == ORT and "not kept" in choice.reason


def test_kept_timings_of_one_way_do_not_serve_where_two_are_weighed(machine, tmp_path: Path) -> None:
    setting = setting_of(find_source("vi-small").path, "cpu", 1)
    assert keep_speeds(setting, {OPENVINO: 0.001})
    assert "not timed" in chosen("vi-small", 1).reason
    timing = Timing({ORT: 0.004, OPENVINO: 0.002})
    chosen("vi-small", WORTH_TIMING_LINES, timing)
    assert kept_speeds(find_source("vi-small").path, "cpu", 1) == timing.line_s


def test_names_of_ways_to_read_are_read_back() -> None:
    for backend in (ORT, OPENVINO, FP32, BF16):
        assert Backend.parse(str(backend)) == backend
    for name in ("", "int8", "int8 abacus", "int9 torch"):
        with pytest.raises(ValueError, match="no way of reading"):
            Backend.parse(name)


def test_neither_warm_up_nor_load_counts_and_the_budget_holds() -> None:
    clock = Clock()
    passes = {
        FP32: clock.reading(0.05, 0.009, 0.004, 0.009),
        BF16: clock.reading(0.03, 0.005, 0.002, 0.008),
    }
    assert seconds_a_line(passes, clock, 2.0) == pytest.approx({FP32: 0.004, BF16: 0.002})
    assert clock.now < 2.5 and len(clock.lines) >= 6


@pytest.mark.parametrize("slow", [0.1, 1.0, 10.0])
def test_slow_models_are_timed_on_few_lines(slow: float) -> None:
    clock = Clock()
    passes = {FP32: clock.reading(slow), BF16: clock.reading(slow / 2)}
    assert seconds_a_line(passes, clock) == pytest.approx({FP32: slow, BF16: slow / 2})
    assert set(clock.lines) == {4} and clock.now <= max(2.6, 12 * slow)


def test_the_lines_timed_are_lines_and_real_models_read_them(cache: Path, tiny_model: Path) -> None:
    images = sample_lines()
    assert len({image.width for image in images}) > 12 and min(image.width for image in images) > 150
    assert all(image.getextrema() == (20, 250) for image in images)
    every_look_takes_a_second = itertools.count().__next__
    timed = time_backends(
        RecognizerOptions(threads=1), find_source("vi-small"), "cpu", [ORT, FP32], every_look_takes_a_second
    )
    assert timed == {ORT: 0.25, FP32: 0.25}  # of four lines, few as the budget of two seconds is spent
    alone = time_backends(RecognizerOptions(threads=1), find_source(tiny_model), "cpu", [FP32])
    assert set(alone) == {FP32} and alone[FP32] > 0


def test_infer_says_what_it_reads_with_and_why(machine, tiny_model: Path, lines_folder: Path) -> None:
    read = ["infer", str(lines_folder), "--device", "cpu"]
    for more, precision, runtime, reason in (
        (("--precision", "fp32"), "fp32", "torch", "as asked for."),
        (("--model", str(tiny_model)), "bf16", "torch", "by what this cpu can do; not timed."),
        ((), "int8", "onnxruntime", "it starts at once; not timed."),
        (("--runtime", "onnxruntime"), "int8", "onnxruntime", "as asked for."),
    ):
        result = CliRunner().invoke(app, [*read, *more])
        assert result.exit_code == 0, result.exception
        (said,) = [row for row in result.stderr.splitlines() if row.startswith("Precision")]
        assert said.startswith(f"Precision {precision} in {runtime} ") and said.endswith(reason)
        assert "Precision" not in result.stdout


@pytest.mark.slow
def test_bench_keeps_what_it_found(tiny_model: Path, lines_folder: Path, cache: Path) -> None:
    runner = CliRunner()
    bench = [
        "bench",
        "infer",
        "--model",
        str(tiny_model),
        "--data",
        str(lines_folder),
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    measured = runner.invoke(app, [*bench, "--precision", "fp32", "--precision", "bf16"])
    assert measured.exit_code == 0, measured.output
    (timing,) = json.loads(cache.read_text(encoding="utf-8"))["timings"]
    assert set(timing["line_s"]) == {"fp32 torch", "bf16 torch"} and timing["setting"]["threads"] == 1
    assert kept_speeds(tiny_model, "cpu", 1).keys() == {FP32, BF16}
