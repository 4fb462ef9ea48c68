"""core.bench promises and inputs: verdicts follow from the numbers, bytes from the database."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import line_image

from vocr_cli.core.bench.inputs import (
    choose_model,
    one_width,
    packaged_lines,
    prescaled_copy,
    stored_bytes,
    training_lines,
)
from vocr_cli.core.bench.measure import spread
from vocr_cli.core.bench.suites.disk import DiskReport, EncodingRow, measure_encodings
from vocr_cli.core.bench.suites.promises import AccuracyTest, Figures, judge
from vocr_cli.core.bench.suites.train import TrainRow
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.evaluation.metrics import Estimate
from vocr_cli.core.evaluation.paired import Difference


def row(lines_per_s: float, cpu_s: float | None, gpu_share: float | None = None) -> TrainRow:
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
        gpu_share=gpu_share,
    )


NOTHING = Difference(0, 0, 0)


def encoding(name: str, kilobytes: float, worse: Difference = NOTHING) -> EncodingRow:
    return EncodingRow(
        name=name,
        lossless="PNG" in name,
        bytes_a_line=1000 * kilobytes,
        cer=Estimate(0.01, 0, 0.02),
        worse=worse,
    )


def figures(**changes: Any) -> Figures:
    """Promises that are all kept."""
    kept = Figures(
        training=(row(10, 20), row(13, 17, gpu_share=0.6), row(13, 17, gpu_share=0.6)),
        memory_mb=(100, 60, 60),
        reading_lines_per_s=(10, 20),
        disk=DiskReport(
            lines=9, reader="vi-small",
            rows=(encoding("RGB PNG", 5), encoding("grey PNG", 2), encoding("JPEG", 1.4)),
        ),
        accuracy=AccuracyTest(
            start=Estimate(0.4, 0.3, 0.5), cers=(Estimate(0.1, 0.08, 0.12), Estimate(0.101, 0.08, 0.12)),
            difference=Difference(0.001, -0.002, 0.004), lines=100,
        ),
        on_gpu=False,
    )  # fmt: skip
    return replace(kept, **changes)


def verdicts(figures: Figures, trial: bool = False) -> dict[str, str]:
    return {promise.name: promise.verdict for promise in judge(figures, trial=trial)}


def test_every_promise_is_met_missed_or_not_measured() -> None:
    kept = verdicts(figures())
    assert kept.pop("GPU utilisation") == "not measured: no GPU"
    assert set(kept.values()) == {"met"} and len(kept) == 6
    missed = figures(
        training=(row(10, 20), row(12.9, 17.1), row(12.9, 17.1)), memory_mb=(100, 61, 61),
        reading_lines_per_s=(10, 19),
        disk=DiskReport(lines=9, reader="", rows=(encoding("PNG", 2), encoding("JPEG", 1.41))),
        accuracy=replace(figures().accuracy, difference=Difference(0.01, 0.001, 0.02)),  # type: ignore[type-var]
    )  # fmt: skip
    found = verdicts(missed)
    del found["GPU utilisation"]
    assert set(found.values()) == {"missed"}


def test_a_trial_run_judges_nothing() -> None:
    assert set(verdicts(figures(), trial=True).values()) == {"not measured: a trial run"}


def test_speed_and_memory_are_each_of_one_configuration() -> None:
    """Fast without recomputation, small with it: neither keeps both promises."""
    mixed = figures(training=(row(10, 20), row(20, 10), row(11, 19)), memory_mb=(100, 80, 50))
    promises = {promise.name: promise for promise in judge(mixed)}
    speed, memory = promises["training speed"], promises["memory, equal batch"]
    assert (speed.verdict, memory.verdict) == ("met", "missed")
    assert (speed.lean_verdict, memory.lean_verdict) == ("missed", "met")
    assert memory.lean == "50.0 MB" and memory.lean_change == pytest.approx(-0.5)


def test_what_is_not_known_is_neither_met_nor_0() -> None:
    unknown = figures(
        training=(row(10, None), row(20, None), row(20, None)), memory_mb=(None, None, 50), accuracy=None,
        disk=None, on_gpu=True,
    )  # fmt: skip
    found = verdicts(unknown)
    for name in ("CPU time", "memory, equal batch", "accuracy", "disk I/O", "GPU utilisation"):
        assert found[name].startswith("not measured: "), name
    busy = figures(training=(row(10, 20, 0.5), row(20, 10, 0.62), row(20, 10, None)), on_gpu=True)
    (promise,) = [promise for promise in judge(busy) if promise.name == "GPU utilisation"]
    assert promise.verdict == "met" and promise.lean_verdict.startswith("not measured")


def test_accuracy_is_not_kept_by_trainings_that_teach_nothing() -> None:
    accuracy = figures().accuracy
    assert accuracy is not None
    nothing = Difference(0, 0, 0)
    for start, end in ((1.0, 0.97), (0.008, 0.0085)):  # random weights; lines that the model knew
        cers = (Estimate(end, end, end), Estimate(end, end, end))
        test = replace(accuracy, start=Estimate(start, start, start), cers=cers, difference=nothing)
        assert "did not teach" in verdicts(figures(accuracy=test))["accuracy"]
    few = replace(accuracy, difference=Difference(0.001, -0.02, 0.022))
    assert "lines leave up to +2.2 points open" in verdicts(figures(accuracy=few))["accuracy"]


def test_a_smaller_file_that_reads_worse_keeps_no_promise() -> None:
    rows = (encoding("grey PNG", 2), encoding("JPEG", 1, Difference(0.01, 0.002, 0.02)))
    disk = DiskReport(lines=9, reader="vi-small", rows=rows)
    assert verdicts(figures(disk=disk))["disk I/O"] == "missed"
    (promise,) = [promise for promise in judge(figures(disk=disk)) if promise.name == "disk I/O"]
    assert "JPEG" in promise.all_on
    also = replace(disk, rows=(*rows, encoding("WebP", 1.3)))
    (promise,) = [promise for promise in judge(figures(disk=also)) if promise.name == "disk I/O"]
    assert promise.verdict == "met" and "1.30 kB / line, WebP" in promise.all_on


def test_encodings_are_compared_on_the_same_pixels(tmp_path: Path) -> None:
    lines = training_lines(packaged_lines() / "labels.tsv", Config(), 12, tmp_path)
    image = choose_model("vi-small").config.image
    report = measure_encodings(lines.path, image, "vi-small", lines=12, threads=1, folder=tmp_path)
    colour, grey, jpeg, webp = report.rows
    assert colour.bytes_a_line > grey.bytes_a_line > jpeg.bytes_a_line > webp.bytes_a_line > 500
    assert colour.cer == grey.cer and grey.worse == Difference(0, 0, 0) and jpeg.cer.value < 0.2


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
