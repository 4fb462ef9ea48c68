"""core.bench.promises and material: verdicts follow from the numbers, bytes from the database."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import line_image

from vocr_cli.core.bench.inputs import Stored, choose_candidate, one_width, scaled, stored_bytes
from vocr_cli.core.bench.measure import spread
from vocr_cli.core.bench.suites.promises import Promise, judge
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.evaluation.metrics import Estimate


def row(lines_per_s: float, cpu_s: float) -> TrainRow:
    return TrainRow("", spread([lines_per_s]), 1.0, cpu_s, 0.0, 32, 100.0, None, 0.0)


def judged(speed: float, cpu: float, memory: float, cer: float, read: int, reading: float) -> list[Promise]:
    cers = Estimate(0.10, 0.08, 0.12), Estimate(cer, cer, cer)
    stored = Stored(1000, 2000, None), Stored(read, 2000, None)
    return list(judge(row(10, 20), row(speed, cpu), (100, memory), (10, reading), stored, cers, None))


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [((12.9, 17.1, 61, 0.121, 701, 19), "missed"), ((14, 16, 50, 0.12, 650, 25), "met"),
     ((16, 14, 39, 0.12, 500, 31), "exceeded")],
)  # fmt: skip
def test_verdicts_at_the_edges_of_the_promises(numbers: tuple[float, ...], verdict: str) -> None:
    found = {promise.name: promise.verdict for promise in judged(*numbers)}  # type: ignore[arg-type]
    assert found.pop("GPU utilisation") == "not measured: no GPU"
    assert found.pop("accuracy") == ("missed" if verdict == "missed" else "met")
    assert set(found.values()) == {verdict} and len(found) == 5


def test_what_was_not_measured_is_not_met() -> None:
    stored = Stored(1000, 2000, None), Stored(500, 2000, None)
    found = judge(row(1, 1), row(2, 1), (None, None), (1, 2), stored, None, (0.5, 0.62))
    verdicts = {promise.name: promise.verdict for promise in found}
    assert verdicts["accuracy"].startswith("not measured") and verdicts["GPU utilisation"] == "met"
    assert verdicts["memory, equal batch"].startswith("not measured")


def test_bytes_and_lines_of_one_width_come_from_the_database(tmp_path: Path) -> None:
    held = 0
    with LineWriter(tmp_path / "raw") as writer:
        for number in range(9):
            image, buffer = line_image(number, 240 + 60 * (number % 3), 80), BytesIO()
            image.save(buffer, "PNG", compress_level=0)
            writer.add(StoredLine(buffer.getvalue(), "chữ", f"{number}.png"), *image.size)
            held += len(buffer.getvalue()) + len("chữ".encode()) + len(f"{number}.png")
    raw = stored_bytes(tmp_path / "raw")
    assert raw.records == held <= raw.pages and (raw.from_disk is None or raw.from_disk >= held / 2)
    config = choose_candidate("vgg_transformer").config
    small = scaled(tmp_path / "raw", config, tmp_path)
    assert stored_bytes(small).records < held / 3
    data, width = one_width(small, config, 8, tmp_path)
    with LineStore(data) as store:
        assert len(store) == 8 and len(np.unique(store.widths)) == 1 and width % 10 == 0
