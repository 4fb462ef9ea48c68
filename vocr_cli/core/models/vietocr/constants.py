"""What all models of the `vietocr` family agree on: classes, the default charset, the image settings.

Classes: 0 padding, 1 start, 2 end, in newer files 3 for a masked character, then the characters in order.
"""

from __future__ import annotations

import unicodedata

from vocr_cli.core.config.families import VietocrConfig as VietocrConfig
from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.text import TONE_MARKS

PAD, SOS, EOS = 0, 1, 2
"""Classes that are no characters."""


def _default_characters() -> str:
    """Letters by base, each untoned then with huyền, hỏi, ngã, sắc, nặng, small before capital."""
    vowels = {"a": "aăâ", "e": "eê", "i": "i", "o": "oôơ", "u": "uư", "y": "y"}
    small: list[str] = []
    for base in "abcdefghijklmnopqrstuvwxyz":
        for letter in vowels.get(base, base):
            small.append(letter)
            if base in vowels:
                small += [unicodedata.normalize("NFC", letter + tone) for tone in TONE_MARKS]
        small += ["đ"] if base == "d" else []
    letters = "".join(letter + letter.upper() for letter in small)
    return letters + "0123456789" + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "


VIETOCR_CHARACTERS = _default_characters()
"""The 229 characters of VietOCR's default `vocab`, in its order."""

VIETOCR_IMAGE = ImageConfig.parse(VietocrConfig.IMAGE)
"""VietOCR's default image settings."""
