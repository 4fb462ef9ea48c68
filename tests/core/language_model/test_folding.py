"""What a language model sees of a text, and what it leaves alone."""

from __future__ import annotations

import pytest

from vocr_cli.core.language_model.folding import Folder, choose_letters
from vocr_cli.core.text import VIETNAMESE_LETTERS

LETTERS = "".join(sorted(set(VIETNAMESE_LETTERS.lower())))


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Cộng HÒA  xã hội", "cộng hòa xã hội"),
        ("Điều 12. Phạm vi (1), v.v", "điều # phạm vi # #"),
        ("Số HĐ-123/QĐ-UBND ngày", "số # ngày"),
        ("51F-123.45", "#"),
        ("chinhphu.vn iPhone a_b @", "# # # #"),
        ("(khoản...), mục", ".khoản. mục"),
        ("UBND TP. Hà Nội.....", "ubnd tp. hà nội."),
        ("naïve Łódź", "na.ve .ód."),
    ],
)
def test_codes_are_one_symbol_and_runs_of_signs_are_one(text: str, symbols: str) -> None:
    assert Folder(LETTERS).fold(text) == symbols


def test_a_letter_in_a_hundred_thousand_is_no_letter_of_the_alphabet() -> None:
    assert choose_letters(["ab" * 60_000 + "ß"]) == "ab"
    assert choose_letters(["aB 1é."]) == "abé"
