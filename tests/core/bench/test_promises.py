"""core.bench promises and inputs: verdicts follow from the numbers, bytes from the database."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import line_image

from vocr_cli.core.bench.inputs import (
    StoredBytes,
    choose_model,
    one_width,
    packaged_lines,
    prescaled_copy,
    stored_bytes,
    training_lines,
)
from vocr_cli.core.bench.measure import spread
from vocr_cli.core.bench.suites.promises import Promise, judge
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.evaluation.metrics import Estimate


def row(lines_per_s: float, cpu_s: float) -> TrainRow:
    return TrainRow(
        name="",
        lines_per_s=spread([lines_per_s]),
        ratio=1.0,
        cpu_s_per_1000=cpu_s,
        data_wait_share=0.0,
        batch_lines=32,
        peak_mb=100.0,
        peak_cuda_mb=None,
        workers_mb=0.0,
        dtype="float32",
        steps=1,
        lines=32,
    )


def judged(speed: float, cpu: float, memory: float, cer: float, read: int, reading: float) -> list[Promise]:
    cers = Estimate(0.10, 0.08, 0.12), Estimate(cer, cer, cer)
    promises = judge(
        baseline=row(10, 20),
        all_on=row(speed, cpu),
        memory_mb=(100, memory),
        reading_lines_per_s=(10, reading),
        stored=(StoredBytes(1000, 2000, None), StoredBytes(read, 2000, None)),
        cers=cers,
        gpu_utilization=None,
    )
    return list(promises)


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [((12.9, 17.1, 61, 0.121, 701, 19), "missed"), ((14, 16, 50, 0.12, 650, 25), "met"),
     ((16, 14, 39, 0.12, 500, 31), "exceeded")],
)  # fmt: skip
def test_verdicts_at_the_edges_of_the_promises(numbers: tuple[float, ...], verdict: str) -> None:
    verdicts = {promise.name: promise.verdict for promise in judged(*numbers)}  # type: ignore[arg-type]
    assert verdicts.pop("GPU utilisation") == "not measured: no GPU"
    assert verdicts.pop("accuracy") == ("missed" if verdict == "missed" else "met")
    assert set(verdicts.values()) == {verdict} and len(verdicts) == 5


def test_what_was_not_measured_is_not_met() -> None:
    promises = judge(
        baseline=row(1, 1),
        all_on=row(2, 1),
        memory_mb=(None, None),
        reading_lines_per_s=(1, 2),
        stored=(StoredBytes(1000, 2000, None), StoredBytes(500, 2000, None)),
        cers=None,
        gpu_utilization=(0.5, 0.62),
    )
    verdicts = {promise.name: promise.verdict for promise in promises}
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
    config = choose_model("vgg_transformer").config
    small = prescaled_copy(tmp_path / "raw", config, tmp_path)
    assert stored_bytes(small).records < held / 3
    data, width = one_width(small, config, 8, tmp_path)
    with LineStore(data) as store:
        assert len(store) == 8 and len(np.unique(store.widths)) == 1 and width % 10 == 0


def test_where_no_font_is_installed_the_packages_lines_are_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocr_cli.core.synth.fonts.fonts._system_fonts", list)
    lines = training_lines(None, Config(), 30, tmp_path)
    labels = (packaged_lines() / "labels.tsv").read_text(encoding="utf-8").splitlines()
    texts = [row.partition("\t")[2] for row in labels]
    with LineStore(lines.path) as store:
        assert [line.text for line in store] == (3 * texts)[:30] and len(set(texts)) == 12
    assert lines.name == "the package's lines, repeated"
