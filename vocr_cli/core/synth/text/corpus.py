"""Where the text of rendered lines comes from: text files, and a generator that needs none."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.text import templates
from vocr_cli.core.synth.text.paragraphs import MAX_CHARACTERS, TEXT_REMEDY, TextFile, few_words
from vocr_cli.core.synth.text.syllables import legal_syllables
from vocr_cli.core.text import TONE_MARKS, Charset, clean, text_files

_DEFAULT_CHARSET = Charset()
_TRIES = 20

_TEMPLATES = {  # rule: share of the lines made from templates
    "short": 0.09,
    "receipt": 0.12,
    "form": 0.09,
    "heading": 0.08,
    "address": 0.07,
    "money": 0.05,
    "date": 0.05,
    "person_line": 0.05,
    "document": 0.06,
    "measure": 0.04,
    "id": 0.03,
    "phone": 0.02,
    "web": 0.03,
    "code": 0.03,
    "english": 0.10,
    "foreign_line": 0.02,
    "plate": 0.02,
    "symbol": 0.06,
    "bullet": 0.05,
    "leader": 0.04,
    "price": 0.04,
    "row": 0.04,
    "sign": 0.04,
}
_GENRES = {  # what lines of one kind of scene say, and how often
    "receipt": {
        "receipt": 0.5,
        "price": 0.12,
        "row": 0.12,
        "date": 0.05,
        "phone": 0.04,
        "address": 0.08,
        "code": 0.04,
        "measure": 0.05,
    },
    "sign": {"sign": 0.8, "price": 0.08, "english": 0.06, "short": 0.06},
    "hand": {"note": 0.6, "address": 0.2, "person_line": 0.15, "price": 0.05},
}
_MARKERS = tuple("1. 2. 3. 10. a) b) d) đ) - + • (1) 1.1. 2.3. 1.1.3. I. IV. ● ➢ ✓ → ❖ ■ ☐ ★ ·".split())
_ENDINGS = (":", ":", ".", ";", ",", "..", "...", "…", "!", "?", " ./.", "./.")
_LINKS = (" ", ", ", "; ", " - ", ". ")
_WRAPS = ("()", "()", "“”", '""', "‘’", "''", "[]", "«»", "**")


class Corpus:
    """An endless supply of short texts for line images.

    Args:
        text: Files of UTF-8 paragraphs, one a line, or folders searched for *.txt. A file of short entries
            is taken entry by entry; a tab and a count after each weights them by its logarithm.
        text_share: Share of lines cut from `text`, 0..1; the rest are generated.
        charset: What a line may hold; a piece that holds anything else is skipped.

    Raises:
        DataError: A file is missing, unreadable, not UTF-8 or empty.
    """

    def __init__(
        self, text: Sequence[Path] = (), text_share: float = 0.7, charset: Charset = _DEFAULT_CHARSET
    ) -> None:
        self._sources = [TextFile(path) for path in text_files(map(Path, text), TEXT_REMEDY)]
        self._source_weights = list(itertools.accumulate(source.weight for source in self._sources))
        self._text_share = text_share if self._sources else 0.0
        self._allowed = frozenset(charset.characters)
        self._characters = [char for char in charset.characters if clean(char) == char]
        self._signs = [char for char in self._characters if not char.isalnum()]
        if not self._characters:
            raise DataError("The charset holds nothing that can be drawn.", "List at least one letter.")

    def line(self, dice: Random, genre: str = "") -> str:
        """One cleaned line of 1..150 characters, all in the charset; the same for the same dice.

        Args:
            dice: Where chance comes from.
            genre: One of `receipt`, `sign` and `hand`; empty: whatever documents say.
        """
        make: Callable[[Random], str] = (
            self._from_text if dice.random() < self._text_share else self._generated
        )
        if genre:
            make = _GENRE_MAKERS[genre]
        for attempt in range(_TRIES):
            if attempt == _TRIES // 2:
                make = self._generated
            line = _shortened(clean(make(dice)))
            if line and self._allowed.issuperset(line):
                return line
        return dice.choice(self._characters)

    def _from_text(self, dice: Random) -> str:
        source = dice.choices(self._sources, cum_weights=self._source_weights)[0]
        piece = source.piece(dice)
        marks = dice.random()
        if marks < 0.04:
            piece = unaccented(piece)
        elif marks < 0.12:
            piece = other_marks(piece, dice)
        return self._signed(_decorated(_cased(piece, dice), dice), dice, 0.01)

    def _signed(self, text: str, dice: Random, share: float) -> str:
        """In a share of the texts, a sign of the charset beside a word: rare ones must be seen too."""
        if not self._signs or dice.random() >= share:
            return text
        words = text.split(" ")
        at = dice.randrange(len(words))
        sign = dice.choice(self._signs)
        words[at] = dice.choice((sign + words[at], words[at] + sign, f"{words[at]} {sign}"))
        return " ".join(words)

    def _generated(self, dice: Random) -> str:
        kind = dice.random()
        if kind < 0.03:
            letters = self._signs if kind < 0.01 and self._signs else self._characters
            return "".join(dice.choices(letters, k=dice.randint(2, 10)))
        if kind < 0.07:
            return dice.choice(self._characters)
        if kind < 0.12:
            return _stacked(dice)
        if kind < 0.38:
            return self._signed(_decorated(_syllables(dice), dice), dice, 0.15)
        text = templates.expand(dice.choices(_RULE_NAMES, cum_weights=_RULE_WEIGHTS)[0], dice)
        if dice.random() < 0.12:
            text += dice.choice(_LINKS) + templates.expand(
                dice.choice(("form", "address", "date", "person_line", "english")), dice
            )
        if dice.random() < 0.05:
            text = unaccented(text)
        return text.upper() if dice.random() < 0.07 else text


_RULE_NAMES = tuple(_TEMPLATES)
_RULE_WEIGHTS = list(itertools.accumulate(_TEMPLATES.values()))


def _maker(rules: dict[str, float]) -> Callable[[Random], str]:
    names, weights = tuple(rules), list(itertools.accumulate(rules.values()))

    def make(dice: Random) -> str:
        text = templates.expand(dice.choices(names, cum_weights=weights)[0], dice)
        share = dice.random()
        return unaccented(text) if share < 0.05 else text.upper() if share < 0.12 else text

    return make


_GENRE_MAKERS = {genre: _maker(rules) for genre, rules in _GENRES.items()}
_BARE = {
    ord("đ"): "d",
    ord("Đ"): "D",
    **dict.fromkeys(map(ord, "\u0300\u0301\u0302\u0303\u0306\u0309\u031b\u0323")),
}


def unaccented(text: str) -> str:
    """Text as it is typed without marks: Tổng cộng -> Tong cong."""
    return unicodedata.normalize("NFD", text).translate(_BARE)


@functools.lru_cache(maxsize=1)
def _stacked_syllables() -> tuple[str, ...]:
    """Syllables with a tone above a circumflex, breve or horn, in capitals: the marks that crops cut."""
    tones_above = set(TONE_MARKS[:4])
    return tuple(
        syllable.upper()
        for syllable in legal_syllables()
        for marks in (set(unicodedata.normalize("NFD", syllable)),)
        if marks & tones_above and (marks & {"\u0302", "\u0306", "\u031b"} or marks & {"\u0309", "\u0303"})
    )


@functools.lru_cache(maxsize=1)
def _alike_syllables() -> dict[str, list[str]]:
    """Syllables by what they are without marks."""
    alike: dict[str, list[str]] = {}
    for syllable in legal_syllables():
        alike.setdefault(unaccented(syllable), []).append(syllable)
    return alike


def other_marks(text: str, dice: Random) -> str:
    """Some words with the marks of others, của for cửa: what is seen counts more than what is usual."""
    words = text.split(" ")
    for index, word in enumerate(words):
        if dice.random() < 0.3 and (alike := _alike_syllables().get(unaccented(word.lower()))):
            other = dice.choice(alike)
            words[index] = (
                other.upper() if word.isupper() else other.capitalize() if word.istitle() else other
            )
    return " ".join(words)


def _stacked(dice: Random) -> str:
    words = dice.choices(_stacked_syllables(), k=min(dice.randint(1, 8), dice.randint(1, 8)))
    return " ".join(words if dice.random() < 0.8 else map(str.capitalize, words))


def _syllables(dice: Random) -> str:
    count = few_words(dice) if dice.random() < 0.75 else dice.randint(12, 26)
    words = dice.choices(legal_syllables(), k=count)
    style = dice.random()
    if style < 0.33:
        return " ".join(words).upper()
    if style < 0.5:
        return " ".join(map(str.capitalize, words))
    if style < 0.65:
        return " ".join(words).capitalize()
    return " ".join(words)


def _cased(text: str, dice: Random) -> str:
    style = dice.random()
    if style < 0.15:
        return text.upper()
    if style < 0.20:
        return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))
    return text


def _dots(text: str, dice: Random) -> str:
    return text + dice.choice(("", " ", ": ", ":")) + "." * dice.randint(2, 40)


def _wrapped(text: str, dice: Random) -> str:
    wrap = dice.choice(_WRAPS)
    left, right = wrap[0], wrap[1]
    if dice.random() < 0.5:
        return left + text + right
    words = text.split()
    first = dice.randrange(len(words) or 1)
    last = min(first + dice.randint(1, 4), len(words))
    return " ".join([*words[:first], left + " ".join(words[first:last]) + right, *words[last:]])


def _decorated(text: str, dice: Random) -> str:
    """Now and then a list marker, dots, brackets, an ending, or another hand's dashes and quotes."""
    share = dice.random()
    if share < 0.04:
        text = dice.choice(_MARKERS) + dice.choice((" ", " ", "")) + text
    elif share < 0.045:
        text = f"Điều {dice.randint(1, 200)}. {text}"
    elif share < 0.06:
        text = f"{text}{dice.choice((' ', ''))}({dice.randint(1, 30)})"
    elif share < 0.085:
        text = _dots(text[:65], dice)
    elif share < 0.12:
        text = _wrapped(text, dice)
    elif share < 0.145:
        text = text.rstrip(" .,;:") + dice.choice(_ENDINGS)
    if " - " in text and dice.random() < 0.3:
        text = text.replace(" - ", dice.choice((" – ", " — ", "–")))
    if text.count('"') == 2 and dice.random() < 0.5:
        text = text.replace('"', "“", 1).replace('"', "”", 1)
    return text


def _shortened(line: str) -> str:
    """At most MAX_CHARACTERS, cut before a word where there is one."""
    if len(line) <= MAX_CHARACTERS:
        return line
    return line[: max(line.rfind(" ", 0, MAX_CHARACTERS + 1), 0) or MAX_CHARACTERS].rstrip()
