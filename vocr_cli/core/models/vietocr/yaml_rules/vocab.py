"""The `vocab` of a VietOCR YAML: the characters of its classes, and those to be trained."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.text import charset_fault, describe_character

_PLACEHOLDERS = range(0xE000, 0xF8FF)  # private use: no label holds them


class Vocab(NamedTuple):
    """The characters of a `vocab`.

    Attributes:
        trained: Each once, NFC, in the order of the file.
        classes: One for each class of weights that VietOCR trained with this file.
    """

    trained: str
    classes: str


def read_vocab(value: Any, origin: Path, notes: list[str]) -> Vocab:
    """Reads a `vocab`.

    VietOCR makes as many classes as there are different characters, but numbers them by their positions. So a
    character that stands twice has the class of its last position, and as many characters at the end as there
    are repetitions have none: VietOCR stops at a label that holds one.

    Args:
        value: What the file says: a text, or a list of characters.
        origin: The file.
        notes: What is changed is added here.

    Raises:
        ConfigError: It is no text, or an empty one.
    """
    if isinstance(value, list) and all(isinstance(char, str) and len(char) == 1 for char in value):
        value = "".join(value)
    if not isinstance(value, str):
        raise ConfigError(
            f"{origin}: `vocab` is {_shown(value)}, no text.", "Write all characters between quotes."
        )
    if not value:
        raise ConfigError(f"{origin}: `vocab` is empty.", "Write all characters between quotes.")
    if not unicodedata.is_normalized("NFC", value):
        notes.append("`vocab` was brought into Unicode form NFC, as labels are.")
        value = unicodedata.normalize("NFC", value)
    if (origin.parent / value).is_file() if len(value) < 200 else False:
        notes.append(f"`vocab` is taken for the characters {value!r}, as VietOCR does, not for that file.")
    if signless := [char for char in dict.fromkeys(value) if charset_fault(char)]:
        notes.append(f"`vocab` holds {', '.join(map(describe_character, signless))}: no line does, left out.")
    twice = [char for char, count in Counter(value).items() if count > 1]
    trained = "".join(char for char in dict.fromkeys(value) if char not in signless)
    classes = _classes(value, signless)
    if not twice:
        return Vocab(trained, classes)
    lost = [char for char in trained if char not in classes]
    notes.append(
        f"`vocab` repeats {', '.join(map(describe_character, twice))}, which gets one class. VietOCR numbers "
        f"classes by position and has none left for {' '.join(map(repr, lost)) or 'the last'}; here each "
        "character has its own."
    )
    return Vocab(trained, classes)


def _classes(vocab: str, signless: list[str]) -> str:
    """The characters by VietOCR's class numbers; a class that stands for none has a placeholder."""
    numbered = vocab[: len(set(vocab))]
    last = {char: position for position, char in enumerate(numbered)}
    unused = (chr(code) for code in _PLACEHOLDERS if chr(code) not in vocab)
    return "".join(
        char if last[char] == position and char not in signless else next(unused)
        for position, char in enumerate(numbered)
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
