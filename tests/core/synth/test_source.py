"""Rendered lines: seeded, legible sizes, honest labels."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from conftest import FONTS
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables._f_v_a_r import Axis
from fontTools.ttLib.tables.TupleVariation import TupleVariation
from PIL import Image

from vocr_cli.core.config.tree import SynthConfig
from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.effects.degrade import degrade
from vocr_cli.core.synth.effects.overlays import marked
from vocr_cli.core.synth.fonts import glyphs
from vocr_cli.core.synth.fonts.glyphs import axis_ranges
from vocr_cli.core.synth.layout import Layout, choose_layout
from vocr_cli.core.synth.render import draw_line
from vocr_cli.core.synth.scenes import SCENES, Scene, choose_scene
from vocr_cli.core.synth.source import LineSource, varied
from vocr_cli.core.synth.write import preview, render_lines, write_folder
from vocr_cli.core.text import VIETNAMESE_CHARSET, Charset, clean


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
def test_every_scene_keeps_contrast(source: LineSource, kind: str, channels: int) -> None:
    dice = Random(0)
    ink = draw_line("Nguyễn Huệ 1234", [source.fonts.faces[0]], Layout(), dice, lambda: "ghẹ")
    assert ink is not None
    for _ in range(15):
        image = degrade(ink.copy(), Scene(kind, 1.0), dice, channels)
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert np.asarray(image.convert("L")).std() > 2


def test_warps_keep_the_text_in_the_crop(source: LineSource) -> None:
    plain = Layout(em_px=32, master_px=64)
    bent = Layout(em_px=32, master_px=64, slant=0.15, angle_rad=0.01, perspective=0.08, curve_em=0.1)
    face = source.fonts.faces[0]
    inks = [draw_line("Đường Nguyễn Huệ", [face], layout, Random(1), lambda: "x") for layout in (plain, bent)]
    assert inks[0] is not None and inks[1] is not None
    mass = [float(ink.sum()) for ink in inks if ink is not None]
    assert 0.8 < mass[1] / mass[0] < 1.25


def test_wobble_moves_strokes_and_keeps_the_ink(source: LineSource) -> None:
    face = source.fonts.faces[0]
    straight, wobbly = (
        draw_line("Đường Nguyễn Huệ", [face], layout, Random(4), lambda: "x")
        for layout in (Layout(em_px=32, master_px=64), Layout(em_px=32, master_px=64, bend_em=0.03))
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
    dice = Random(0)
    drawn = {varied(face, dice, Scene("digital", 1.0)).instance for _ in range(60)}
    assert drawn == {(), (100.0,), (300.0,), (500.0,), (700.0,), (900.0,)}
    assert varied(face, dice, Scene("clean", 1.0)).instance == ()
    widths = {}
    for instance in ((), (900.0,)):
        ink = draw_line("nnn", [replace(face, instance=instance)], Layout(em_px=32), Random(1), str)
        assert ink is not None
        widths[instance] = ink.shape[1]
    assert widths[(900.0,)] > widths[()] * 1.2


def test_a_font_without_axes_has_no_other_instance(source: LineSource) -> None:
    face = source.fonts.faces[0]
    assert axis_ranges(face.path, face.index) == ()
    assert varied(face, Random(0), Scene("digital", 1.0)) == face


def test_neighbours_add_ink_only_at_the_edges(source: LineSource) -> None:
    layout = {"em_px": 30.0, "master_px": 60, "crop": "loose", "pitch_em": 1.1}
    face = source.fonts.faces[0]
    more = 0
    for seed in range(20):
        alone = draw_line("aeo", [face], Layout(**layout), Random(seed), lambda: "gẮ" * 9)
        crowded = draw_line("aeo", [face], Layout(**layout, neighbours=True), Random(seed), lambda: "gẮ" * 9)
        assert alone is not None and crowded is not None and crowded.shape == alone.shape
        middle = slice(alone.shape[0] // 2 - 1, alone.shape[0] // 2 + 2)
        assert np.array_equal(alone[middle], crowded[middle])
        more += int(crowded.sum() > alone.sum())
    assert more > 8


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
    sheet = preview(source, 7)
    assert sheet.width > 1600 and sheet.height > 4 * 20


def letter_ink(text: str, layout: Layout, seed: int, source: LineSource) -> np.ndarray:
    ink = draw_line(text, [source.fonts.faces[0]], layout, Random(seed), lambda: "x")
    assert ink is not None
    return ink


@pytest.mark.parametrize("crop", ["cut", "tight", "line-box", "loose", "wide"])
def test_no_crop_takes_a_letter_or_a_whole_mark_away(source: LineSource, crop: str) -> None:
    for seed in range(40):
        whole = letter_ink("Ế Ủ gì, Ự", Layout(em_px=24, master_px=48, crop="loose"), seed, source)
        cropped = letter_ink("Ế Ủ gì, Ự", Layout(em_px=24, master_px=48, crop=crop), seed, source)
        assert float(cropped.sum()) > 0.9 * float(whole.sum())
        # The first and the last letter are there, and so are the marks above them.
        columns = np.flatnonzero(cropped.max(axis=0) > 60)
        first, last = cropped[:, columns[0] : columns[0] + 14], cropped[:, columns[-1] - 13 : columns[-1] + 1]
        for letter in (first, last):
            assert float(letter.sum()) > 255 * 30
        bare = letter_ink("U", Layout(em_px=24, master_px=48, crop="tight"), seed, source)
        hooked = letter_ink("Ủ", Layout(em_px=24, master_px=48, crop=crop), seed, source)
        assert float(hooked.sum()) > 1.04 * float(bare.sum())


def test_crops_at_the_height_of_capitals_take_marks_and_leave_letters(source: LineSource) -> None:
    shares = []
    for seed in range(40):
        layout = Layout(em_px=24, master_px=48, crop="capitals")
        bare = letter_ink("EUGI", Layout(em_px=24, master_px=48, crop="loose"), seed, source)
        whole = letter_ink("ẾỦGÌ", Layout(em_px=24, master_px=48, crop="loose"), seed, source)
        cropped = letter_ink("ẾỦGÌ", layout, seed, source)
        assert float(cropped.sum()) > 0.85 * float(bare.sum())
        bare_sum = float(bare.sum())
        shares.append((float(cropped.sum()) - bare_sum) / (float(whole.sum()) - bare_sum))
    assert min(shares) < 0.2 and max(shares) > 0.3  # some marks are gone, some are left in part


def test_only_lines_of_several_words_are_cropped_at_the_height_of_capitals(source: LineSource) -> None:
    scene = next(scene for seed in range(100) if (scene := choose_scene(Random(seed), 1.0)).kind == "scan")
    crops = {
        characters: {
            choose_layout(Random(seed), scene, characters, source.fonts.faces[0]).crop for seed in range(300)
        }
        for characters in (8, 40)
    }
    assert "capitals" in crops[40] and "capitals" not in crops[8]


def test_a_rule_between_words_never_stands_between_letters() -> None:
    ink = np.zeros((40, 120), np.uint8)
    ink[8:32, 4:30:4] = 255  # a word, its letters 3 px apart
    ink[8:32, 60:90:4] = 255
    scene = next(scene for seed in range(100) if (scene := choose_scene(Random(seed), 1.0)).kind == "scan")
    ruled = set()
    for seed in range(2000):
        marks = marked(ink, scene, Random(seed))
        full = np.flatnonzero((marks.min(axis=0) > 90) & (ink.max(axis=0) == 0))
        ruled |= set(full.tolist())
    inner = {column for column in ruled if 4 < column < 89}
    assert inner and all(29 <= column < 60 for column in inner)


def test_signs_that_their_place_tells_apart_keep_the_height_of_a_line(source: LineSource) -> None:
    for text in (".", "'", "-", "_", "•", "²", "…"):
        for seed in range(10):
            ink = letter_ink(text, Layout(em_px=24, master_px=48, crop="tight"), seed, source)
            assert ink.shape[0] >= 15, text


@pytest.mark.parametrize("text", [".", "-", "|", "ị", "1", "…"])
def test_a_character_alone_is_never_cropped_away(source: LineSource, text: str) -> None:
    for crop in ("cut", "tight", "line-box"):
        for seed in range(20):
            ink = letter_ink(text, Layout(em_px=24, master_px=48, crop=crop), seed, source)
            whole = letter_ink(text, Layout(em_px=24, master_px=48, crop="wide"), seed, source)
            assert float(ink.sum()) > 0.75 * float(whole.sum())


def test_every_kind_of_scene_appears_and_documents_are_about_half(source: LineSource) -> None:
    dice = Random(0)
    kinds = Counter(choose_scene(dice, 1.0).kind for _ in range(20_000))
    assert set(kinds) == set(SCENES)
    assert 0.45 < sum(kinds[kind] for kind in ("digital", "screen", "scan")) / 20_000 < 0.6
    assert {choose_scene(dice, 0.0).kind for _ in range(200)} == {"clean"}


@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_is_rendered_in_grey_and_in_colour(channels: int) -> None:
    lines = LineSource(SynthConfig(fonts=(FONTS,), seed=8), Charset(), channels=channels)
    seen = Counter()
    for index in range(400):
        line = lines.line(index)
        seen[line.kind] += 1
        assert line.image.mode == ("L" if channels == 1 else "RGB")
        assert 8 <= line.image.height <= 140
    assert set(seen) == set(SCENES)


def test_strength_zero_sets_one_face_plainly_and_lends_no_signs() -> None:
    lines = LineSource(
        SynthConfig(fonts=(FONTS,), strength=0), Charset(VIETNAMESE_CHARSET + "✓₂"), channels=3
    )
    for index in range(60):
        line = lines.line(index)
        covered = next(face.covered for face in lines.fonts.faces if face.path.name == line.font)
        assert line.kind == "clean" and set(line.text) - {" "} <= covered
        pixels = np.asarray(line.image)
        assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])


def test_small_digits_and_lent_signs_are_drawn_not_boxed(source: LineSource, tmp_path: Path) -> None:
    face = source.fonts.faces[0]
    poor = replace(face, covered=face.covered - set("₂•"))
    layout = Layout(em_px=32, master_px=64, crop="tight", small_digits=True)
    low = draw_line("H₂O", [poor], layout, Random(1), lambda: "x")
    plain = draw_line("H2O", [poor], layout, Random(1), lambda: "x")
    assert low is not None and plain is not None
    assert low.shape[1] < plain.shape[1] and low.sum() > 0.6 * plain.sum()
    assert draw_line("• a", [poor], layout, Random(1), lambda: "x") is None
    assert draw_line("• a", [poor], layout, Random(1), lambda: "x", {"•": face}) is not None


def test_neighbours_with_characters_of_no_face_are_drawn_without_them(source: LineSource) -> None:
    layout = Layout(em_px=32, master_px=64, neighbours=True, crop="loose")
    assert draw_line("abc", [source.fonts.faces[0]], layout, Random(1), lambda: "☐ gạch ☑") is not None


def test_kept_glyphs_stay_within_their_budget(source: LineSource, monkeypatch) -> None:
    monkeypatch.setattr(glyphs, "KEPT_BYTES", 200_000)
    monkeypatch.setattr(glyphs, "_COUNTED_EVERY", 1)
    monkeypatch.setattr(glyphs, "_tables", OrderedDict())
    face = source.fonts.faces[0]
    first = glyphs.glyph_table(face, 30)["Ế"]
    for size in range(31, 90):
        glyphs.glyph_table(face, size).prepare("Đường phố 123")
    assert sum(table.bytes for table in glyphs._tables.values()) < 300_000
    again = glyphs.glyph_table(face, 30)["Ế"]
    assert again.ink is not first.ink and np.array_equal(again.ink, first.ink)
    assert (again.left, again.top, again.advance) == (first.left, first.top, first.advance)


@pytest.mark.parametrize("fonts", [FONTS, FONTS.parent / "calligraphy"])
def test_glyphs_side_by_side_are_drawn_as_each_alone(fonts: Path) -> None:
    """Swashes reached into the glyph beside, so that a line looked otherwise after other lines."""
    face = LineSource(SynthConfig(fonts=(fonts,)), Charset()).fonts.faces[0]
    together, alone = (glyphs.GlyphTable(face, 40, bilevel=False) for _ in range(2))
    together.prepare("fWjẪ.—g")
    for char in "fWjẪ.—g":
        assert np.array_equal(together[char].ink, alone[char].ink)
        assert together[char][1:] == alone[char][1:]


def test_colour_fringes_are_screens_alone_and_average_to_the_ink(source: LineSource) -> None:
    layout = Layout(em_px=16, master_px=48, subpixel=True)
    ink = letter_ink("Lĩnh vực", layout, 3, source)
    assert ink.ndim == 3 and ink.shape[2] == 3
    spread = np.abs(ink.astype(int) - ink.mean(axis=2, keepdims=True)).mean()
    assert spread > 3
    image = degrade(ink, Scene("screen", 0.0), Random(0), 1)
    assert image.mode == "L" and image.size == (ink.shape[1], ink.shape[0])
