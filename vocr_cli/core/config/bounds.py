"""Sizes of models that could be built; beyond them a number is a slip, or shall take all memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)

_MOST, _MOST_LAYERS = 1 << 16, 1_000


def within_bounds(model: _Model) -> _Model:
    """Gives the settings of a model back.

    Raises:
        ValueError: A number among them is larger than any size of a model.
    """
    for name, value in _numbers(model.model_dump()):
        most = _MOST_LAYERS if "layers" in name or "blocks" in name else _MOST
        if value > most:
            raise ValueError(f"{name} is {value:,}, more than {most:,}")
    return model


def refuse_uneven_heads(heads: int, name: str, width: int) -> None:
    """Raises ValueError where the width of a transformer cannot be parted among its heads."""
    if width % heads:
        raise ValueError(f"heads must divide {name}: {width} cannot be parted among {heads}")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number within settings, and the dotted name of the setting that it belongs to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int | float):
        yield name, value
