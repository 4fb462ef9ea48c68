"""Sorts edits by the kind of mistake, as a reader of Vietnamese sees them: letter, vowel mark, tone, ..."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
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

_MOST_CELLS = 1 << 16
"""Of the table of two texts' parts that differ: beyond it, weighing every alignment takes too long."""

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

    Both texts are cleaned already. Of several lists that are equally short, one is taken whose letters are
    most alike: `tiên` read as `tiếnn` is a tone and an extra letter, no other letter. Of texts too long to
    weigh all of them, the one that rapidfuzz picks is taken.
    """
    return [Edit(span.reference, span.reading) for span in _aligned(reference, reading) if not span.same]


def spans(reference: str, reading: str) -> list[Span]:
    """Cut the two texts, side by side, where agreement begins or ends; joined, the spans give both texts."""
    joined: list[Span] = []
    for span in _aligned(reference, reading):
        if joined and joined[-1].same == span.same:
            before = joined.pop()
            span = Span(before.reference + span.reference, before.reading + span.reading, span.same)
        joined.append(span)
    return joined


def _aligned(reference: str, reading: str) -> Iterator[Span]:
    """Gives the characters of both texts side by side: pairs, or one of them and nothing."""
    start = _common(reference, reading)
    end = _common(reference[start:][::-1], reading[start:][::-1])
    middle = reference[start : len(reference) - end], reading[start : len(reading) - end]
    yield from (Span(char, char, True) for char in reference[:start])
    if len(middle[0]) * len(middle[1]) > _MOST_CELLS:
        yield from _as_rapidfuzz(*middle)
    else:
        yield from _most_alike(*middle)
    yield from (Span(char, char, True) for char in reference[len(reference) - end :])


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, pair in pairs if pair[0] != pair[1]), min(len(one), len(other)))


def _most_alike(reference: str, reading: str) -> list[Span]:
    """Aligns two texts by the least number of edits and, among those, the least unlikeness.

    The table of Wagner and Fischer (1974) with pairs for costs: edits, and how unlike what they replace is.
    """
    rows, columns = len(reference) + 1, len(reading) + 1
    costs = [[(row + column, 0) for column in range(columns)] for row in range(rows)]
    for row in range(1, rows):
        above, here = costs[row - 1], costs[row]
        for column in range(1, columns):
            pair = reference[row - 1], reading[column - 1]
            edited, unlike = above[column - 1]
            replaced = (edited, unlike) if pair[0] == pair[1] else (edited + 1, unlike + unlikeness(*pair))
            deleted = above[column][0] + 1, above[column][1]
            inserted = here[column - 1][0] + 1, here[column - 1][1]
            here[column] = min(replaced, deleted, inserted)
    return _path(reference, reading, costs)


def _path(reference: str, reading: str, costs: list[list[tuple[int, int]]]) -> list[Span]:
    """The way through a table of costs, from its start."""
    found: list[Span] = []
    row, column = len(reference), len(reading)
    while row or column:
        cost = costs[row][column]
        if row and column:
            pair = reference[row - 1], reading[column - 1]
            same = pair[0] == pair[1]
            edited, unlike = costs[row - 1][column - 1]
            if cost == (edited + (not same), unlike + (0 if same else unlikeness(*pair))):
                found.append(Span(*pair, same))
                row, column = row - 1, column - 1
                continue
        if row and cost == (costs[row - 1][column][0] + 1, costs[row - 1][column][1]):
            row -= 1
            found.append(Span(reference[row], "", False))
        else:
            column -= 1
            found.append(Span("", reading[column], False))
    return found[::-1]


@lru_cache(maxsize=65536)
def unlikeness(one: str, other: str) -> int:
    """How unlike two characters are: 0 for marks, tone or case alone, 1 within a kind, else 2."""
    kinds = [classify(Edit(one, "")), classify(Edit(other, ""))]
    if kinds[0] != kinds[1]:
        return 2
    return int(decompose(one).base != decompose(other).base)


def _as_rapidfuzz(reference: str, reading: str) -> Iterator[Span]:
    for code in Levenshtein.opcodes(reference, reading):
        source = reference[code.src_start : code.src_end]
        target = reading[code.dest_start : code.dest_end]
        for index in range(max(len(source), len(target))):
            yield Span(source[index : index + 1], target[index : index + 1], code.tag == "equal")
