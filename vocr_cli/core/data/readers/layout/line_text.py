"""The text of a line out of its parts: words with and without spaces between them, broken words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vocr_cli.core.data.readers.layout.page_model import Box

SOFT_HYPHEN = "\u00ad"
_HYPHENS = ("-", "\u2010", "\u2011", "\u00ac", "\u2e17", "=", SOFT_HYPHEN)
_WORD_GAP = 0.12  # of the height: wider gaps between two strings are spaces


class Word(NamedTuple):
    """A part of a line: its text, its rectangle where there is one, and whether a space follows it."""

    text: str
    box: Box | None = None
    space_after: bool | None = None  # None: the file does not say


def joined(words: Sequence[Word], spaces_are_said: bool) -> str:
    """The text of a line.

    Args:
        words: Its parts, in their order.
        spaces_are_said: Whether the file marks spaces: then one that is missing between two words that touch
            is none. A file that marks none has words, with spaces between all of them.
    """
    if any(word.text.isspace() for word in words):  # kraken writes spaces as words
        return "".join(word.text for word in words)
    text = ""
    for index, word in enumerate(words):
        if index and _apart(words[index - 1], word, spaces_are_said):
            text += " "
        text += word.text
    return text


def visible(text: str) -> str:
    """A text as its picture shows it: a soft hyphen is a hyphen at a line's end, and nothing elsewhere."""
    text = text.rstrip()
    if text.endswith(SOFT_HYPHEN):
        text = text[:-1] + "-"
    return text.replace(SOFT_HYPHEN, "")


def hyphenated(text: str, hyphen: str | None) -> str:
    """A line's text with the hyphen that ends it, unless it ends in one already."""
    mark = hyphen or "-"
    if text.rstrip().endswith(_HYPHENS):
        return text
    return text.rstrip() + ("-" if mark == SOFT_HYPHEN else mark)


def _apart(word: Word, following: Word, spaces_are_said: bool) -> bool:
    if word.space_after:
        return True
    if not spaces_are_said or word.box is None or following.box is None:
        return True
    one, other = word.box, following.box
    height = max(box[3] - box[1] for box in (one, other))
    gap = max(max(one[side] - other[side + 2], other[side] - one[side + 2]) for side in (0, 1))
    return gap > _WORD_GAP * height
