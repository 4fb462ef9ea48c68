"""Annotation files as sources: every usable line is there, every other is named."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from conftest import FONTS, line_image
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vocr_cli.core.config.tree import BatchConfig, Config, parse_config
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.data.loader.batching import plan_unpadded_epoch
from vocr_cli.core.data.loader.dataset import RenderedSource, StoredSource
from vocr_cli.core.data.loader.lines import ListedLines, is_listed, open_lines
from vocr_cli.core.data.loader.order import START_POSITION
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import ConfigError, DataError, ImageError
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.text import Charset
from vocr_cli.core.training.sources import open_run_lines


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Nine rows: six that can be used, of three widths, and three that cannot."""
    (tmp_path / "images").mkdir()
    for number in range(6):
        line_image(number, 40 + 20 * (number % 3)).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "images" / "empty.png").touch()
    rows = [f"{number}.png\tnhãn {number}" for number in range(6)]
    rows[2:2] = ["gone.png\tx", "empty.png\tx", "no tab here"]
    (tmp_path / "train.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "train.txt"


def in_images(annotations: Path) -> SourceOptions:
    return SourceOptions(images=annotations.parent / "images")


def test_bad_lines_are_named_and_the_others_kept(annotations: Path) -> None:
    seen: list[int] = []
    lines = open_lines(annotations, in_images(annotations), seen.append)
    assert isinstance(lines, ListedLines) and sum(seen) == 8
    assert [lines.text(number) for number in range(len(lines))] == [f"nhãn {number}" for number in range(6)]
    assert [(line.number, line.reason.split(",")[0].rstrip(".")) for line in lines.bad] == [
        (3, "no such file"),
        (4, "empty"),
        (5, "no tab between path and label"),
    ]
    assert lines.widths.tolist() == [40, 60, 80, 40, 60, 80] and set(lines.heights.tolist()) == {30}
    assert lines.line_name(2) == f"line 6 of {annotations}, 2.png"
    assert pickle.loads(pickle.dumps(lines))[5].text == "nhãn 5"


def test_an_image_that_goes_away_is_named_with_its_line(annotations: Path) -> None:
    lines = open_lines(annotations, in_images(annotations))
    (annotations.parent / "images" / "2.png").unlink()
    with pytest.raises(ImageError, match=r"line 6 of .*train\.txt, 2\.png"):
        lines[2]


def test_turned_photos_have_the_size_they_are_shown_with(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    line_image(0, 30, 90).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "t.txt").write_text("a.jpg\tx\n", encoding="utf-8")
    lines = open_lines(tmp_path / "t.txt")
    assert (lines.widths[0], lines.heights[0]) == (90, 30)


def test_a_file_without_a_usable_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a.png\tx\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: no such file"):
        open_lines(tmp_path / "t.txt")


def test_databases_and_annotation_files_are_told_apart(tmp_path: Path, annotations: Path) -> None:
    with LineWriter(tmp_path / "a.lmdb") as writer:
        writer.add(StoredLine((annotations.parent / "images" / "0.png").read_bytes(), "x", "0.png"), 40, 30)
    assert isinstance(open_lines(tmp_path / "a.lmdb"), LineStore)
    assert isinstance(open_lines(tmp_path / "a.lmdb" / "data.mdb"), LineStore)
    assert is_listed(annotations) and is_listed(tmp_path / "later.txt")
    with pytest.raises(DataError, match=r"later\.txt"):
        open_lines(tmp_path / "later.txt")
    with pytest.raises(DataError, match=r"later\.lmdb"):
        open_lines(tmp_path / "later.lmdb")


def of_family(annotations: Path, **sections: object) -> Config:
    tree = {
        "model": {"family": "vietocr"},
        "data": {"train": [{"annotations": str(annotations), "images": str(annotations.parent / "images")}]},
        "augment": {"strength": 1.0},
        "batch": {"max_lines": 2},
        **sections,
    }
    return parse_config(tree, "test")


@pytest.mark.parametrize("replacement", ["§", "a§", "\u0301"])
def test_what_stands_for_unknown_characters_must_be_known(annotations: Path, replacement: str) -> None:
    charset = {"characters": "nhã 01245", "unknown": "replace", "replacement": replacement}
    with pytest.raises(ConfigError, match=r"`charset\.replacement` is .*, which the charset lacks"):
        open_run_lines(of_family(annotations, charset=charset))
    for unused in ({"unknown": "skip-line"}, {"replacement": "0"}, {"replacement": ""}):
        open_run_lines(of_family(annotations, charset={**charset, **unused}))


def test_an_epoch_holds_every_line_once_and_pads_none_that_is_trained_on(annotations: Path) -> None:
    (source,) = open_run_lines(of_family(annotations)).train
    assert isinstance(source, StoredSource)
    planned = dict(zip((f"nhãn {number}" for number in range(6)), source.widths.tolist(), strict=True))
    batches = BatchStream([source], [1], [START_POSITION]).batches(0, False)
    for _ in range(2):
        epoch = [next(batches) for _ in range(3)]
        assert sorted(text for batch in epoch for text in batch.texts) == sorted(planned)
        for batch in epoch:
            for piece in batch.of_one_width():
                assert {planned[text] for text in piece.texts} == {piece.images.shape[2]}
                for image, text, label in zip(
                    piece.images, piece.texts, piece.targets.split(piece.lengths.tolist()), strict=True
                ):
                    sample = source.sample(int(text.removeprefix("nhãn ")), as_planned=True)
                    assert np.array_equal(image.numpy(), sample.pixels) and label.tolist() == sample.classes


def test_rendered_lines_of_exact_width_families_are_not_padded(annotations: Path) -> None:
    config = of_family(annotations, data={"train": [{"synth": {"fonts": [str(FONTS)]}}]})
    synth = config.data.train[0].synth
    assert synth is not None
    source = RenderedSource(LineSource(synth, Charset(), 3), config, Charset())
    for batch in islice(BatchStream([source], [1], [START_POSITION]).batches(0, False), 5):
        assert len(batch.texts) == 2 and set(batch.columns.tolist()) == {batch.images.shape[2] // 4}


def test_lines_with_unknown_characters_are_left_out_only_when_asked(annotations: Path) -> None:
    charset = {"characters": "nhã 01245", "unknown": "skip-line"}
    run = open_run_lines(of_family(annotations, charset=charset))
    (source,) = run.train
    assert isinstance(source, StoredSource) and len(source) == 5
    assert source.sample(3).text == "nhãn 4" and any("1 of 6 lines left out" in note for note in run.notes)


@given(
    st.lists(st.sampled_from([32, 40, 50, 512]), max_size=60),
    st.builds(BatchConfig, pixels=st.integers(1_000, 60_000), max_lines=st.integers(1, 9)),
)
def test_unpadded_epochs_drop_nothing_and_stay_under_the_budget(
    widths: list[int], config: BatchConfig
) -> None:
    table = np.array(widths, np.int64)
    plan = plan_unpadded_epoch(table, 32, config, (1, 2))
    assert sorted(number for batch in plan for number in batch.tolist()) == list(range(len(widths)))
    for batch in plan:
        widest = max(widths[number] for number in batch)
        assert len(batch) <= config.max_lines
        assert len(batch) == 1 or len(batch) * widest * 32 <= config.pixels
