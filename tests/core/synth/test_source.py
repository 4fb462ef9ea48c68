"""Rendered lines: seeded, legible sizes, honest labels."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocr_cli.core.config import SynthConfig
from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.degrade import SCENES, Scene, degrade
from vocr_cli.core.synth.render import Layout, draw_line
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.synth.write import contact_sheet, render_lines, write_folder
from vocr_cli.core.text import Charset, clean

FONTS = Path(__file__).parents[3] / "examples" / "fonts"


@pytest.fixture(scope="module")
def source() -> LineSource:
    return LineSource(SynthConfig(fonts=(FONTS,), seed=5), Charset())


def test_a_line_depends_on_its_seed_and_number_alone(source: LineSource) -> None:
    copy = pickle.loads(pickle.dumps(source))
    for index in (0, 3, 1, 3):
        line, again = source.line(index), copy.line(index)
        assert line.text == again.text and line.font == again.font
        assert np.array_equal(np.asarray(line.image), np.asarray(again.image))
    other = LineSource(SynthConfig(fonts=(FONTS,), seed=6), Charset())
    assert [other.line(index).text for index in range(5)] != [source.line(index).text for index in range(5)]


def test_workers_give_the_same_lines(source: LineSource) -> None:
    one = [(line.png, line.text) for line in render_lines(source, 70, workers=1)]
    two = [(line.png, line.text) for line in render_lines(source, 70, workers=2)]
    assert one == two


def test_every_line_has_ink_and_a_label_the_charset_knows(source: LineSource) -> None:
    for index in range(150):
        line = source.line(index)
        assert line.text and clean(line.text) == line.text
        assert all(char in Charset() for char in line.text)
        assert line.image.mode == "RGB" and line.image.height >= 4
        assert np.asarray(line.image.convert("L")).std() > 2, f"line {index} {line.text!r} shows nothing"


def test_strength_zero_is_black_on_white() -> None:
    clean_lines = LineSource(SynthConfig(fonts=(FONTS,), strength=0), Charset(), channels=1)
    for index in range(20):
        pixels = np.asarray(clean_lines.line(index).image)
        assert pixels.max() == 255 and pixels.min() < 60


@pytest.mark.parametrize("kind", ["clean", *SCENES])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_scene_keeps_size_and_contrast(source: LineSource, kind: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    ink = draw_line("Nguyễn Huệ 1234", [source.fonts.faces[0]], Layout(), rng, lambda: "ghẹ")
    assert ink is not None
    for _ in range(15):
        image = degrade(ink.copy(), Scene(kind, 1.0), rng, channels)
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert image.size == (ink.shape[1], ink.shape[0])
        assert np.asarray(image.convert("L")).std() > 2


def test_warps_keep_the_text_in_the_crop(source: LineSource) -> None:
    plain = Layout(em_px=32, oversample=2)
    bent = Layout(em_px=32, oversample=2, slant=0.15, angle_rad=0.01, perspective=0.08, curve_em=0.1)
    face = source.fonts.faces[0]
    inks = [
        draw_line("Đường Nguyễn Huệ", [face], layout, np.random.default_rng(1), lambda: "x")
        for layout in (plain, bent)
    ]
    assert inks[0] is not None and inks[1] is not None
    mass = [float(ink.sum()) for ink in inks if ink is not None]
    assert 0.8 < mass[1] / mass[0] < 1.25


def test_neighbours_add_ink_only_at_the_edges(source: LineSource) -> None:
    layout = {"em_px": 30.0, "oversample": 2, "crop": "loose", "pitch_em": 1.1}
    face = source.fonts.faces[0]
    alone = draw_line("aeo", [face], Layout(**layout), np.random.default_rng(2), lambda: "Ắ" * 9)
    crowded = draw_line(
        "aeo", [face], Layout(**layout, neighbours=True), np.random.default_rng(2), lambda: "Ắ" * 9
    )
    assert alone is not None and crowded is not None
    assert crowded.sum() > alone.sum()


def test_labels_are_written_last_and_never_over_others(source: LineSource, tmp_path: Path) -> None:
    counted: list[int] = []
    write_folder(tmp_path / "a", render_lines(source, 5, 1), counted.append)
    rows = (tmp_path / "a" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == sum(counted) == 5
    for row in rows:
        path, text = row.split("\t")
        assert text and Image.open(tmp_path / "a" / path).size[0] > 0
    with pytest.raises(DataError, match="exists already"):
        write_folder(tmp_path / "a", render_lines(source, 5, 1), counted.append)


def test_contact_sheet_shows_every_line(source: LineSource) -> None:
    sheet = contact_sheet(source, 7)
    assert sheet.width > 1600 and sheet.height > 4 * 20
