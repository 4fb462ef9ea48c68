"""Sorts edits by the kind of mistake, as a reader of Vietnamese sees them: letter, vowel mark, tone, ..."""

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
def decompose(char: str) -> Letter:
    """Split one letter into base letter, vowel mark and tone, in lower case.

    The stroke of `đ` counts as its mark. Letters of other languages are split by Unicode's decomposition.
    """
    if char in "đĐ":
        return Letter("d", "đ", "")
    decomposed = unicodedata.normalize("NFD", char.lower())
    base = "".join(point for point in decomposed if not unicodedata.combining(point))
    tone = "".join(point for point in decomposed if point in TONE_MARKS)
    mark = "".join(point for point in decomposed if unicodedata.combining(point) and point not in TONE_MARKS)
    return Letter(base, mark, tone)


def classify(edit: Edit) -> EditClass:
    """Return the one class of an edit: the first that applies, in this order.

    Space (either side is one), digit (either side is a decimal digit), punctuation (either side is neither
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
    expected, read = decompose(edit.reference), decompose(edit.reading)
    if expected.base != read.base:
        return "base letter"
    if expected.mark != read.mark:
        return "vowel mark" if expected.tone == read.tone else "mark and tone"
    return "tone" if expected.tone != read.tone else "case"


def edits(reference: str, reading: str) -> list[Edit]:
    """Return a shortest list of edits from `reference` to `reading`, left to right (Levenshtein, 1966).

    Both texts are cleaned already. Where several lists are equally short, the one that rapidfuzz picks is
    taken.
    """
    return [
        Edit(
            "" if step.tag == "insert" else reference[step.src_pos],
            "" if step.tag == "delete" else reading[step.dest_pos],
        )
        for step in Levenshtein.editops(reference, reading)
    ]


def spans(reference: str, reading: str) -> list[Span]:
    """Cut the two texts, side by side, where agreement begins or ends; joined, the spans give both texts."""
    return [
        Span(
            reference[code.src_start : code.src_end],
            reading[code.dest_start : code.dest_end],
            code.tag == "equal",
        )
        for code in Levenshtein.opcodes(reference, reading)
    ]
