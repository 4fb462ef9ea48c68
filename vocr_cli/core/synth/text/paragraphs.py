"""Text files in memory, and the pieces cut out of them."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from random import Random

import numpy as np

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import MAX_TEXT_BYTES, read_within

MAX_CHARACTERS = 150
TEXT_REMEDY = (
    "Give UTF-8 text files with one paragraph a line, or leave the text out to use the built-in generator."
)


class TextFile:
    """One file in memory as bytes and offsets: cheap to pickle, and shared by forked workers.

    Raises:
        DataError: The file is unreadable, not UTF-8 or empty.
    """

    def __init__(self, path: Path) -> None:
        try:
            content = read_within(path, MAX_TEXT_BYTES).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path} cannot be read as UTF-8 text: {reason_of(error)}.", TEXT_REMEDY
            ) from None
        if not unicodedata.is_normalized("NFC", content):
            content = unicodedata.normalize("NFC", content)
        self._bytes = content.replace("\r", "\n").encode()
        breaks = np.flatnonzero(np.frombuffer(self._bytes, np.uint8) == ord("\n"))
        starts = np.concatenate(([0], breaks + 1))
        ends = np.append(breaks, len(self._bytes))
        filled = ends > starts
        self._starts, self._ends = starts[filled], ends[filled]
        if not len(self._starts) or not content.strip():
            raise DataError(f"{path} holds no text.", TEXT_REMEDY)
        self.weight = math.sqrt(len(self._bytes))
        self._counts: np.ndarray | None = None
        self._is_entries = self._joins = False
        self._look_for_entries()

    def _look_for_entries(self) -> None:
        """Sets what kind of file this is from a sample of up to 400 lines."""
        sample = [self._row(index) for index in range(0, len(self._starts), max(1, len(self._starts) // 400))]
        entries = [row.partition("\t")[0].strip() for row in sample]
        if sum(_count(row) > 0 for row in sample) >= 0.9 * len(sample):
            counts = [_count(self._row(index)) for index in range(len(self._starts))]
            self._counts = np.cumsum(np.log(np.array(counts, float) + 1.5))
        lengths = sorted(map(len, entries))
        self._is_entries = self._counts is not None or (lengths[len(lengths) // 2] < 60 and lengths[-1] < 130)
        spaced = sum(" " in entry for entry in entries)
        self._joins = self._is_entries and spaced < 0.2 * len(entries)

    def _row(self, index: int) -> str:
        return self._bytes[self._starts[index] : self._ends[index]].decode()

    def piece(self, dice: Random) -> str:
        """A window of a paragraph, one entry, or a few one-word entries joined."""
        if self._joins:
            return " ".join(self._entry(dice) for _ in range(few_words(dice)))
        if self._is_entries:
            return self._entry(dice)
        if dice.random() < 0.3:  # every paragraph alike: headings and list items count
            index = dice.randrange(len(self._starts))
            return _window(self._near(index, int(self._starts[index])), dice)
        at = dice.randrange(len(self._bytes))  # every character alike: running text counts
        return _window(self._near(min(int(np.searchsorted(self._ends, at)), len(self._ends) - 1), at), dice)

    def _near(self, index: int, at: int) -> str:
        """A paragraph, or of an overlong one the whole words within 2,000 bytes of position `at`."""
        start, end = int(self._starts[index]), int(self._ends[index])
        left, right = max(start, at - 2000), min(end, max(start, at) + 2000)
        text = self._bytes[left:right].decode(errors="ignore")
        if left > start:
            text = text[text.find(" ") + 1 :]
        return text if right == end or " " not in text else text[: text.rfind(" ")]

    def _entry(self, dice: Random) -> str:
        if self._counts is None:
            index = dice.randrange(len(self._starts))
        else:
            index = int(np.searchsorted(self._counts, dice.random() * self._counts[-1]))
        return self._row(index).partition("\t")[0]


def _count(row: str) -> int:
    """The number after the first tab of a row, else 0."""
    parts = row.split("\t", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].strip().isdecimal() else 0


def few_words(dice: Random) -> int:
    """How many words stand together: 1..12, few words more often."""
    return min(dice.randint(1, 12), dice.randint(1, 12))


def _target(dice: Random) -> int:
    """A length in characters: 10 % of 1-2 words, 35 % short, 40 % middling, 13 % long, 2 % very long."""
    share = dice.random()
    if share < 0.10:
        return 0
    if share < 0.45:
        return dice.randint(10, 35)
    if share < 0.85:
        return dice.randint(35, 80)
    return dice.randint(80, 110) if share < 0.98 else dice.randint(110, MAX_CHARACTERS)


def _window(paragraph: str, dice: Random) -> str:
    """A run of whole words of about a random target length."""
    target = _target(dice)
    if target and len(paragraph) <= target:
        return paragraph
    start = 0
    if dice.random() > 0.15:
        start = paragraph.rfind(" ", 0, dice.randint(1, max(1, len(paragraph) - target))) + 1
    if target == 0:
        return " ".join(paragraph[start : start + 60].split(" ")[: dice.randint(1, 2)])
    if start + target >= len(paragraph):
        return paragraph[start:]
    end = paragraph.rfind(" ", start, start + target + 1)
    return paragraph[start : end if end > start else start + target]
