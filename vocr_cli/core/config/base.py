"""The base of all settings: what no section of a config takes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

_LARGEST = (1 << 63) - 1
"""What numpy and torch take for a whole number."""


class Settings(BaseModel):
    """Base of all settings: frozen; unknown keys, and numbers that are not finite or that large, refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=False, allow_inf_nan=False
    )

    @field_validator("*", mode="after")
    @classmethod
    def _not_too_large(cls, value: Any) -> Any:
        if isinstance(value, int) and value > _LARGEST:
            raise ValueError(f"a whole number of at most {_LARGEST:,}, not {value:.0e}")
        return value
