"""Measuring."""

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
from vocr_cli.core.bench.measure import percentile, pinned


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_agrees_with_numpy(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(np.percentile(values, 100 * share), rel=1e-6, abs=1e-6)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_pinned_holds_and_lets_go() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1) as held:
        assert held and len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(len(before) + 1) as held:
        assert not held and os.sched_getaffinity(0) == before


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
    seconds, texts = Tesseract(images, tmp_path, threads=1).read()
    assert len(texts) == 3 and seconds > 0
