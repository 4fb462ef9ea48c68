"""What `--precision auto` takes: by a timing made once and kept, else by the flags of the hardware."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner
from vocr_cli.core.inference.auto_precision import (
    WORTH_TIMING_LINES,
    choose_precision,
    sample_lines,
    seconds_a_line,
)

from vocr_cli.app import app
from vocr_cli.core.bench.suites import infer as suites
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference import auto_precision as precision_timing
from vocr_cli.core.inference import known_speeds as precision_cache
from vocr_cli.core.inference.model_source import find_source


def few() -> int | None:
    return None  # as when a stream names the lines


def many() -> int:
    return 10**6


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of timings, in an empty folder."""
    monkeypatch.setenv("VOCR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "precision.json"


@pytest.fixture
def two_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that runs bf16 as well."""
    for module in (precision_cache, precision_timing, suites):
        monkeypatch.setattr(module, "good_precisions", lambda device: ("fp32", "bf16"))
    monkeypatch.setattr(precision_cache, "resolve_precision", lambda requested, device: "bf16")


def settled(model: Path, lines: int, speeds: dict[str, float], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """What is chosen when the formats take such times, and which were loaded for it."""
    clock, loaded = Clock(), []

    class Reader:
        def __init__(self, precision: str) -> None:
            self.read = lambda images: clock.reading(speeds[precision])(len(images))
            loaded.append(precision)

    monkeypatch.setattr(Recognizer, "load", lambda *given, **more: Reader(given[2]))
    return choose_precision(find_source(model), "cpu", "auto", lambda: lines, threads=1, clock=clock), loaded


def test_neither_warm_up_nor_load_counts_and_the_budget_holds() -> None:
    clock = Clock()
    passes = {
        "fp32": clock.reading(0.05, 0.009, 0.004, 0.009),
        "bf16": clock.reading(0.03, 0.005, 0.002, 0.008),
    }
    assert seconds_a_line(passes, clock, 2.0) == pytest.approx({"fp32": 0.004, "bf16": 0.002})
    assert clock.now < 2.5 and len(clock.lines) >= 6


@pytest.mark.parametrize("slow", [0.1, 1.0, 10.0])
def test_slow_models_are_timed_on_few_lines(slow: float) -> None:
    clock = Clock()
    passes = {"fp32": clock.reading(slow), "bf16": clock.reading(slow / 2)}
    assert seconds_a_line(passes, clock) == pytest.approx({"fp32": slow, "bf16": slow / 2})
    assert set(clock.lines) == {4} and clock.now <= max(2.6, 12 * slow)


def test_few_lines_are_never_timed(
    tiny_model: Path, cache: Path, two_formats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice, loaded = settled(tiny_model, WORTH_TIMING_LINES - 1, {}, monkeypatch)
    assert choice.precision == "bf16" and "not timed" in choice.reason
    assert not loaded and not cache.exists()


@pytest.mark.parametrize(("bf16", "best"), [(0.3, "bf16"), (0.99, "fp32"), (2.0, "fp32")])
def test_many_lines_are_timed_once_and_others_go_by_it(
    tiny_model: Path, cache: Path, two_formats: None, monkeypatch: pytest.MonkeyPatch, bf16: float, best: str
) -> None:
    speeds = {"fp32": 1.0, "bf16": bf16}
    choice, loaded = settled(tiny_model, WORTH_TIMING_LINES, speeds, monkeypatch)
    assert (choice.precision, loaded) == (best, ["fp32", "bf16"]) and "just now" in choice.reason
    stored = json.loads(cache.read_text(encoding="utf-8"))
    assert stored["timings"][0]["line_s"]["fp32"] == pytest.approx(1.0)
    assert os.listdir(cache.parent) == [cache.name]
    for lines in (1, WORTH_TIMING_LINES):
        choice, loaded = settled(tiny_model, lines, {}, monkeypatch)
        assert (choice.precision, loaded) == (best, []) and "before" in choice.reason


def test_another_model_or_number_of_processors_is_timed_anew(
    tiny_model: Path, cache: Path, two_formats: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(tiny_model, WORTH_TIMING_LINES, {"fp32": 1.0, "bf16": 2.0}, monkeypatch)
    assert choose_precision(find_source(tiny_model), "cpu", "auto", few, threads=1).precision == "fp32"
    assert choose_precision(find_source(tiny_model), "cpu", "auto", few, threads=2).precision == "bf16"
    other = tmp_path / "other.safetensors"
    other.write_bytes(tiny_model.read_bytes())
    assert settled(other, WORTH_TIMING_LINES, {"fp32": 1.0, "bf16": 0.5}, monkeypatch)[0].precision == "bf16"
    assert choose_precision(find_source(tiny_model), "cpu", "auto", few, threads=1).precision == "fp32"
    os.utime(tiny_model)  # written anew
    assert choose_precision(find_source(tiny_model), "cpu", "auto", few, threads=1).precision == "bf16"


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"format": 2}', b'{"timings": [{"line_s": {"fp32": 1}}]}', b"\xff"]
)
def test_a_damaged_cache_is_an_empty_one(
    tiny_model: Path, cache: Path, two_formats: None, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    choice, _ = settled(tiny_model, WORTH_TIMING_LINES, {"fp32": 1.0, "bf16": 2.0}, monkeypatch)
    assert choice.precision == "fp32" and "just now" in choice.reason
    assert "before" in choose_precision(find_source(tiny_model), "cpu", "auto", few, threads=1).reason


def test_a_folder_that_cannot_be_written_costs_the_timing_only(
    tiny_model: Path, cache: Path, two_formats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.write_bytes(b"a file where the folder should be")
    choice, _ = settled(tiny_model, WORTH_TIMING_LINES, {"fp32": 1.0, "bf16": 2.0}, monkeypatch)
    assert choice.precision == "fp32" and "not kept" in choice.reason
    assert choose_precision(find_source(tiny_model), "cpu", "auto", few).precision == "bf16"


def test_what_was_asked_for_is_taken(tiny_model: Path, cache: Path, tmp_path: Path) -> None:
    assert choose_precision(find_source(tiny_model), "cpu", "fp32", many).precision == "fp32"
    (tmp_path / "x.onnx").touch()
    assert choose_precision(find_source(tmp_path / "x.onnx"), "cpu", "auto", many).precision == "auto"
    assert not cache.exists()


def test_the_lines_timed_are_lines_and_real_models_read_them(tiny_model: Path, cache: Path) -> None:
    images = sample_lines()
    assert len({image.width for image in images}) > 12 and min(image.width for image in images) > 150
    assert all(image.getextrema() == (20, 250) for image in images)
    reader = Recognizer.load(tiny_model, "cpu", "fp32", 1)
    assert seconds_a_line({"fp32": lambda count: reader.read(images[:count])}, budget_s=0)["fp32"] > 0


def test_infer_says_which_precision_and_why(
    tiny_model: Path, lines_folder: Path, cache: Path, two_formats: None
) -> None:
    read = ["infer", str(lines_folder), "--model", str(tiny_model), "--device", "cpu"]
    for more, said in (
        (("--precision", "fp32"), "Precision fp32: as asked for."),
        ((), "Precision bf16: by what this cpu can do; not timed."),
    ):
        result = CliRunner().invoke(app, [*read, *more])
        assert result.exit_code == 0 and said in result.stderr
        assert "Precision" not in result.stdout


@pytest.mark.slow
def test_bench_keeps_what_it_found(
    tiny_model: Path, lines_folder: Path, cache: Path, two_formats: None
) -> None:
    runner = CliRunner()
    bench = ["bench", "infer", "--model", str(tiny_model), "--data", str(lines_folder), "--device", "cpu"]
    measured = runner.invoke(app, [*bench, "--rounds", "1", "--precision", "fp32", "--precision", "bf16"])
    assert measured.exit_code == 0, measured.output
    (timing,) = json.loads(cache.read_text(encoding="utf-8"))["timings"]
    assert set(timing["line_s"]) == {"fp32", "bf16"} and timing["setting"]["threads"] == 1
    best = (
        "bf16" if timing["line_s"]["bf16"] * precision_cache.WORTH_IT < timing["line_s"]["fp32"] else "fp32"
    )
    assert Recognizer.load(tiny_model, "cpu", threads=1).engine.precision == best
