"""The charset and the cleaning of labels."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.errors import DataError
from vocr_cli.core.text import (
    VIETNAMESE_CHARSET,
    VIETNAMESE_LETTERS,
    Charset,
    clean,
    control_characters,
)

CHARSET = Charset()
charset_text = st.text(alphabet=VIETNAMESE_CHARSET, max_size=40)


@given(charset_text)
def test_what_is_encoded_decodes_to_itself(text):
    classes = CHARSET.encode(text)
    assert CHARSET.decode(classes) == text
    assert all(1 <= index < CHARSET.classes for index in classes)


@given(charset_text, st.data())
def test_blanks_leave_no_trace_in_decoded_text(text, data):
    classes = CHARSET.encode(text)
    at = data.draw(st.integers(0, len(classes)))
    assert CHARSET.decode([*classes[:at], 0, 0, *classes[at:]]) == text


@given(st.text(max_size=40))
def test_cleaning_twice_changes_nothing_more(text):
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip() and "  " not in once


@given(charset_text)
def test_decomposed_labels_clean_to_the_composed_ones(text):
    assert clean(unicodedata.normalize("NFD", text)) == clean(text)
    assert all(char in CHARSET for char in clean(unicodedata.normalize("NFD", text)))


def test_odd_spaces_become_one_plain_space():
    assert clean("\u00a0Đường\t\u2003 Nguyễn\u3000Huệ\r\n") == "Đường Nguyễn Huệ"


def test_every_vietnamese_letter_is_known_in_both_cases():
    assert len(VIETNAMESE_LETTERS) == 2 * (
        26 + 6 + 1 + 12 * 5
    )  # a-z, ă â ê ô ơ ư, đ, twelve vowels × five tones
    assert all(letter in CHARSET for letter in VIETNAMESE_LETTERS)
    assert all(letter.upper() in CHARSET for letter in "ẵậịđưỡ")
    assert all(unicodedata.is_normalized("NFC", letter) and len(letter) == 1 for letter in VIETNAMESE_LETTERS)
    assert all(sign in CHARSET for sign in "°–—“”‘’…•€₫×²³§0123456789")


def test_unknown_characters_are_named_with_count_and_first_place():
    found = CHARSET.unknown([("a.png", "Straße"), ("b.png", "ßß λ"), ("c.png", "đúng")])
    assert [(item.char, item.count, item.first_location) for item in found] == [
        ("ß", 3, "a.png"),
        ("λ", 1, "b.png"),
    ]
    assert "U+00DF" in str(found[0]) and "3" in str(found[0]) and "a.png" in str(found[0])


@given(st.text(max_size=40))
def test_unknown_counts_every_character_that_encode_would_refuse(text):
    unknown = CHARSET.unknown([("line", text)])
    assert sum(item.count for item in unknown) == sum(char not in CHARSET for char in text)
    if not unknown:
        assert CHARSET.decode(CHARSET.encode(text)) == text


def test_encode_names_each_unknown_character_once():
    with pytest.raises(DataError) as caught:
        CHARSET.encode("ßλß")
    assert caught.value.problem.count("U+00DF") == 1 and "U+03BB" in caught.value.problem
    assert caught.value.fix


def test_policies_keep_skip_replace_or_refuse_a_line():
    assert CHARSET.apply("phở", "error") == "phở"
    assert CHARSET.apply("Straße", "skip-line") is None
    assert CHARSET.apply("Straße ß", "replace", "s") == "Strase s"
    assert CHARSET.apply("a ß b", "replace") == "a b", "a dropped character must not leave two spaces"
    assert CHARSET.apply("ß", "replace") is None, "nothing is left of the label"
    for policy in ("error", "extend"):
        with pytest.raises(DataError, match="U\\+00DF"):
            CHARSET.apply("Straße", policy)


@given(
    st.lists(
        st.characters(max_codepoint=0x10FF, exclude_categories=["M", "Cs"]).filter(lambda c: clean(c) == c),
        max_size=8,
    )
)
def test_extending_keeps_the_classes_of_old_characters(characters):
    extended = CHARSET.extended(characters)
    assert extended.characters.startswith(VIETNAMESE_CHARSET)
    assert extended.encode(VIETNAMESE_CHARSET) == CHARSET.encode(VIETNAMESE_CHARSET)
    assert not extended.unknown([("line", "".join(characters))])


def test_a_charset_with_doubled_or_decomposed_letters_is_refused():
    with pytest.raises(DataError, match="more than once"):
        Charset("aba")
    with pytest.raises(DataError, match="NFC"):
        Charset("e\u0301")


def test_control_characters_are_found_but_white_space_is_not():
    assert control_characters("a\u200bb\tc\x07\nd\ufeff") == ["\u200b", "\x07", "\ufeff"]
