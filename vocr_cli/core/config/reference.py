"""All settings as data: key, type, default, limits and meaning of each, and as a JSON Schema for editors."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema
from pydantic_core import to_jsonable_python

from vocr_cli.core.config.families import FAMILIES, ModelConfig, Settings
from vocr_cli.core.config.image import ImageConfig, Setting
from vocr_cli.core.config.tree import Config
from vocr_cli.core.errors import ConfigError

_LONGEST_DEFAULT = 60  # characters; longer ones are told in part
_SCALARS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True)
class SettingFacts:
    """What is to be known of one setting; all texts for people."""

    key: str
    kind: str
    default: str
    limits: str
    meaning: str


@dataclass(frozen=True)
class SectionFacts:
    """A section of the tree, `optim` or `model.transformer`, and its own settings.

    Attributes:
        key: Where it stands in a config; `data.train[]` is each item of a list.
        title: The same, and for which family of models.
        meaning: What it is about.
        settings: Those that are no sections themselves.
    """

    key: str
    title: str
    meaning: str
    settings: tuple[SettingFacts, ...]


def all_sections() -> list[SectionFacts]:
    """Every section in the order of a config; those of the models once for each family."""
    found: list[SectionFacts] = []
    for name, field in Config.model_fields.items():
        key = field.alias or name
        if key == "model":
            for family, settings in FAMILIES.items():
                found += _sections(key, settings, f" of the family {family}")
        elif key == "image":
            found.append(_image_section())
        else:
            found += _sections(key, field.annotation, "")
    return found


def chosen_sections(keys: list[str]) -> list[SectionFacts]:
    """The sections and settings that were asked for: `optim`, `optim.lr`; all where none was.

    Raises:
        ConfigError: There is none of that name; the nearest is named.
    """
    every = all_sections()
    if not keys:
        return every
    known = [name for section in every for name in (section.key, *(item.key for item in section.settings))]
    for key in keys:
        if key not in known:
            ends = [name for name in known if name.endswith(f".{key}")]
            near = ends or difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else "`vocr config` lists all."
            raise ConfigError(f"There is no setting {key}.", hint)
    chosen = []
    for section in every:
        whole = any(section.key == key or section.key.startswith((f"{key}.", f"{key}[")) for key in keys)
        settings = tuple(item for item in section.settings if whole or item.key in keys)
        if settings:
            chosen.append(SectionFacts(section.key, section.title, section.meaning, settings))
    return chosen


def json_schema() -> dict[str, Any]:
    """A JSON Schema of a config: editors complete and check with it."""
    classes: list[type[Settings]] = [Config, *FAMILIES.values()]
    _, document = models_json_schema([(settings, "validation") for settings in classes])
    definitions = document["$defs"]
    tree = definitions.pop("Config")
    definitions.pop(ModelConfig.__name__, None)
    families = [{"$ref": f"#/$defs/{settings.__name__}"} for settings in FAMILIES.values()]
    tree["properties"]["model"] = {"anyOf": families, "description": "The model; `family` names its kind."}
    for name, settings in FAMILIES.items():
        if name != "ctc":  # the family of a section that names none
            definitions[settings.__name__]["required"] = ["family"]
    stages = definitions["PrecisionConfig"]["properties"]["recompute"]
    names = stages["items"]["enum"]
    several = {name: stages.pop(name) for name in ("type", "items")}
    stages["anyOf"] = [several, {"enum": ["off", *names]}]
    for definition in definitions.values():
        if "description" in definition:  # pydantic before 2.11 leaves out those of dataclasses
            definition["description"] = " ".join(definition["description"].split("\n\n")[0].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **tree,
        "title": "Config of vocr train",
        "$defs": definitions,
    }


def _sections(key: str, annotation: Any, suffix: str) -> Iterator[SectionFacts]:
    """A class of settings and the sections inside it, each before those that it holds."""
    settings = _settings_in(annotation)
    assert settings is not None
    own, inner = [], []
    for name, field in settings.model_fields.items():
        path = f"{key}.{name}"
        if _settings_in(field.annotation) is None:
            own.append(_facts(path, field))
        else:
            inner.append((f"{path}[]" if get_origin(field.annotation) is tuple else path, field.annotation))
    yield SectionFacts(key, key + suffix, _first_paragraph(settings), tuple(own))
    for path, annotation in inner:
        yield from _sections(path, annotation, suffix)


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The class of settings that a field holds: alone, in a list, or perhaps not at all."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _settings_in(inner))), None)


def _facts(key: str, field: FieldInfo) -> SettingFacts:
    names = ("ge", "gt", "le", "lt", "multiple_of")  # as pydantic's classes for them have it
    limits = {
        name: getattr(entry, name) for entry in field.metadata for name in names if hasattr(entry, name)
    }
    return SettingFacts(
        key, _kind(field.annotation), _yaml(field.default), _limits(limits), field.description or ""
    )


def _image_section() -> SectionFacts:
    hints, settings = get_type_hints(ImageConfig, include_extras=True), []
    for field in fields(ImageConfig):
        kind, setting = get_args(hints[field.name])
        assert isinstance(setting, Setting)
        limits = _limits(setting.limits())
        default = _yaml(field.default)
        for family, model in FAMILIES.items():
            if field.name in model.IMAGE and model.IMAGE[field.name] != field.default:
                default += f"; {family}: {_yaml(model.IMAGE[field.name])}"
        settings.append(
            SettingFacts(f"image.{field.name}", _kind(kind), default, limits, setting.description)
        )
    return SectionFacts("image", "image", _first_paragraph(ImageConfig), tuple(settings))


def _first_paragraph(settings: type) -> str:
    return " ".join((settings.__doc__ or "").split("\n\n")[0].split())


def _kind(annotation: Any) -> str:
    """The type of a setting in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if origin is Literal:
        return f"{'one of ' if len(arguments) > 1 else ''}{', '.join(map(str, arguments))}"
    if origin in (Union, types.UnionType):
        return " or ".join("null" if inner is type(None) else _kind(inner) for inner in arguments)
    if origin is dict:
        return f"{_kind(arguments[1])} by name"
    assert origin is tuple, annotation
    item = _kind(arguments[0])
    items = f"{item}s" if item in _SCALARS.values() else item.replace("2 whole", "pairs of whole")
    return f"list of {items}" if Ellipsis in arguments else f"{len(arguments)} {items}"


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(
        to_jsonable_python(value), default_flow_style=True, allow_unicode=True, width=10_000
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    if len(text) <= _LONGEST_DEFAULT:
        return text
    return f"{len(value):,} of them" if isinstance(value, tuple | list) else f"{len(value):,} characters"


def _limit(value: float) -> str:
    return f"{value:g}" if value < 1_000_000 else f"{value:,.0f}"


def _limits(limits: dict[str, Any]) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    told = [f"{sign} {_limit(limits[name])}" for name, sign in signs.items() if name in limits]
    if "multiple_of" in limits:
        told.append(f"a multiple of {limits['multiple_of']:g}")
    return ", ".join(told)
