"""How a line image becomes what a model takes. Loads neither pydantic nor torch: reading starts with this.

The limits stand in the annotations: pydantic enforces them where `ImageConfig` is a section of a config, and
the class itself wherever it is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

_WIDEST = 1_000_000  # px


@dataclass(frozen=True)
class Setting:
    """What a setting means, and which numbers it takes; stands in its annotation, where pydantic asks for it.

    Attributes:
        description: A sentence.
        ge: The least value.
        le: The greatest value.
        multiple_of: Values are multiples of it.
    """

    description: str
    ge: float | None = None
    le: float | None = None
    multiple_of: int | None = None

    def limits(self) -> dict[str, float]:
        """The limits by the names that pydantic gives them."""
        named = {"ge": self.ge, "le": self.le, "multiple_of": self.multiple_of}
        return {name: limit for name, limit in named.items() if limit is not None}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Adds the limits to what pydantic checks."""
        return {**handler(source), **self.limits()}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        """Adds the description to what pydantic says of the setting."""
        return {**handler(schema), "description": self.description}


@dataclass(frozen=True)
class ImageConfig:
    """How a line image becomes a tensor; saved inside every model file.

    Raises:
        ValueError: A value is out of its range, or of another type.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    height_px: Annotated[
        int,
        Setting(
            "Every line is scaled to this height; for family ctc a multiple of 8 from 16 to 128.",
            ge=8,
            le=1024,
        ),
    ] = 40
    channels: Annotated[Literal[1, 3], Setting("1: grey, 3: RGB.")] = 1
    min_width_px: Annotated[int, Setting("Narrower lines are stretched to this width.", ge=8, le=_WIDEST)] = (
        32
    )
    max_width_px: Annotated[
        int, Setting("Wider lines are squeezed to this width and flagged.", ge=64, le=_WIDEST)
    ] = 2400
    width_multiple_px: Annotated[
        int,
        Setting("Widths are rounded up to a multiple, so that exact-width batches fill.", ge=1, le=_WIDEST),
    ] = 8
    stretch: Annotated[
        float,
        Setting("Lines are made so many times as wide: dense writing needs more columns.", ge=0.25, le=4),
    ] = 1.0
    resample: Annotated[Literal["bilinear", "bicubic", "lanczos"], Setting("Pillow's filter.")] = "bilinear"
    polarity: Annotated[
        Literal["as-is", "dark-on-light"],
        Setting("dark-on-light: a line whose ground is darker than its ink is inverted."),
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
    kind, setting = get_args(hint)
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise ValueError(f"image.{name} is {value!r}, not one of {get_args(kind)}")
        return
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise ValueError(f"image.{name} is {value!r}, no {kind.__name__}")
    number: Any = value
    if setting.ge is not None and not number >= setting.ge:
        raise ValueError(f"image.{name} is {number}, less than {setting.ge}")
    if setting.le is not None and not number <= setting.le:
        raise ValueError(f"image.{name} is {number}, more than {setting.le}")
    if setting.multiple_of is not None and number % setting.multiple_of:
        raise ValueError(f"image.{name} is {number}, no multiple of {setting.multiple_of}")
