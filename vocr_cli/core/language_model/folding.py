"""What a language model sees of a text: case-folded letters, spaces, and one symbol for all signs.

It has no opinion on what figures, codes and addresses of the web say. A token, that is what stands between
two spaces, counts as a code and is one symbol as a whole where it holds a digit or a sign of `_CODE_SIGNS`,
a capital after a small letter (`iPhone`), or a letter after a full stop (`chinhphu.vn`): `HĐ-123/QĐ-UBND` is
one, `UBND` is not.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum

SPACE, SIGN, CODE = " ", ".", "#"
"""The symbols that are no letters: the space, any run of other signs, and a whole code."""

_CODE_SIGNS = frozenset("@/\\_#&=")
_RAREST = 1e-5


class Kind(IntEnum):
    """What a character is to a language model."""

    SPACE = 0
    SMALL = 1
    CAPITAL = 2
    STOP = 3
    SIGN = 4
    CODE = 5


def kind_of(character: str, letters: frozenset[str]) -> Kind:
    """Returns what one NFC character is, given the small letters that the model knows."""
    if character.isspace():
        return Kind.SPACE
    if character.isnumeric() or character in _CODE_SIGNS:
        return Kind.CODE
    if character.lower() in letters:
        return Kind.CAPITAL if character != character.lower() else Kind.SMALL
    return Kind.STOP if character == "." else Kind.SIGN


def makes_code(kind: Kind, before: Kind) -> bool:
    """Returns whether a character of this kind, after one of kind `before` in its token, makes it a code."""
    is_letter = kind in (Kind.SMALL, Kind.CAPITAL)
    return (
        kind == Kind.CODE
        or (kind == Kind.CAPITAL and before == Kind.SMALL)
        or (is_letter and before == Kind.STOP)
    )


def choose_letters(paragraphs: Iterable[str]) -> str:
    """Returns the small letters of a text, in order, but for the rarest, fewer than one letter in 100,000."""
    counts: Counter[str] = Counter()
    for paragraph in paragraphs:
        counts.update(paragraph)
    folded: Counter[str] = Counter()
    for character, count in counts.items():
        small = character.lower()
        if small.isalpha() and len(small) == 1 and unicodedata.is_normalized("NFC", small):
            folded[small] += count
    fewest = _RAREST * folded.total()
    return "".join(sorted(letter for letter, count in folded.items() if count >= fewest))


class Folder:
    """Folds NFC text into symbols.

    Args:
        letters: The small letters that the model knows.
    """

    def __init__(self, letters: str) -> None:
        self._letters = frozenset(letters)
        self._folded: dict[str, str] = {}

    def fold(self, text: str) -> str:
        """Returns the symbols of a text, one plain space between tokens and none at the ends."""
        known = self._folded
        tokens = []
        for token in text.split():
            folded = known.get(token)
            if folded is None:
                folded = known[token] = self._fold_token(token)
            tokens.append(folded)
        return SPACE.join(tokens)

    def _fold_token(self, token: str) -> str:
        symbols: list[str] = []
        before = Kind.SPACE
        for character in token:
            kind = kind_of(character, self._letters)
            # A full stop counts as one only right after a letter: the dots of a leader part nothing.
            if kind == Kind.STOP and before not in (Kind.SMALL, Kind.CAPITAL):
                kind = Kind.SIGN
            if makes_code(kind, before):
                return CODE
            if kind in (Kind.SMALL, Kind.CAPITAL):
                symbols.append(character.lower())
            elif symbols[-1:] != [SIGN]:
                symbols.append(SIGN)
            before = kind
        return "".join(symbols)
