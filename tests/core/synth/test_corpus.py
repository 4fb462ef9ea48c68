import pickle
import time
import unicodedata
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.text import templates
from vocr_cli.core.synth.text.corpus import Corpus, unaccented
from vocr_cli.core.synth.text.paragraphs import MAX_CHARACTERS
from vocr_cli.core.synth.text.syllables import legal_syllables, place_tone
from vocr_cli.core.text import TONE_MARKS, VIETNAMESE_CHARSET, VIETNAMESE_LETTERS, Charset, clean

ACUTE, GRAVE, DOT = TONE_MARKS[3], TONE_MARKS[0], TONE_MARKS[4]


SIGNS = "‰¹⁴⁵⁶₀₁₂₃₄₅₆±≤≥≠≈÷→←↑↓⇒✓✗☐☑■□●○►➢❖◆★☆·©®™£¥½¼¾«»"
EXTENDED = Charset(VIETNAMESE_CHARSET + SIGNS)


def lines(corpus, count, seed=0):
    dice = Random(seed)
    return [corpus.line(dice) for _ in range(count)]


@pytest.fixture(scope="module")
def generated():
    return lines(Corpus(), 20_000)


@pytest.mark.parametrize(
    "syllable",
    "nghiêng quyết khuỷu giếng gìn gì giặt hoà hòa thủy thuỷ thuở ngoằn ngoèo xoong quốc yểng khuya người ý"
    " kỷ lý uống ươm ghế nghỉ kề quý cười được rượu huỳnh".split(),
)
def test_legal_syllables_are_not_missing(syllable):
    assert syllable in legal_syllables()


@pytest.mark.parametrize("syllable", "kà ngi ghà bắch tàp qoa cê gề nge giĩn̉ cuy ngha hảch bướng̉ tot".split())
def test_illegal_spellings_are_not_generated(syllable):
    assert syllable not in legal_syllables()


def test_the_syllables_are_neither_a_handful_nor_every_string():
    assert 14_000 < len(legal_syllables()) < 20_000
    assert len(set(legal_syllables())) == len(legal_syllables())


def test_syllables_that_end_in_a_stop_carry_only_acute_or_dot_below():
    for syllable in legal_syllables():
        if syllable.endswith(("p", "t", "c", "ch")):
            marks = set(unicodedata.normalize("NFD", syllable)) & set(TONE_MARKS)
            assert marks in ({ACUTE}, {DOT}), syllable


def test_every_syllable_has_at_most_one_tone_and_is_nfc():
    for syllable in legal_syllables():
        assert clean(syllable) == syllable
        assert sum(mark in TONE_MARKS for mark in unicodedata.normalize("NFD", syllable)) <= 1
        assert set(syllable) <= set(VIETNAMESE_LETTERS)


@pytest.mark.parametrize(
    ("rhyme", "old", "new"),
    [
        ("oa", "òa", "oà"),
        ("oe", "òe", "oè"),
        ("uy", "ùy", "uỳ"),
        ("oan", "oàn", "oàn"),
        ("uynh", "uỳnh", "uỳnh"),
        ("oai", "oài", "oài"),
        ("uya", "uỳa", "uỳa"),
        ("ươi", "ười", "ười"),
        ("uyên", "uyền", "uyền"),
        ("uơ", "uờ", "uờ"),
        ("ưa", "ừa", "ừa"),
        ("ia", "ìa", "ìa"),
        ("ong", "òng", "òng"),
    ],
)
def test_the_tone_stands_on_the_letter_that_the_style_wants(rhyme, old, new):
    assert place_tone(rhyme, GRAVE, "old") == old
    assert place_tone(rhyme, GRAVE, "new") == new
    assert place_tone(rhyme, "", "old") == rhyme


def test_every_generated_line_can_be_a_label(generated):
    allowed = set(VIETNAMESE_CHARSET)
    for line in generated:
        assert line and clean(line) == line and len(line) <= MAX_CHARACTERS and set(line) <= allowed, line


def test_no_character_of_the_charset_is_never_seen(generated):
    assert set("".join(generated)) == set(VIETNAMESE_CHARSET)


def test_a_larger_charset_shows_all_its_signs_and_a_smaller_one_none_of_them(generated):
    seen = Counter("".join(lines(Corpus(charset=EXTENDED), 20_000)))
    assert set(seen) == set(EXTENDED.characters)
    assert min(seen[sign] for sign in SIGNS) >= 5
    assert not set("".join(generated)) & set(SIGNS)


@pytest.mark.parametrize("genre", ["receipt", "sign", "hand"])
def test_each_genre_stays_within_its_charset(genre):
    dice = Random(3)
    for charset in (Charset(), EXTENDED):
        corpus = Corpus(charset=charset)
        made = [corpus.line(dice, genre) for _ in range(500)]
        assert set("".join(made)) <= set(charset.characters)
        assert len(set(made)) > 300


def test_marks_are_taken_off_as_people_type_without_them():
    assert unaccented("Tổng cộng: ĐƯỜNG Lê Lợi 5½") == "Tong cong: DUONG Le Loi 5½"


def test_stacked_capitals_and_unaccented_text_occur(generated):
    capitals = [
        letter
        for letter in VIETNAMESE_LETTERS
        if letter.isupper() and len(unicodedata.normalize("NFD", letter)) > 2
    ]
    text = "".join(generated)
    assert sum(text.count(letter) for letter in capitals) > 0.02 * len(text)
    assert any(line.startswith("Tong ") or "Cong " in line or "Duong" in line for line in generated)


def test_rare_marked_capitals_are_seen_often_enough_to_be_learned(generated):
    text = "".join(generated)
    rare = [letter for letter in VIETNAMESE_LETTERS if letter.isupper() and text.count(letter) < 60]
    assert set(rare) <= set("FJWZ")


def test_short_lines_and_long_ones_both_occur(generated):
    lengths = np.array([len(line) for line in generated])
    assert 0.08 < (lengths <= 3).mean() < 0.25
    assert (lengths > 60).mean() > 0.05


def test_the_same_seed_gives_the_same_lines_after_pickling(tmp_path):
    (tmp_path / "a.txt").write_text(
        "Trời hôm nay rất đẹp và gió thổi nhẹ qua hàng cây.\n" * 30, encoding="utf-8"
    )
    corpus = Corpus([tmp_path])
    assert lines(corpus, 200, seed=3) == lines(pickle.loads(pickle.dumps(corpus)), 200, seed=3)
    assert lines(corpus, 200, seed=3) != lines(corpus, 200, seed=4)


@pytest.mark.parametrize("rule", sorted(templates.RULES))
def test_no_template_names_a_slot_that_does_not_exist(rule):
    for seed in range(60):
        text = templates.expand(rule, Random(seed))
        assert text and set(clean(text)) <= set(EXTENDED.characters), (rule, text)


def test_windows_of_a_paragraph_are_cut_between_words(tmp_path):
    words = [f"chữ{number}" for number in range(400)]
    (tmp_path / "a.txt").write_text(" ".join(words), encoding="utf-8")
    seen = [line for line in lines(Corpus([tmp_path / "a.txt"], text_share=1.0), 2000) if "chữ" in line]
    plain = [line for line in seen if set(line.split()) <= set(words)]
    assert len(plain) > 0.6 * len(seen)
    lengths = np.array([len(line) for line in plain])
    assert (lengths < 14).mean() > 0.05 and (lengths > 75).mean() > 0.1
    assert len({line.split()[0] for line in plain}) > 100


def test_capitals_and_title_case_are_drawn_too(tmp_path):
    (tmp_path / "a.txt").write_text("mưa rơi trên mái nhà cũ\n" * 50, encoding="utf-8")
    seen = lines(Corpus([tmp_path], text_share=1.0), 3000)
    assert 0.08 < np.mean([line == line.upper() and "MÁI" in line for line in seen]) < 0.18
    assert "Mưa Rơi Trên Mái Nhà Cũ" in seen


def test_the_count_column_weights_entries_and_is_not_drawn(tmp_path):
    rows = ["thường\t1000000", *(f"hiếm{letter}\t1" for letter in "abcdefghij")]
    (tmp_path / "a.txt").write_text("\n".join(rows), encoding="utf-8")
    text = " ".join(lines(Corpus([tmp_path], text_share=1.0), 3000)).lower()
    assert "1000000" not in text
    assert text.count("thường") > 5 * text.count("hiếma") > 0


def test_single_words_are_joined_and_longer_entries_stand_alone(tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(["mây", "gió", "nắng", "mưa"] * 5), encoding="utf-8")
    (tmp_path / "places.txt").write_text(
        "\n".join(["Xã Suối Mơ, Huyện Đồi Xa", "Xã Bến Vắng"] * 5), encoding="utf-8"
    )
    assert any("mây gió" in line for line in lines(Corpus([tmp_path / "words.txt"], text_share=1.0), 300))
    places = lines(Corpus([tmp_path / "places.txt"], text_share=1.0), 300)
    assert not any("Mơ" in line and "Vắng" in line for line in places)
    assert "Xã Bến Vắng" in places


def test_pieces_with_characters_outside_the_charset_are_skipped(tmp_path):
    (tmp_path / "a.txt").write_text("漢字 chữ nôm 漢字\nchữ quốc ngữ\n", encoding="utf-8")
    assert all(
        set(line) <= set(VIETNAMESE_CHARSET) for line in lines(Corpus([tmp_path], text_share=1.0), 500)
    )


def test_decomposed_text_bom_and_crlf_give_clean_lines(tmp_path):
    text = unicodedata.normalize("NFD", "Đường Nguyễn Huệ\r\nQuận Một rộng rãi\r\n")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    seen = lines(Corpus([tmp_path / "a.txt"], text_share=1.0), 300)
    assert "Đường Nguyễn Huệ" in seen and all(clean(line) == line for line in seen)


def test_one_endless_paragraph_does_not_slow_down_each_line(tmp_path):
    (tmp_path / "a.txt").write_text("từ này nối từ kia " * 200_000, encoding="utf-8")
    corpus = Corpus([tmp_path], text_share=1.0)
    begin = time.perf_counter()
    assert all(lines(corpus, 300))
    assert time.perf_counter() - begin < 1


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=VIETNAMESE_CHARSET, min_size=1, max_size=12), st.integers(0, 2**32))
def test_a_line_never_leaves_a_small_charset(characters, seed):
    charset = Charset("".join(dict.fromkeys(characters)))
    if not characters.strip():
        return
    for line in lines(Corpus(charset=charset), 5, seed):
        assert line and set(line) <= set(charset.characters) and clean(line) == line


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff\xfe\x00bad"])
def test_missing_empty_and_foreign_files_are_named_with_a_remedy(tmp_path, content):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt") as caught:
        Corpus([path])
    assert "UTF-8" in caught.value.fix


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no \*\.txt"):
        Corpus([tmp_path])
