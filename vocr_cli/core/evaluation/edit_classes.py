"""What kind of mistake an edit is, seen with Vietnamese eyes: base letter, vowel mark, tone, case, ..."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from rapidfuzz.distance import Levenshtein

from vocr_cli.core.text import TONE_MARKS

EditClass = Literal[
    "tone",
    "vowel mark",
    "mark and tone",
    "case",
    "base letter",
    "missing letter",
    "extra letter",
    "digit",
    "punctuation",
    "space",
]

EDIT_CLASSES: tuple[EditClass, ...] = get_args(EditClass)
"""Every edit belongs to exactly one of these."""


class Letter(NamedTuple):
    """A letter taken apart, case aside: `Ế` is (`e`, U+0302, U+0301), `đ` is (`d`, `đ`, nothing)."""

    base: str
    mark: str
    tone: str


class Edit(NamedTuple):
    """One edit that turns a reference into a reading; "" stands for nothing (an insertion or a deletion)."""

    reference: str
    reading: str


class Span(NamedTuple):
    """A stretch of the reference and what was read for it; `same` tells whether they agree."""

    reference: str
    reading: str
    same: bool


@lru_cache(maxsize=4096)
def take_apart(char: str) -> Letter:
    """Base letter, vowel mark and tone of one letter, in lower case.

    The stroke of `đ` counts as its mark. Letters of other languages come apart by Unicode's decomposition.
    """
    if char in "đĐ":
        return Letter("d", "đ", "")
    parts = unicodedata.normalize("NFD", char.lower())
    base = "".join(part for part in parts if not unicodedata.combining(part))
    tone = "".join(part for part in parts if part in TONE_MARKS)
    mark = "".join(part for part in parts if unicodedata.combining(part) and part not in TONE_MARKS)
    return Letter(base, mark, tone)


def classify(edit: Edit) -> EditClass:
    """The one class of an edit; the first that applies, in this order.

    space (either side is one), digit (either side is a decimal digit), punctuation (either side is neither
    letter nor digit), missing or extra letter (the other side is nothing), base letter (the base differs),
    mark and tone, vowel mark, tone (whatever the case), and case when nothing but the case differs.
    """
    present = [char for char in edit if char]
    if " " in present:
        return "space"
    if any(char.isdecimal() for char in present):
        return "digit"
    if not all(char.isalpha() for char in present):
        return "punctuation"
    if not edit.reading:
        return "missing letter"
    if not edit.reference:
        return "extra letter"
    expected, found = take_apart(edit.reference), take_apart(edit.reading)
    if expected.base != found.base:
        return "base letter"
    if expected.mark != found.mark:
        return "vowel mark" if expected.tone == found.tone else "mark and tone"
    return "tone" if expected.tone != found.tone else "case"


def edits(reference: str, reading: str) -> list[Edit]:
    """A shortest list of edits from `reference` to `reading` (Levenshtein), both cleaned, left to right.

    Where several lists are equally short, the one that rapidfuzz picks is taken.
    """
    found = []
    for step in Levenshtein.editops(reference, reading):
        expected = "" if step.tag == "insert" else reference[step.src_pos]
        found.append(Edit(expected, "" if step.tag == "delete" else reading[step.dest_pos]))
    return found


def spans(reference: str, reading: str) -> list[Span]:
    """The two texts side by side, cut where agreement begins or ends; joined, the parts give both texts."""
    return [
        Span(
            reference[code.src_start : code.src_end],
            reading[code.dest_start : code.dest_end],
            code.tag == "equal",
        )
        for code in Levenshtein.opcodes(reference, reading)
    ]
