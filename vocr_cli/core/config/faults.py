"""Errors in settings, in words: where the setting stands, what is wrong, and the nearest known key."""

from __future__ import annotations

import difflib
from typing import Any

from vocr_cli.core.config.families import FAMILIES, Settings


def explain(item: Any, root: type[Settings]) -> str:
    """One of pydantic's errors in words; `root` is the tree of settings that it was found in."""
    key = ".".join(str(part) for number, part in enumerate(item["loc"]) if not _is_tag(item["loc"], number))
    if item["type"] == "union_tag_invalid":
        return f"`{key}.family`: not one of {', '.join(FAMILIES)}"
    if item["type"] != "extra_forbidden":
        return f"`{key}`: {item['msg']}"
    known = _keys_at(item["loc"][:-1], root)
    near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
    return f"unknown key `{key}`, {hint}"


def _is_tag(location: tuple[Any, ...], number: int) -> bool:
    """Whether that element of a location is the family's name, which the YAML does not have there."""
    return number == 1 and location[0] == "model" and location[1] in FAMILIES


def _keys_at(location: tuple[Any, ...], root: type[Settings]) -> list[str]:
    settings: Any = root
    for number, part in enumerate(location):
        if isinstance(part, int) or _is_tag(location, number):
            continue
        field = next((f for n, f in settings.model_fields.items() if part in (n, f.alias)), None)
        if field is None:
            return []
        found = [
            kind
            for kind in _types_in(field.annotation)
            if isinstance(kind, type) and issubclass(kind, Settings)
        ]
        if not found:
            return []
        settings = found[0]
        if part == "model" and len(location) > 1:
            settings = found[FAMILIES.index(location[1])]
    return [field.alias or name for name, field in settings.model_fields.items()]


def _types_in(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation] if not inner else [kind for part in inner for kind in _types_in(part)]
