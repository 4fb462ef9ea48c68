"""How a line image becomes what a model takes. Loads neither pydantic nor torch: reading starts with this.

The limits stand in the annotations as `annotated_types` has them, which pydantic enforces where `ImageConfig`
is a section of a config, and `ImageConfig.parse` where a model's file describes itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, MultipleOf


@dataclass(frozen=True)
class Description:
    """What a setting means, in its annotation; part of the JSON Schema that pydantic makes."""

    text: str

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Adds the description to the schema of the setting."""
        return {**handler(schema), "description": self.text}


@dataclass(frozen=True)
class ImageConfig:
    """How a line image becomes a tensor; saved inside every model file.

    Raises:
        ValueError: A value is out of its range, or of another type.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    height_px: Annotated[
        int, Ge(16), Le(128), MultipleOf(8), Description("Every line is scaled to this height.")
    ] = 40
    channels: Annotated[Literal[1, 3], Description("1: grey, 3: RGB.")] = 1
    min_width_px: Annotated[int, Ge(8), Description("Narrower lines are stretched to this width.")] = 32
    max_width_px: Annotated[
        int, Ge(64), Description("Wider lines are squeezed to this width and flagged.")
    ] = 2400
    width_multiple_px: Annotated[
        int,
        Ge(1),
        Description("Widths are rounded up to a multiple, so that exact-width batches fill."),
    ] = 8
    stretch: Annotated[
        float,
        Ge(0.25),
        Le(4),
        Description(
            "Lines are made so many times as wide: dense writing needs more columns than characters."
        ),
    ] = 1.0
    resample: Annotated[Literal["bilinear", "bicubic", "lanczos"], Description("Pillow's filter.")] = (
        "bilinear"
    )
    polarity: Annotated[
        Literal["as-is", "dark-on-light"],
        Description("dark-on-light: a line whose ground is darker than its ink is inverted."),
    ] = "dark-on-light"

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            _check(name, getattr(self, name), hint)
        object.__setattr__(self, "stretch", float(self.stretch))  # 1 and 1.0 are written alike

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> ImageConfig:
        """Makes the settings that a model's file describes.

        Args:
            values: By name; what is missing has its default.

        Raises:
            ValueError: A name is unknown, a value is of another type or out of its range.
        """
        if unknown := [name for name in values if name not in _hints()]:
            raise ValueError(f"image.{unknown[0]} is unknown")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the values by name, as JSON has them."""
        return asdict(self)

    def to_json(self) -> str:
        """Returns the values as one compact JSON object, in the order of the settings."""
        return json.dumps(asdict(self), separators=(",", ":"))


@cache
def _hints() -> dict[str, Any]:
    """The annotations of the settings, limits included."""
    hints = get_type_hints(ImageConfig, include_extras=True)
    return {field.name: hints[field.name] for field in fields(ImageConfig)}


def _check(name: str, value: Any, hint: Any) -> None:
    """Refuses a value that its annotation does not allow."""
    kind, *limits = get_args(hint)
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise ValueError(f"image.{name} is {value!r}, not one of {get_args(kind)}")
        return
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise ValueError(f"image.{name} is {value!r}, no {kind.__name__}")
    number: Any = value
    for limit in limits:
        if isinstance(limit, Ge) and not number >= limit.ge:
            raise ValueError(f"image.{name} is {value}, less than {limit.ge}")
        if isinstance(limit, Le) and not number <= limit.le:
            raise ValueError(f"image.{name} is {value}, more than {limit.le}")
        if isinstance(limit, MultipleOf) and number % limit.multiple_of:
            raise ValueError(f"image.{name} is {value}, no multiple of {limit.multiple_of}")
