"""Where the text of rendered lines comes from: text files, and a generator that needs none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from random import Random

from vocr_cli.core.errors import DataError
from vocr_cli.core.synth import templates
from vocr_cli.core.synth.paragraphs import MAX_CHARACTERS, TextFile, few_words, text_files
from vocr_cli.core.synth.syllables import legal_syllables
from vocr_cli.core.text import Charset, clean

_DEFAULT_CHARSET = Charset()
_TRIES = 20

_TEMPLATES = {  # rule: share of the lines made from templates
    "short": 0.11,
    "receipt": 0.15,
    "form": 0.12,
    "heading": 0.09,
    "address": 0.08,
    "money": 0.08,
    "date": 0.07,
    "person_line": 0.07,
    "document": 0.06,
    "measure": 0.05,
    "id": 0.03,
    "phone": 0.03,
    "web": 0.03,
    "code": 0.03,
}
_MARKERS = tuple("1. 2. 3. 10. a) b) d) đ) - + • (1) 1.1. 2.3. 1.1.3. I. IV.".split())
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
        self._sources = [TextFile(path) for path in text_files(text)]
        self._source_weights = list(itertools.accumulate(source.weight for source in self._sources))
        self._text_share = text_share if self._sources else 0.0
        self._allowed = frozenset(charset.characters)
        self._characters = [char for char in charset.characters if clean(char) == char]
        self._signs = [char for char in self._characters if not char.isalnum()]
        if not self._characters:
            raise DataError("The charset holds nothing that can be drawn.", "List at least one letter.")

    def line(self, dice: Random, genre: str = "") -> str:
        """One cleaned line of 1..110 characters, all in the charset; the same for the same dice."""
        make = self._from_text if dice.random() < self._text_share else self._generated
        for attempt in range(_TRIES):
            if attempt == _TRIES // 2:
                make = self._generated
            line = _shortened(clean(make(dice)))
            if line and self._allowed.issuperset(line):
                return line
        return dice.choice(self._characters)

    def _from_text(self, dice: Random) -> str:
        source = dice.choices(self._sources, cum_weights=self._source_weights)[0]
        return self._signed(_decorated(_cased(source.piece(dice), dice), dice), dice, 0.01)

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
        if kind < 0.04:
            letters = self._signs if kind < 0.01 and self._signs else self._characters
            return "".join(dice.choices(letters, k=dice.randint(2, 10)))
        if kind < 0.08:
            return dice.choice(self._characters)
        if kind < 0.45:
            return self._signed(_decorated(_syllables(dice), dice), dice, 0.15)
        text = templates.expand(dice.choices(_RULE_NAMES, cum_weights=_RULE_WEIGHTS)[0], dice)
        if dice.random() < 0.12:
            text += dice.choice(_LINKS) + templates.expand(
                dice.choice(("form", "address", "date", "person_line")), dice
            )
        return text.upper() if dice.random() < 0.06 else text


_RULE_NAMES = tuple(_TEMPLATES)
_RULE_WEIGHTS = list(itertools.accumulate(_TEMPLATES.values()))


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
    if style < 0.13:
        return text.upper()
    if style < 0.18:
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
    if share < 0.035:
        text = dice.choice(_MARKERS) + dice.choice((" ", " ", "")) + text
    elif share < 0.045:
        text = f"Điều {dice.randint(1, 200)}. {text}"
    elif share < 0.06:
        text = f"{text}{dice.choice((' ', ''))}({dice.randint(1, 30)})"
    elif share < 0.085:
        text = _dots(text[: MAX_CHARACTERS - 45], dice)
    elif share < 0.105:
        text = _wrapped(text, dice)
    elif share < 0.13:
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
