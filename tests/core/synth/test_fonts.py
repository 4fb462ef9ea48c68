import pickle

import numpy as np
import pytest
from conftest import FONTS
from fontTools.ttLib import TTFont
from fontTools.ttLib.ttCollection import TTCollection

from vocr_cli.core.errors import FontError
from vocr_cli.core.synth.fonts import fonts
from vocr_cli.core.synth.fonts.fonts import find_fonts
from vocr_cli.core.text import VIETNAMESE_CHARSET, VIETNAMESE_LETTERS

SANS = FONTS / "BeVietnam-Regular.ttf"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VOCR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def forged(path, source=SANS, *, drop="", same=(), lift=None):
    """A copy of a font that lacks `drop`, draws same[0] as same[1], or lifts the marks of a letter far up."""
    font = TTFont(source)
    for table in font["cmap"].tables:
        for char in drop:
            table.cmap.pop(ord(char), None)
        if same and ord(same[0]) in table.cmap:
            table.cmap[ord(same[0])] = table.cmap[ord(same[1])]
    if lift:
        mark = font["glyf"][font.getBestCmap()[ord(lift)]].components[-1]
        mark.y += font["head"].unitsPerEm
    font.save(path)
    return path


def refusal(path):
    with pytest.raises(FontError) as caught:
        find_fonts([path])
    assert "fonts-liberation2" in caught.value.fix  # that without the 2 has no ơ, ư and ế on Debian 12
    return fonts._checked([path], VIETNAMESE_CHARSET)[0][2].refusal


def test_the_example_fonts_are_accepted_with_every_vietnamese_letter():
    found = find_fonts([FONTS])
    assert len(found.faces) == 4 and not found.refused
    assert {face.family for face in found.faces} == {"Be Vietnam", "Gelasio", "IBM Plex Mono"}
    assert all(face.covered >= set(VIETNAMESE_LETTERS) for face in found.faces)
    assert len(list(FONTS.glob("*.OFL.txt"))) == 3


def test_a_font_without_a_letter_is_refused_by_name(tmp_path):
    assert refusal(forged(tmp_path / "a.ttf", drop="ẵ")) == "no 'ẵ'"


def test_a_missing_letter_is_found_behind_a_visible_notdef_box(tmp_path):
    assert "no 'Ỹ'" in refusal(forged(tmp_path / "a.ttf", drop="Ỹ"))


@pytest.mark.parametrize("pair", ["ấầ", "ỆẸ", "ạa", "đd", "ỨỪ", "ơo", "ịi"])
def test_letters_that_borrow_anothers_picture_are_refused(tmp_path, pair):
    reason = refusal(forged(tmp_path / "a.ttf", same=pair))
    assert f"'{pair[0]}'" in reason and f"'{pair[1]}'" in reason and "look the same" in reason


@pytest.mark.parametrize(("letter", "reason"), [("ấ", "far from it"), ("ẹ", "not in its place")])
def test_a_mark_far_off_its_letter_is_refused(tmp_path, letter, reason):
    assert reason in refusal(forged(tmp_path / "a.ttf", lift=letter))


@pytest.mark.parametrize("content", [b"", b"not a font", b"ttcf\x00\x01\x00\x00\x00\x00\x00\x02"])
def test_a_damaged_file_is_refused_and_the_good_one_beside_it_used(tmp_path, content):
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(content)
    found = find_fonts([bad, SANS])
    assert [face.path for face in found.faces] == [SANS]
    assert found.refused[0][0] == bad and "cannot be opened" in found.refused[0][1]


def test_a_face_that_lacks_a_sign_is_not_drawn_for_it(tmp_path):
    poor = forged(tmp_path / "poor.ttf", drop="₫")
    rich = FONTS / "IBMPlexMono-Regular.ttf"
    found = find_fonts([poor, rich])
    rng = np.random.default_rng(0)
    assert {found.choose(rng, "5.000 ₫").path for _ in range(40)} == {rich}
    assert {found.choose(rng, "5.000").path for _ in range(40)} == {poor, rich}
    assert found.choose(rng, "漢") is None


def test_a_face_without_lower_case_draws_capitals_only(tmp_path):
    font = TTFont(SANS)
    for table in font["cmap"].tables:
        for char in VIETNAMESE_LETTERS[: len(VIETNAMESE_LETTERS) // 2]:
            if ord(char) in table.cmap:
                table.cmap[ord(char)] = table.cmap[ord(char.upper())]
    font.save(tmp_path / "caps.ttf")
    found = find_fonts([tmp_path / "caps.ttf"])
    rng = np.random.default_rng(0)
    assert found.choose(rng, "ĐƯỜNG 12").path.name == "caps.ttf"
    assert found.choose(rng, "Đường 12") is None


def test_weights_match_part_of_the_family_name_and_zero_leaves_it_out():
    rng = np.random.default_rng(0)
    found = find_fonts([FONTS], {"PLEX": 0, "gelasio": 9, "nowhere": 3})
    drawn = [found.choose(rng, "a").family for _ in range(400)]
    assert "IBM Plex Mono" not in drawn
    assert drawn.count("Gelasio") > 300
    assert found.unmatched == ("nowhere",)


def test_a_family_of_many_styles_does_not_crowd_out_the_others():
    weights = {face.family: face.weight for face in find_fonts([FONTS]).faces}
    assert weights["Be Vietnam"] == 1
    assert weights["Gelasio"] == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("weights", [{"gelasio": -1}, {"gelasio": float("nan")}, {"": 0}])
def test_weights_that_leave_nothing_to_draw_are_refused(weights):
    with pytest.raises(FontError, match="weight"):
        find_fonts([FONTS], weights)


def test_choice_is_the_same_for_the_same_seed_after_pickling():
    found = find_fonts([FONTS])
    copy = pickle.loads(pickle.dumps(found))
    first, second = np.random.default_rng(7), np.random.default_rng(7)
    assert [found.choose(first, "ẵ") for _ in range(50)] == [copy.choose(second, "ẵ") for _ in range(50)]


def test_every_face_of_a_collection_is_found(tmp_path):
    collection = TTCollection()
    collection.fonts = [TTFont(SANS), TTFont(FONTS / "Gelasio-Bold.ttf")]
    collection.save(tmp_path / "two.ttc")
    faces = find_fonts([tmp_path / "two.ttc"]).faces
    assert [(face.index, face.family, face.style) for face in faces] == [
        (0, "Be Vietnam", "Regular"),
        (1, "Gelasio", "Bold"),
    ]


def test_fonts_seen_before_are_not_drawn_again_until_they_change(tmp_path, monkeypatch):
    path = forged(tmp_path / "a.ttf")
    first = find_fonts([path])
    monkeypatch.setattr(fonts, "check_face", lambda *_: pytest.fail("drawn again"))
    assert find_fonts([path]) == first
    monkeypatch.undo()
    monkeypatch.setenv("VOCR_CACHE_DIR", str(tmp_path / "cache"))
    assert refusal(forged(path, drop="ẵ")) == "no 'ẵ'"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 3}', '{"a": [["x"]]}'])
def test_a_damaged_cache_is_built_anew(cache, content):
    expected = find_fonts([SANS])
    (store,) = cache.glob("*.json")
    store.write_text(content)
    assert find_fonts([SANS]) == expected
    assert "Be Vietnam" in store.read_text(encoding="utf-8")
    assert not list(cache.glob("*.part"))


def test_a_cache_folder_that_cannot_be_made_costs_nothing_but_time(cache):
    cache.write_text("a file where the folder should be")
    assert find_fonts([SANS]).faces


def test_missing_paths_and_empty_folders_come_with_a_remedy(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FontError) as caught:
            find_fonts([path])
        assert "--fonts" in caught.value.fix


def test_system_fonts_are_scanned_where_fontconfig_is_missing(tmp_path, monkeypatch):
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "Copy.TTF").write_bytes(SANS.read_bytes())
    monkeypatch.setattr(fonts.shutil, "which", lambda _: None)
    monkeypatch.setattr(fonts, "_usual_folders", lambda: [tmp_path / "fonts", tmp_path / "missing"])
    assert [face.path.name for face in find_fonts().faces] == ["Copy.TTF"]
