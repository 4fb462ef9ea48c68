"""core.bench.measure and Tesseract as a peer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vocr_cli.core.bench.contestants.tesseract import MARGIN_PX, Tesseract, with_margin
from vocr_cli.core.bench.measure import alternate, percentile, pinned


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_agrees_with_numpy(values: list[float], fraction: float) -> None:
    expected = np.percentile(values, 100 * fraction)
    assert percentile(values, fraction) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_pinned_holds_and_lets_go() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1) as held:
        assert held and len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(len(before) + 1) as held:
        assert not held and os.sched_getaffinity(0) == before


def test_what_is_compared_is_measured_in_turns() -> None:
    calls: list[str] = []
    said: list[str] = []

    def measure(name: str) -> int:
        calls.append(name)
        return len(calls)

    measured = alternate([lambda: measure("a"), lambda: measure("b")], 3, said.append, "reading, ")
    assert calls == ["a", "b"] * 3 and measured == [[1, 3, 5], [2, 4, 6]]
    assert said == [f"reading, round {index} of 3" for index in (1, 2, 3)]


def test_margin_continues_the_ground_of_the_line() -> None:
    image = Image.new("RGB", (50, 20), (200, 10, 30))
    image.paste((0, 0, 0), (10, 5, 40, 15))
    larger = with_margin(image)
    assert larger.size == (50 + 2 * MARGIN_PX, 20 + 2 * MARGIN_PX)
    assert larger.getpixel((0, 0)) == (200, 10, 30)
    assert larger.crop((MARGIN_PX, MARGIN_PX, MARGIN_PX + 50, MARGIN_PX + 20)).tobytes() == image.tobytes()


def _has_vietnamese() -> bool:
    if shutil.which("tesseract") is None:
        return False
    return "vie" in subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True).stdout


@pytest.mark.skipif(not _has_vietnamese(), reason="no tesseract with Vietnamese data")
def test_tesseract_gives_one_text_for_each_image(tmp_path: Path) -> None:
    images = [Image.new("L", (80 + 10 * number, 30), 255) for number in range(3)]
    read = Tesseract(images, tmp_path, threads=1).read()
    assert len(read.texts) == 3 and read.seconds > 0 and read.start_s > 0
