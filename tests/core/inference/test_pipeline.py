"""Many lines through a recogniser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import line_image
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.errors import ImageError
from vocr_cli.core.inference import Recognizer, read_all
from vocr_cli.core.inference.engines.base import CtcEngine
from vocr_cli.core.inference.inputs.natural_order import natural_key
from vocr_cli.core.inference.inputs.sources import LineInput, count_lines, find_lines
from vocr_cli.core.text import Charset


class WidthEngine(CtcEngine):
    """Reads a line as its width in columns, blank between; notes every batch."""

    device, precision, runtime = "cpu", "fp32", "test"

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []

    def logits(self, lines: np.ndarray) -> torch.Tensor:
        count, _, width, _ = lines.shape
        self.batches.append((count, width))
        logits = torch.zeros(count, width // 4, Charset("abc").classes)
        logits[:, :, 0] = 9
        for line in range(count):
            logits[line, 0, 1 + int(lines[line, 0, 0, 0]) % 3] = 20
        return logits


class MemoryInput(LineInput):
    """A line that is made when loaded; counts how many were loaded."""

    loaded = 0

    def load(self):  # type: ignore[no-untyped-def]
        type(self).loaded += 1
        number = int(self.path)
        return self.path, line_image(number, 40 + 24 * (number % 7), 40).point(lambda _: number % 3)


class MergingEngine(WidthEngine):
    """Notes lines times greatest width of every batch, as engines that write lines together have it."""

    merges_widths = True

    def __init__(self) -> None:
        super().__init__()
        self.merged: list[list[tuple[int, int]]] = []

    def read_groups(self, groups, *rest):  # type: ignore[no-untyped-def]
        self.merged.append([(len(lines), lines.shape[2]) for lines in groups])
        return super().read_groups(groups, *rest)


def make_recognizer(engine: WidthEngine | None = None, threads: int = 1) -> tuple[Recognizer, WidthEngine]:
    engine = engine or WidthEngine()
    recognizer = Recognizer(
        engine, ImageConfig(), Charset("abc"), "widths", threads=threads, batch_pixels=40 * 200 * 3
    )
    return recognizer, engine


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 90),
    threads=st.integers(1, 2),
    window=st.integers(1, 50),
    workers=st.sampled_from((None, 0, 1, 3)),
    kind=st.sampled_from((WidthEngine, MergingEngine)),
)
def test_order_and_readings_hold_for_any_window(
    count: int, threads: int, window: int, workers: int | None, kind: type[WidthEngine]
) -> None:
    recognizer, engine = make_recognizer(kind(), threads)
    lines = [MemoryInput(str(number), Path()) for number in range(count)]
    done: list[int] = []
    results = list(read_all(recognizer, lines, workers, window, on_done=done.append))
    assert sum(done) == count
    assert [result.path for result in results] == [str(number) for number in range(count)]
    texts = [result.reading.text for result in results if result.reading]
    assert texts == ["abc"[number % 3] for number in range(count)]
    assert all(size <= recognizer.batch_lines(width) for size, width in engine.batches)


def test_lines_are_not_all_loaded_before_the_first_is_given() -> None:
    recognizer, _ = make_recognizer()
    MemoryInput.loaded = 0
    results = read_all(recognizer, (MemoryInput(str(number), Path()) for number in range(5000)), 2, 64)
    for _ in range(10):
        next(results)
    results.close()
    assert MemoryInput.loaded < 64 + 16 * 10


def test_equal_widths_fill_batches() -> None:
    recognizer, engine = make_recognizer()
    list(read_all(recognizer, [MemoryInput(str(7 * number), Path()) for number in range(60)], 0, 60))
    assert max(size for size, _ in engine.batches) == recognizer.batch_lines(40)
    assert len(engine.batches) == -(-60 // recognizer.batch_lines(40))


def test_few_lines_of_many_widths_share_batches_within_the_budget() -> None:
    engine = MergingEngine()
    recognizer, _ = make_recognizer(engine)
    lines = [MemoryInput(str(number), Path()) for number in range(63)]  # nine of each of seven widths
    for window in (20, 1000):
        engine.merged.clear()
        assert len(list(read_all(recognizer, lines, 0, window))) == 63
        areas = [sum(count for count, _ in batch) * batch[-1][1] * 40 for batch in engine.merged]
        assert max(areas) <= recognizer.batch_pixels
        assert any(len(batch) > 1 for batch in engine.merged)
    assert all(batch == sorted(batch, key=lambda group: group[1]) for batch in engine.merged)


def test_unreadable_lines_do_not_stop_the_rest(tmp_path: Path) -> None:
    line_image(0).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    line_image(0).save(tmp_path / "c.png")
    done: list[int] = []
    lines = find_lines([tmp_path, tmp_path / "missing.png"])
    results = list(read_all(make_recognizer()[0], lines, on_done=done.append))
    assert sum(done) == len(results)
    assert [result.error is None for result in results] == [True, False, True, False]
    assert all(isinstance(results[number].error, ImageError) for number in (1, 3))
    assert "missing.png" in results[3].path


def test_folders_come_in_natural_order(tmp_path: Path) -> None:
    for name in ("a10.png", "a2.png", "A1.png", "b/c2.jpg", "b/c1.JPG", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [os.path.relpath(line.path, tmp_path).replace(os.sep, "/") for line in find_lines([tmp_path])]
    assert found == ["A1.png", "a2.png", "a10.png", "b/c1.JPG", "b/c2.jpg"]
    assert count_lines([tmp_path]) == 5


@given(st.lists(st.text(max_size=8), max_size=8))
def test_natural_order_never_fails_to_compare(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key), key=natural_key) == sorted(names, key=natural_key)


def test_lines_of_a_database_keep_their_names(tmp_path: Path) -> None:
    import io

    with LineWriter(tmp_path / "db") as writer:
        for number in range(3):
            data = io.BytesIO()
            line_image(number).save(data, "PNG")
            writer.add(StoredLine(data.getvalue(), "abc", f"x/{number}.png"), 90, 30)
    assert count_lines([tmp_path]) == 3
    results = list(read_all(make_recognizer()[0], find_lines([tmp_path])))
    assert [result.path for result in results] == ["x/0.png", "x/1.png", "x/2.png"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
def test_a_link_to_its_own_folder_ends(tmp_path: Path) -> None:
    line_image(0).save(tmp_path / "a.png")
    try:
        (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    assert count_lines([tmp_path]) == 1


def test_damaged_database_is_one_unreadable_input(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "data.mdb").write_bytes(b"nothing")
    lines: Iterator[LineInput] = find_lines([tmp_path])
    results = list(read_all(make_recognizer()[0], lines))
    assert len(results) == 1 and results[0].error is not None
