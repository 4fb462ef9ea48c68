"""Text as the recogniser sees it: NFC, a charset, and class numbers. C classes, class 0 is CTC's blank."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vocr_cli.core.errors import DataError

UnknownPolicy = Literal["error", "skip-line", "replace", "extend"]

_STRANGE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_NO_SIGNS = frozenset({"Cc", "Cs", "Zl", "Zp"})

TONE_MARKS = "\u0300\u0309\u0303\u0301\u0323"  # huyền, hỏi, ngã, sắc, nặng
VOWELS = "aăâeêioôơuưy"
_ASCII_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _vietnamese_letters() -> str:
    toned = [unicodedata.normalize("NFC", vowel + tone) for vowel in VOWELS for tone in ("", *TONE_MARKS)]
    letters = sorted({*_ASCII_LETTERS, *toned, "đ"})
    return "".join(letters) + "".join(letter.upper() for letter in letters)


VIETNAMESE_LETTERS = _vietnamese_letters()
"""All letters of Vietnamese text in both cases, f j w z included, each one NFC code point."""

VIETNAMESE_CHARSET = (
    " " + VIETNAMESE_LETTERS + "0123456789" + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" + "°–—“”‘’…•€₫×²³§"
)
"""The default charset: letters, digits, ASCII punctuation and the signs of Vietnamese documents."""


def clean(text: str) -> str:
    """Text in NFC, in which one plain space stands for every run of Unicode spaces, and none at the ends.

    A line image does not show how many spaces were typed, nor which kind, so labels must not either.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def readable(text: str) -> str:
    """Text in which a replacement character stands for each byte that was no UTF-8 (a surrogate escape)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def control_characters(text: str) -> list[str]:
    """The control, format and unassigned characters in `text`, white space aside, in order of appearance.

    Halves of characters (lone surrogates), which JSON can hold and no file can, are among them.
    """
    if text.isprintable():  # nearly all are, and to ask for each character's category takes long
        return []
    return [char for char in text if unicodedata.category(char) in _STRANGE and not char.isspace()]


def describe_character(char: str) -> str:
    """A character as an error names it: `'ß' (U+00DF LATIN SMALL LETTER SHARP S)`."""
    return f"{char!r} (U+{ord(char):04X} {unicodedata.name(char, 'unnamed')})"


@dataclass(frozen=True)
class UnknownCharacter:
    """A character that the charset lacks, how often it occurs, and where it was met first."""

    char: str
    count: int
    first_location: str

    def __str__(self) -> str:
        return f"{describe_character(self.char)}, {self.count} ×, first in {self.first_location}"


def charset_fault(characters: object) -> str:
    """Why a value cannot be the characters of a model, or nothing.

    Line breaks, tabs and other control characters stand in no line, and in the rows of a file they would be
    taken for the ends of columns and rows.
    """
    if not isinstance(characters, str):
        return f"its charset is no text, but {characters!r:.40}"
    if wrong := [char for char in dict.fromkeys(characters) if unicodedata.category(char) in _NO_SIGNS]:
        return f"its charset holds {', '.join(map(describe_character, wrong[:4]))}"
    return ""


def one_row(text: str) -> str:
    r"""Text in which characters that would end a row or a column are written as escapes: `\t`, `\u2028`."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _NO_SIGNS else char
        for char in text
    )


class Charset:
    """An ordered set of characters; character i has class i + 1, class 0 is the blank.

    Args:
        characters: The characters, each once, each one NFC code point.

    Raises:
        DataError: A character stands twice, or the text is not NFC.
    """

    def __init__(self, characters: str = VIETNAMESE_CHARSET) -> None:
        twice = [char for char, count in Counter(characters).items() if count > 1]
        if twice:
            raise DataError(
                f"The charset lists {', '.join(map(describe_character, twice))} more than once.",
                "List every character once.",
            )
        if unicodedata.normalize("NFC", characters) != characters:
            raise DataError(
                "The charset is not in Unicode form NFC.", "Write precomposed letters: `ế`, not `e` + marks."
            )
        self.characters = characters
        self._class_of = {char: index for index, char in enumerate(characters, start=1)}

    def __len__(self) -> int:
        """The number of characters; the model has one class more."""
        return len(self.characters)

    def __contains__(self, char: object) -> bool:
        return char in self._class_of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and other.characters == self.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    @property
    def classes(self) -> int:
        """The number of classes C, the blank included."""
        return len(self.characters) + 1

    @property
    def space_class(self) -> int:
        """The class of the space; 0: the charset has none."""
        return self._class_of.get(" ", 0)

    def encode(self, text: str) -> list[int]:
        """Class numbers of a cleaned text, each 1..C-1.

        Raises:
            DataError: A character is not in the charset; each is named with its code point.
        """
        try:
            return [self._class_of[char] for char in text]
        except KeyError:
            missing = ", ".join(describe_character(char) for char in dict.fromkeys(text) if char not in self)
            raise DataError(
                f"Not in the charset: {missing} in {text!r}.",
                "Set `charset.unknown` to skip-line, replace or extend, or correct the label.",
            ) from None

    def decode(self, classes: Iterable[int]) -> str:
        """The text of class numbers; blanks are dropped, repeats are kept (merging is the decoder's work)."""
        return "".join(self.characters[index - 1] for index in classes if index > 0)

    def unknown(self, lines: Iterable[tuple[str, str]]) -> list[UnknownCharacter]:
        """What the charset lacks in (location, text) pairs, the most frequent first."""
        counts: Counter[str] = Counter()
        first: dict[str, str] = {}
        for location, text in lines:
            for char in text:
                if char not in self._class_of:
                    counts[char] += 1
                    first.setdefault(char, location)
        return [UnknownCharacter(char, count, first[char]) for char, count in counts.most_common()]

    def extended(self, characters: Sequence[str]) -> Charset:
        """A charset with `characters` appended; the classes of the old ones stay as they are."""
        return Charset(
            self.characters + "".join(char for char in dict.fromkeys(characters) if char not in self)
        )

    def apply(self, text: str, policy: UnknownPolicy, replacement: str = "") -> str | None:
        """`text` as the policy wants it: unchanged, without its unknown characters, or None to skip the line.

        Raises:
            DataError: The policy is `error` (or `extend`, whose characters should be known by now).
        """
        if all(char in self._class_of for char in text):
            return text
        if policy == "skip-line":
            return None
        if policy == "replace":
            return clean("".join(char if char in self else replacement for char in text)) or None
        self.encode(text)
        raise AssertionError("encode() should have refused the text")


def text_files(paths: Iterable[Path], remedy: str) -> list[Path]:
    """Lists files as they are given, folders searched for *.txt.

    Args:
        paths: Files and folders.
        remedy: What the user can do, where there is no text.

    Raises:
        DataError: A path is missing, or a folder holds no *.txt file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(
                file for file in path.rglob("*.txt") if file.is_file() and not file.name.startswith(".")
            )
            if not found:
                raise DataError(f"{path} holds no *.txt file.", remedy)
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"No text at {path}.", remedy)
    return files
