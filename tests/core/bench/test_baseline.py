"""VietOCR's way of training and reading: a fair opponent computes the same thing."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import line_image
from hypothesis import given
from hypothesis import strategies as st
from tiny_vietocr import CHARACTERS, make_model

from vocr_cli.core.bench.contestants.reader import options_of, reading_model
from vocr_cli.core.bench.contestants.vietocr_baseline import BaselineTraining, cluster_batches
from vocr_cli.core.bench.contestants.vietocr_reading import LineByLine
from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.decoding.decode_options import reading_options
from vocr_cli.core.errors import DataError
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.training.run import build_run

WIDTHS = (60, 90, 120)


@pytest.fixture(scope="module")
def lines_lmdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "lines.lmdb"
    with LineWriter(path) as writer:
        for number in range(24):
            image, buffer = line_image(number, WIDTHS[number % 3], 32), BytesIO()
            image.save(buffer, "PNG")
            text = "".join(CHARACTERS[(number * 7 + place) % 15] for place in range(2 + number % 4))
            writer.add(StoredLine(buffer.getvalue(), text, f"{number}.png"), *image.size)
    return path


def config_of(data: Path, family: str) -> Config:
    tree = {
        "charset": {"characters": CHARACTERS},
        "data": DataConfig(train=(SourceConfig(lmdb=data),), workers=0),
        "augment": {"strength": 0.0, "adaptive": False, "masked_share": 0.0},
        "precision": {"amp": "off"},
    }
    if family == "vietocr":
        return Config.model_validate(tree | {"model": make_model().config.model_dump()})
    ctc = {"channels": (8, 8, 16), "blocks": (0, 1, 1), "hidden": 32, "column_blocks": 1, "heads": 2}
    return Config.model_validate(tree | {"model": ctc})


@pytest.mark.parametrize("family", ["ctc", "vietocr"])
def test_baseline_and_trainer_have_the_same_loss_on_a_batch(
    lines_lmdb: Path, tmp_path: Path, family: str
) -> None:
    config = config_of(lines_lmdb, family)
    run = build_run(config, tmp_path / "run", device="cpu")
    baseline = BaselineTraining(config, 4, "cpu")
    baseline.module.load_state_dict(run.module.state_dict())
    for module in (run.module, baseline.module):
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
            if hasattr(part, "dropout") and isinstance(part.dropout, float):
                part.dropout = 0.0
    batch = next(baseline._batches)
    baseline.module.train()
    theirs = baseline.loss(batch).item()
    ours = run.train_step([batch], 1e-3).loss
    assert ours == pytest.approx(theirs, rel=1e-4) and theirs > 0.1


def test_steps_train_on_full_batches_of_one_width_and_learn(lines_lmdb: Path) -> None:
    config = config_of(lines_lmdb, "ctc")
    config = config.model_copy(update={"train": config.train.model_copy(update={"max_steps": 60})})
    training = BaselineTraining(config, 4, "cpu")
    steps = [training.step() for _ in range(40)]
    assert {step.lines for step in steps} == {4}
    assert np.mean([step.loss for step in steps[-6:]]) < 0.8 * np.mean([step.loss for step in steps[:6]])


@pytest.mark.parametrize("sequence", ["transformer", "seq2seq", "convseq2seq"])
def test_going_over_the_prefix_again_reads_what_cached_decoding_reads(sequence: str) -> None:
    model = make_model(sequence)
    images = [line_image(seed, 90 + 30 * (seed % 2)).convert("RGB") for seed in range(8)]
    options = reading_options(model.charset, 4).model_copy(update={"max_steps": 30, "repetition_steps": 0})
    device = torch.device("cpu")
    texts = LineByLine(model, device, options).read(images)
    assert len(set(texts)) > 1
    assert LineByLine(model, device, options, cached=True, lines=8).read(images) == texts
    recognizer = Recognizer.of(model, "cpu", "fp32", 1, decode_options=options)
    assert [reading.text for reading in recognizer.read(images)] == texts


def test_models_of_both_families_can_be_read_with(tiny_model: Path) -> None:
    """A CTC model has no class for the end of a line, which decode options of the other family ask for."""
    model, trained = reading_model(str(tiny_model))
    assert trained
    images = [line_image(seed, 90 + 30 * (seed % 2)) for seed in range(4)]
    texts = LineByLine(model, torch.device("cpu"), options_of(model), lines=8).read(images)
    recognizer = Recognizer.of(model, "cpu", "fp32", 1, decode_options=options_of(model))
    assert [reading.text for reading in recognizer.read(images)] == texts and len(set(texts)) > 1
    assert options_of(make_model()).specials == 4


@given(st.lists(st.sampled_from([60, 90, 120, 300]), min_size=1, max_size=60), st.integers(1, 5))
def test_cluster_batches_are_full_and_of_one_width(widths: list[int], lines: int) -> None:
    table = np.array(widths)
    full = sum(int((table == width).sum()) // lines for width in set(widths))
    if not full:
        with pytest.raises(DataError):
            cluster_batches(table, lines, (0, 0))
        return
    batches = cluster_batches(table, lines, (0, 0))
    numbers = np.concatenate(batches)
    assert len(batches) == full and len(set(numbers.tolist())) == len(numbers) == full * lines
    assert all(len(batch) == lines and len(set(table[batch].tolist())) == 1 for batch in batches)
