"""Which characters may be read. C classes."""

from __future__ import annotations

import math
import unicodedata

import numpy as np

from vocr_cli.core.errors import DataError
from vocr_cli.core.text import Charset, describe_character


def class_mask(charset: Charset, allow: str, deny: str) -> np.ndarray | None:
    """(C,) float32: 0 for no character and for what may be read, else -inf; None: there are no limits.

    Raises:
        DataError: A character of `allow` is not in the charset, or none is left to read.
    """
    if not allow and not deny:
        return None
    allowed = unicodedata.normalize("NFC", allow) or charset.characters
    lacking = [describe_character(char) for char in dict.fromkeys(allowed) if char not in charset]
    if lacking:
        raise DataError(
            f"The model cannot read {', '.join(lacking)}.", "Allow only characters that it can read."
        )
    readable = set(allowed) - set(unicodedata.normalize("NFC", deny))
    if not readable:
        raise DataError("What is allowed and denied leaves no character to read.", "Deny fewer characters.")
    blocked = [char not in readable for char in charset.characters]
    return np.where([False, *blocked], -math.inf, 0).astype(np.float32)
