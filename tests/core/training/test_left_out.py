"""Lines that cannot be trained on are left out and named, whenever that is found out; the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import assert_same, line_png, write_annotations, write_config
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.config.tree import parse_config
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.data.loader.dataset import StoredSource
from vocr_cli.core.data.loader.order import START_POSITION, Request
from vocr_cli.core.errors import DataError
from vocr_cli.core.training.checkpoint import load_checkpoint
from vocr_cli.core.training.sources import open_run_lines

CLOCK = {"minutes", "last_validation_minutes", "validation_s_per_line"}


def train(folder: Path, data: Path, out: str, *more: str, lines: int = 2, workers: int = 0) -> Result:
    tree = {
        "model": {
            "channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.1,
        },
        "data": {"train": [{"annotations": str(data)}], "workers": workers},
        "batch": {"max_lines": lines},
        "train": {"max_steps": 9, "log_every_steps": 1},
        "precision": {"amp": "off"},
    }  # fmt: skip
    if data.is_dir():
        tree["data"] = {"train": [{"lmdb": str(data)}], "workers": workers}
    given = ["train", str(write_config(folder, tree)), "--out", str(folder / out), "--device", "cpu", *more]
    return CliRunner().invoke(app, given)


def cut_off(image: Path) -> None:
    """Leaves of an image its header and some of its pixels."""
    image.write_bytes(image.read_bytes()[:90])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six lines, the third of them cut off."""
    path = write_annotations(tmp_path, ["a", "b", "c", "d", "e", "f"])
    cut_off(tmp_path / "2.png")
    return path


@pytest.mark.parametrize(("lines", "workers"), [(2, 0), (1, 0), (2, 1)])
def test_an_image_that_is_cut_off_is_left_out_and_named_once(
    tmp_path: Path, data: Path, lines: int, workers: int
) -> None:
    result = train(tmp_path, data, "run", lines=lines, workers=workers)
    assert result.exit_code == 3, result.output
    assert result.output.count("left out") == 1 and "line 3: damaged" in " ".join(result.output.split())
    rows = [row.split("\t") for row in (tmp_path / "run" / "bad-lines.tsv").read_text("utf-8").splitlines()]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [(str(data), "3", "2.png", "c")]
    told = [json.loads(row) for row in (tmp_path / "run" / "events.jsonl").read_text("utf-8").splitlines()]
    assert [event["event"] for event in told].count("LeftOut") == 1 and told[-1]["step"] == 9
    # Of a batch of which nothing is left, the next line of the source takes the place.
    steps = [event["lines"] for event in told if event["event"] == "StepDone"]
    assert steps[-1] == (9 if lines == 1 else 15)


def test_a_run_with_lines_left_out_goes_on_exactly(tmp_path: Path, data: Path) -> None:
    assert train(tmp_path, data, "straight").exit_code == 3
    assert train(tmp_path, data, "cut", "--max-steps", "4").exit_code == 3
    result = train(tmp_path, data, "cut", "--resume")
    assert result.exit_code == 3 and len((tmp_path / "cut" / "bad-lines.tsv").read_text().splitlines()) == 1
    straight, cut = (load_checkpoint(tmp_path / name / "checkpoints/last.pt") for name in ("straight", "cut"))
    assert straight["loop_state"]["left_out"] and straight["loop_state"]["step"] == 9
    assert_same(straight["loop_state"], cut["loop_state"], but=CLOCK)
    assert straight["source_positions"] == cut["source_positions"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_that_cannot_be_read_at_all_ends_in_one_clean_error(tmp_path: Path, workers: int) -> None:
    with LineWriter(tmp_path / "db") as writer:
        for number in range(5):
            writer.add(StoredLine(line_png(number)[:90], "a", f"{number}.png"), 90, 30)
    result = train(tmp_path, tmp_path / "db", "run", workers=workers)
    assert isinstance(result.exception, DataError) and "Traceback" not in str(result.exception)
    assert f"{tmp_path / 'db'}: of" in result.exception.problem and "none can be read" in str(
        result.exception
    )


def test_a_label_far_too_long_for_its_line_is_left_out_at_the_start(tmp_path: Path) -> None:
    data = write_annotations(tmp_path, ["a", "ab" * 350, "ab" * 290])  # 40 px high, 120 px wide
    result = train(tmp_path, data, "run")
    assert result.exit_code == 3, result.output
    said = " ".join(result.output.split())
    assert "1 line left out" in said and "line 2: a label of 700 characters, which need 2,800 px" in said
    (row,) = (tmp_path / "run" / "bad-lines.tsv").read_text("utf-8").splitlines()
    assert row.split("\t")[:2] == [str(data), "2"]


def test_lines_that_are_stretched_for_their_labels_keep_to_the_budget_of_a_batch(tmp_path: Path) -> None:
    labels = ["abcdefgh" * 9 if number % 8 == 0 else "abc" for number in range(32)]  # 288 px, others 120
    data = write_annotations(tmp_path, labels)
    config = parse_config({"data": {"train": [{"annotations": str(data)}]}, "batch": {"pixels": 50_000}}, "")
    (source,) = open_run_lines(config).train
    assert isinstance(source, StoredSource)
    batches = [source.fetch(Request(numbers, START_POSITION)) for numbers in source.plan(0)]
    assert sorted(text for batch in batches for text in batch.texts) == sorted(labels)
    assert all(batch.images.numel() <= 50_000 for batch in batches)


def test_what_is_left_out_is_told_without_a_full_stop_before_a_semicolon(tmp_path: Path) -> None:
    data = write_annotations(tmp_path, ["a", "b", "c"])
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").write_bytes(b"")
    result = train(tmp_path, data, "run")
    said = " ".join(result.output.split())
    assert result.exit_code == 3 and "2 lines left out" in said and ".;" not in said
