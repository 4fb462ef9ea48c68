"""Errors in settings, in words: where the setting stands, what is wrong, and the nearest known key."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from pydantic.fields import FieldInfo

from vocr_cli.core.config.families import UNKNOWN_FAMILY, ModelConfig, Settings, family_of

_KINDS = {"tuple_type": "a list: [a, b]", "string_type": "a text"}
"""What pydantic calls by the names of Python's types."""

_NO_SECTION = ("model_type", "model_attributes_type", "dataclass_type")
"""Errors of a value where a section of settings belongs."""


def explain(item: Any, root: type[Settings], tree: dict[str, Any]) -> str:
    """One of pydantic's errors in words.

    Args:
        item: The error.
        root: The class of the settings that it was found in.
        tree: The settings as they were given; they tell the family of the model.
    """
    path = ".".join(map(str, item["loc"]))
    if item["type"] == UNKNOWN_FAMILY:
        return f"`{path}.family`: {item['msg']}"
    if item["type"] in _NO_SECTION and path:
        names = ", ".join(_keys_at(item["loc"], root, tree))
        return f"`{path}` takes settings, not {str(item['input'])[:40]!r}; known here: {names}"
    if item["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):  # of a model, of a dataclass
        return _in_words(path, item["type"], item["msg"])
    known = _keys_at(item["loc"][:-1], root, tree)
    near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
    return f"unknown key `{path}`, {hint}"


def height_fault(model: ModelConfig, height_px: int) -> str:
    """Why models of a family take no lines of a height; empty: they do."""
    heights = model.HEIGHTS_PX
    if height_px in heights:
        return ""
    several = f"a multiple of {heights.step}" if heights.step > 1 else "a whole number"
    return f"`image.height_px` must be {several} from {heights[0]} to {heights[-1]}, not {height_px}"


def _in_words(path: str, kind: str, message: str) -> str:
    """One of pydantic's messages as a clause about the setting."""
    if kind == "missing":
        return f"`{path}` is missing"
    if kind in _KINDS and path:
        return f"`{path}` must be {_KINDS[kind]}"
    if not path:  # of the tree as a whole: the message names the settings
        return message.removeprefix("Value error, ")
    if message.startswith("Input should "):
        return f"`{path}` must {message.removeprefix('Input should ')}"
    return f"`{path}`: {message.removeprefix('Value error, ')}"


def _keys_at(location: tuple[Any, ...], root: type[Settings], tree: dict[str, Any]) -> list[str]:
    settings: Any = root
    for key in location:
        if isinstance(key, int):
            continue
        field = next((f for n, f in _fields_of(settings).items() if key in (n, f.alias)), None)
        sections = [] if field is None else _sections_in(field.annotation)
        if not sections:
            return []
        settings = (family_of(tree["model"]) if sections[0] is ModelConfig else None) or sections[0]
    return [field.alias or name for name, field in _fields_of(settings).items()]


def _fields_of(section: Any) -> dict[str, FieldInfo]:
    """The fields of a section by name; those of a dataclass as pydantic sees them."""
    if issubclass(section, Settings):
        return section.model_fields
    return {field.name: FieldInfo(annotation=None) for field in dataclasses.fields(section)}


def _sections_in(annotation: Any) -> list[type]:
    """The classes of settings in a type such as `tuple[SourceConfig, ...]`."""
    inner = getattr(annotation, "__args__", ())
    if inner:
        return [section for part in inner for section in _sections_in(part)]
    is_section = isinstance(annotation, type) and (
        issubclass(annotation, Settings) or dataclasses.is_dataclass(annotation)
    )
    return [annotation] if is_section else []
