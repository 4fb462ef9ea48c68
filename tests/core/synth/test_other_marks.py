"""Lines in which some words have the marks of others."""

from __future__ import annotations

from random import Random

from vocr_cli.core.synth.text.corpus import other_marks, unaccented

LINE = "Ủy ban thực hiện cơ chế MỘT CỬA, xin chào 12/3 Garcia"


def test_letters_stay_and_marks_change() -> None:
    changed = 0
    for seed in range(50):
        other = other_marks(LINE, Random(seed))
        assert unaccented(other) == unaccented(LINE)
        assert other.split()[-2:] == ["12/3", "Garcia"]
        changed += other != LINE
    assert changed > 40
