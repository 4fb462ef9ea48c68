"""The options by which lines are read, the same ones in validation as in use."""

from __future__ import annotations

from vocr_cli.core.decoding.greedy import DecodeOptions
from vocr_cli.core.text import Charset

LEADERS = " .·…-–_"
"""Characters that may go on as long as they like: forms lead the eye with them."""


def reading_options(charset: Charset, specials: int) -> DecodeOptions:
    """Returns how lines are read, in validation as in use; `specials` classes stand before the charset's."""
    leaders = charset.encode("".join(char for char in LEADERS if char in charset))
    return DecodeOptions(specials=specials, leaders=frozenset(number - 1 + specials for number in leaders))
