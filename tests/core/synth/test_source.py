"""Rendered lines: seeded, legible sizes, honest labels."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FONTS
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables._f_v_a_r import Axis
from fontTools.ttLib.tables.TupleVariation import TupleVariation
from PIL import Image

from vocr_cli.core.config.tree import SynthConfig
from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.degrade import SCENES, Scene, degrade
from vocr_cli.core.synth.render import Layout, axis_ranges, draw_line
from vocr_cli.core.synth.source import LineSource, varied
from vocr_cli.core.synth.write import contact_sheet, render_lines, write_folder
from vocr_cli.core.text import Charset, clean


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


def test_wobble_moves_strokes_and_keeps_the_ink(source: LineSource) -> None:
    face = source.fonts.faces[0]
    straight, wobbly = (
        draw_line("Đường Nguyễn Huệ", [face], layout, np.random.default_rng(4), lambda: "x")
        for layout in (Layout(em_px=32, oversample=2), Layout(em_px=32, oversample=2, wobble_em=0.03))
    )
    assert straight is not None and wobbly is not None
    assert straight.shape != wobbly.shape or not np.array_equal(straight, wobbly)
    assert 0.8 < float(wobbly.sum()) / float(straight.sum()) < 1.25


def variable_font(path: Path) -> Path:
    """Be Vietnam with one axis, 100..400..900, at whose upper end simple glyphs are 300 units wider."""
    font = TTFont(FONTS / "BeVietnam-Regular.ttf")
    axis = Axis()
    axis.axisTag, axis.minValue, axis.defaultValue, axis.maxValue, axis.axisNameID = (
        "wdth",
        100,
        400,
        900,
        256,
    )
    font["name"].setName("Width", 256, 3, 1, 0x409)
    font["fvar"] = newTable("fvar")
    font["fvar"].axes = [axis]
    font["gvar"] = newTable("gvar")
    font["gvar"].version, font["gvar"].reserved, font["gvar"].variations = 1, 0, {}
    for name in font.getGlyphOrder():
        glyph = font["glyf"][name]
        if glyph.numberOfContours > 0:
            middle = sorted(x for x, _ in glyph.coordinates)[len(glyph.coordinates) // 2]
            moved = [(300 if x >= middle else 0, 0) for x, _ in glyph.coordinates]
            font["gvar"].variations[name] = [
                TupleVariation({"wdth": (0.0, 1.0, 1.0)}, [*moved, (0, 0), (300, 0), (0, 0), (0, 0)])
            ]
    font.save(path)
    return path


def test_a_variable_font_is_drawn_in_other_instances_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("VOCR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    source = LineSource(SynthConfig(fonts=(variable_font(tmp_path / "a.ttf"),)), Charset())
    (face,) = source.fonts.faces
    assert axis_ranges(face.path, face.index) == ((100.0, 900.0),)
    rng = np.random.default_rng(0)
    drawn = {varied(face, rng, Scene("digital", 1.0)).instance for _ in range(60)}
    assert drawn == {(), (100.0,), (300.0,), (500.0,), (700.0,), (900.0,)}
    assert varied(face, rng, Scene("clean", 1.0)).instance == ()
    widths = {}
    for instance in ((), (900.0,)):
        ink = draw_line(
            "nnn", [replace(face, instance=instance)], Layout(em_px=32), np.random.default_rng(1), str
        )
        assert ink is not None
        widths[instance] = ink.shape[1]
    assert widths[(900.0,)] > widths[()] * 1.2


def test_a_font_without_axes_has_no_other_instance(source: LineSource) -> None:
    face = source.fonts.faces[0]
    assert axis_ranges(face.path, face.index) == ()
    assert varied(face, np.random.default_rng(0), Scene("digital", 1.0)) == face


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
