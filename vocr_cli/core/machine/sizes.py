"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from vocr_cli.core.errors import ConfigError

_UNITS = {"": 10**9, "B": 1}
for _power, _letter in enumerate("KMGT", 1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power}


def parse_size(text: str) -> int:
    """Bytes of `8GB`, `7.5 GiB`, `800MB`; a bare number counts GB.

    Raises:
        ConfigError: It is no such size, or not above zero.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None or int(float(found[1]) * unit) < 1:
        raise ConfigError(f"{text!r} is no amount of memory.", "Write it as 8GB, 7.5GiB, 800MB, or 8 for GB.")
    return int(float(found[1]) * unit)


def show_size(count: float) -> str:
    """Bytes in GB, two decimals."""
    return f"{count / 1e9:.2f} GB"
