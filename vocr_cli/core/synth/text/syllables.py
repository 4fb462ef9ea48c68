"""Every syllable that Vietnamese orthography allows: onset × rhyme × tone, attested or not."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from typing import Literal

from vocr_cli.core.text import TONE_MARKS, VOWELS

MarkStyle = Literal["old", "new"]

_ONSETS = "b ch d đ g gi h k kh l m n ng nh p ph r s t th tr v x".split()
_LABIALS = {"b", "m", "p", "ph", "v"}

_OPEN = "a e ê i o ô ơ u ư ia ua ưa ai ao au ay âu ây eo êu iu oi ôi ơi ui ưi ưu iêu uôi ươi ươu".split()
_NASAL = (
    "am ăm âm em êm im om ôm ơm um ưm iêm uôm ươm an ăn ân en ên in on ôn ơn un ưn iên uôn ươn "
    "ang ăng âng eng ong oong ông ơng ung ưng iêng uông ương anh ênh inh"
).split()
_STOP = (
    "ap ăp âp ep êp ip op ôp ơp up ưp iêp uôp ươp at ăt ât et êt it ot ôt ơt ut ưt iêt uôt ươt "
    "ac ăc âc ec oc ooc ôc uc ưc iêc uôc ươc ach êch ich"
).split()
_GLIDED = (
    "oa oe uê uơ uy oai oao oay oeo uây uya uyu oam oăm oem oan oăn oen uân uên uyn uyên "
    "oang oăng uâng oanh uênh uynh oap oăp uyp oat oăt oet uât uêt uyt uyêt oac oăc oach uêch uych"
).split()
_AFTER_QU = (
    "a e ê i y ơ ai ao au ay âu ây eo êu ôi ơi yu am ăm âm em an ăn ân en ên in on ơn yên iên "
    "ang ăng âng eng ênh inh ynh anh ông ap ăp ep at ăt ât et êt it yt ơt iêt yêt ac ăc ôc ach êch ich ych"
).split()
_AFTER_GI = "i in iên iêng iêm iêp iêt iêc".split()  # the two i's become one: giếng, gìn, giết
_LOANS = {
    ("b", "uyt"),
    ("b", "oa"),
    ("p", "oa"),
    ("ph", "uy"),
    ("v", "oan"),
    ("v", "oa"),
    ("m", "oay"),
    ("t", "uyp"),
}
_Y_AFTER = {"h", "k", "l", "m", "s", "t", "v"}  # hy vọng, lý do; the spelling with i is legal as well


def place_tone(rhyme: str, tone: str, style: MarkStyle = "old") -> str:
    """Puts a tone mark on the letter of a rhyme that carries it.

    Args:
        rhyme: Lower case, without the onset; after `qu` and `gi` without their vowel: `oa`, `uyên`.
        tone: One of TONE_MARKS, or "" for the level tone.
        style: Where `oa`, `oe` and `uy` without a coda carry it: `old` hòa, thủy; `new` hoà, thuỷ.

    Returns:
        The rhyme, NFC.
    """
    at = _tone_position(rhyme, style)
    return unicodedata.normalize("NFC", rhyme[: at + 1] + tone + rhyme[at + 1 :])


def _tone_position(rhyme: str, style: MarkStyle) -> int:
    modified = [index for index, letter in enumerate(rhyme) if letter in "ăâêôơư"]
    if modified:
        return modified[-1]  # ươ: on the ơ
    vowels = sum(letter in VOWELS for letter in rhyme)
    if vowels == 1:
        return 0
    if vowels == 3 or len(rhyme) > vowels:
        return 1
    return 1 if rhyme in {"oa", "oe", "uy"} and style == "new" else 0


@functools.cache
def legal_syllables() -> tuple[str, ...]:
    """All legal syllables, lower case, NFC, sorted; both mark styles where they differ.

    Rhymes that end in a stop (p t c ch) take only the acute and the dot below.
    """
    return tuple(sorted({toned for onset, rhyme in _parts() for toned in _toned(onset, rhyme)}))


def _toned(onset: str, rhyme: str) -> Iterator[str]:
    tones = TONE_MARKS[3:] if rhyme.endswith(("p", "t", "c", "ch")) else ("", *TONE_MARKS)
    for tone in tones:
        for style in ("old", "new"):
            yield onset + place_tone(rhyme, tone, style)


def _parts() -> Iterator[tuple[str, str]]:
    """Spelt onsets and rhymes; `qu` is an onset, `gi` + `i…` is `g` + `i…`."""
    yield from (("qu", rhyme) for rhyme in _AFTER_QU)
    yield from (("g", rhyme) for rhyme in _AFTER_GI)
    yield from _LOANS
    yield from (("", "y" + rhyme[1:]) for rhyme in ("i", "iêm", "iên", "iêng", "iêt", "iêu"))
    for rhyme in (*_OPEN, *_NASAL, *_STOP):
        if not rhyme.startswith("iê"):
            yield "", rhyme
        for onset in _ONSETS:
            if onset == "gi" and rhyme[0] in "iy":
                continue
            yield _spelt(onset, rhyme), rhyme
    for onset in _Y_AFTER:
        yield onset, "y"
    for rhyme in _GLIDED:
        yield "", rhyme
        # A labial has no glide after it; k and a glide are spelt qu; gi has none.
        yield from ((onset, rhyme) for onset in _ONSETS if onset not in _LABIALS | {"k", "gi"})


def _spelt(onset: str, rhyme: str) -> str:
    front = rhyme[0] in "eêi"
    if onset == "k":
        return "k" if front else "c"
    return onset + "h" if front and onset in {"g", "ng"} else onset
