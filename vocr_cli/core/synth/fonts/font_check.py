"""Does a font face really draw Vietnamese? Judged by its pictures, not by its tables.

A font may list a letter and draw an empty box, the bare letter, or a neighbour's marks: rendered lines would
then teach wrong labels. So every letter is drawn once, and the pictures are compared.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.text import VIETNAMESE_LETTERS

CHECK_VERSION = 2
"""Raised with every change of the rules, so that stored verdicts are thrown away."""

_EM_PX = 48
_SIDE_PX = 160
_ORIGIN = (48, 104)  # px, where the baseline begins in each picture
_MIN_DIFFERENCE_PX = 5.0  # ink, in whole pixels at 48 px: less is gone at the size of a text line
_MAX_RISE_PX, _MAX_DROP_PX, _MAX_ASIDE_PX = 36, 20, 20  # 0.75, 0.42 and 0.42 em beyond the bare letter
_MAX_HORN_PX = 8  # a letter without a mark above reaches no higher than this beyond the bare one
_ADVANCES = (0.7, 1.6)  # advance of a marked letter over that of the bare one
_NEEDED = VIETNAMESE_LETTERS + "0123456789" + ".,:;-/()"
_ABSENT = "\uffff"  # no font has this: what is drawn is the face's own sign for "missing"
_DOT_BELOW = "\u0323"
_MARKS_ABOVE = set("\u0300\u0301\u0302\u0303\u0306\u0309")


@dataclass(frozen=True)
class Verdict:
    """What a face is, what it cannot draw, and why it is refused, if it is."""

    family: str
    style: str
    missing: str
    """Characters of the charset that the face lacks or whose label its picture would belie."""
    refusal: str
    """Empty for a face that can be used."""


def check_face(path: Path, index: int, characters: str) -> Verdict:
    """Draws what a face must and may cover, `characters` and all Vietnamese letters.

    A face without lower case (its `g` and `p` have no descender) is accepted for capitals: its lower-case
    letters count as missing. Letters that differ in marks alone must differ visibly in their pictures.
    """
    try:
        font = ImageFont.truetype(str(path), _EM_PX, index=index, layout_engine=ImageFont.Layout.BASIC)
        family, style = font.getname()
    except (OSError, ValueError) as error:
        return Verdict(path.stem, "", "", f"cannot be opened: {error}")
    name = (family or path.stem, style or "Regular")
    try:
        absent = _picture(font, _ABSENT)
        for char in "aẵỘưđ":  # most fonts without Vietnamese fail here, at little cost
            if not _drawn(_picture(font, char), absent):
                return Verdict(*name, "", f"no '{char}'")
        pictures = {char: _picture(font, char) for char in dict.fromkeys(_NEEDED + characters)}
        missing = [char for char, picture in pictures.items() if char != " " and not _drawn(picture, absent)]
        refusal = _refusal(font, pictures, missing)
    except (OSError, ValueError, MemoryError) as error:
        return Verdict(*name, "", f"cannot be drawn: {error}")
    if not refusal and _capitals_only(pictures):
        missing += [char for char in characters if char.islower()]
    return Verdict(*name, "".join(missing), refusal)


def _picture(font: ImageFont.FreeTypeFont, char: str) -> np.ndarray:
    """(160, 160) uint8, ink 255, the letter standing on _ORIGIN."""
    image = Image.new("L", (_SIDE_PX, _SIDE_PX))
    ImageDraw.Draw(image).text(_ORIGIN, char, font=font, fill=255, anchor="ls")
    return np.asarray(image)


def _drawn(picture: np.ndarray, absent: np.ndarray) -> bool:
    return bool(picture.any()) and not np.array_equal(picture, absent)


def _refusal(font: ImageFont.FreeTypeFont, pictures: dict[str, np.ndarray], missing: list[str]) -> str:
    """The reason to refuse a face, or nothing."""
    needed = [char for char in missing if char in _NEEDED]
    if needed:
        more = f" and {len(needed) - 3} more" if len(needed) > 3 else ""
        return "no " + ", ".join(f"'{char}'" for char in needed[:3]) + more
    return _alike(pictures) or _absurd(font, pictures)


def _alike(pictures: dict[str, np.ndarray]) -> str:
    """Names the two letters of one base that look most alike, if nobody could tell them apart."""
    closest = (_MIN_DIFFERENCE_PX, "", "")
    for letters in _families().values():
        stack = np.stack([pictures[letter] for letter in letters]).reshape(len(letters), -1)
        stack = stack[:, stack.any(axis=0)].astype(np.float32) / 255
        for index, letter in enumerate(letters):
            differences = np.abs(stack[:index] - stack[index]).sum(axis=1)
            if index and differences.min() < closest[0]:
                closest = (float(differences.min()), letters[int(differences.argmin())], letter)
    return f"'{closest[1]}' and '{closest[2]}' look the same" if closest[1] else ""


def _families() -> dict[str, list[str]]:
    """Letters that differ in marks alone, by their bare letter; đ counts as a marked d."""
    families: dict[str, list[str]] = {}
    for letter in VIETNAMESE_LETTERS:
        families.setdefault(_bare(letter), []).append(letter)
    return {bare: letters for bare, letters in families.items() if len(letters) > 1}


def _bare(letter: str) -> str:
    return {"đ": "d", "Đ": "D"}.get(letter, unicodedata.normalize("NFD", letter)[0])


def _absurd(font: ImageFont.FreeTypeFont, pictures: dict[str, np.ndarray]) -> str:
    """Names a letter whose marks stand far off, sink into it, or bring another letter's width."""
    boxes = {
        letter: Image.fromarray(pictures[letter]).getbbox() or (0, 0, 0, 0) for letter in VIETNAMESE_LETTERS
    }
    for letter in VIETNAMESE_LETTERS:
        bare = _bare(letter)
        if letter == bare or bare in "iI":  # an i loses its dot, an I is as narrow as a mark
            continue
        left, top, right, bottom = (int(edge) for edge in np.subtract(boxes[letter], boxes[bare]))
        if -top > _MAX_RISE_PX or bottom > _MAX_DROP_PX or max(-left, right) > _MAX_ASIDE_PX:
            return f"the marks of '{letter}' stand far from it"
        marks = set(unicodedata.normalize("NFD", letter)) - {bare}
        if (top >= 0) if marks & _MARKS_ABOVE else (marks == {_DOT_BELOW} and top < -_MAX_HORN_PX):
            return f"the mark of '{letter}' is not in its place"
        advance = font.getlength(letter) / max(font.getlength(bare), 1)
        if not _ADVANCES[0] <= advance <= _ADVANCES[1]:
            return f"'{letter}' is {advance:.1f} times as wide as '{bare}'"
    return ""


def _capitals_only(pictures: dict[str, np.ndarray]) -> bool:
    """Whether small letters are drawn as (small) capitals: then no `g` or `p` hangs below the line."""
    below = _ORIGIN[1] + _EM_PX // 12
    return not any(pictures[letter][below:].any() for letter in "gp")
