"""The tree of settings, typed, frozen and checked, and how it is read from YAML and written to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from vocr_cli.core.config.families import COLUMN_PX as COLUMN_PX
from vocr_cli.core.config.families import AnyModel, family_of
from vocr_cli.core.config.families import CtcConfig as CtcConfig
from vocr_cli.core.config.families import Settings as Settings
from vocr_cli.core.config.faults import explain, height_fault
from vocr_cli.core.config.foreign import refuse_foreign
from vocr_cli.core.config.image import ImageConfig as ImageConfig
from vocr_cli.core.config.run import AugmentConfig as AugmentConfig
from vocr_cli.core.config.run import BatchConfig as BatchConfig
from vocr_cli.core.config.run import OptimConfig as OptimConfig
from vocr_cli.core.config.run import PrecisionConfig as PrecisionConfig
from vocr_cli.core.config.run import ScheduleConfig as ScheduleConfig
from vocr_cli.core.config.run import TrainConfig as TrainConfig
from vocr_cli.core.config.run import ValidateConfig as ValidateConfig
from vocr_cli.core.config.yaml_text import MAX_BYTES, parse_yaml, repeated_key
from vocr_cli.core.errors import ConfigError, reason_of
from vocr_cli.core.machine.files.input_file import read_within
from vocr_cli.core.text import VIETNAMESE_CHARSET, UnknownPolicy

_MOST_WEIGHT = 1_000_000


class CharsetConfig(Settings):
    """The characters that can be read, and what becomes of labels with others."""

    characters: str = Field(VIETNAMESE_CHARSET, description="Every character once, NFC.")
    unknown: UnknownPolicy = Field(
        "error",
        description="What to do with a label that holds another character; in validation it counts as it is.",
    )
    replacement: str = Field("", description="Stands for unknown characters under `replace`.")


class SynthConfig(Settings):
    """An endless source of rendered lines."""

    text: tuple[Path, ...] = Field(
        (), description="Text files or folders; empty: the built-in generator alone."
    )
    text_share: float = Field(
        0.7, ge=0, le=1, description="Share of lines cut from `text`, the rest are generated."
    )
    fonts: tuple[Path, ...] = Field((), description="Font files or folders; empty: the system's fonts.")
    font_weights: dict[str, float] = Field(
        {}, description="Weight of each family whose name contains the key (case ignored); others weigh 1."
    )
    strength: float = Field(1.0, ge=0, le=1, description="0: clean lines; 1: the full range of degradations.")
    seed: int = Field(0, ge=0, description="Same seed, same lines.")

    @field_validator("font_weights", mode="after")
    @classmethod
    def _sane(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            if not 0 <= weight <= _MOST_WEIGHT:
                raise ValueError(f"the weight of {name!r} is {weight:g}, not from 0 to {_MOST_WEIGHT:,}")
        return value


class LabelsConfig(Settings):
    """How labelled lines are read, where looking at them does not tell; as the options of the commands."""

    columns: str = Field("", description="Columns of a table: `image=NAME,text=NAME`.")
    separator: str = Field("", description="What parts columns in a text file.")
    header: bool = Field(True, description="false: the first row of a table is a line like the others.")
    split: str = Field(
        "", description="Which split of a data set; else `train` to train on, `validation` to validate on."
    )


class SourceConfig(Settings):
    """One training source: an LMDB, other labelled lines, or rendered lines."""

    lmdb: Path | None = Field(None, description="A database that `vocr build-lmdb` or VietOCR made.")
    annotations: Path | None = Field(
        None, description="Labelled lines of any other kind: a list `path<TAB>label`, a table, a folder, …"
    )
    images: Path | None = Field(
        None, description="Folder that the paths in `annotations` start from; by default the file's own."
    )
    labels: LabelsConfig = Field(LabelsConfig(), description="How `annotations` are read.")
    synth: SynthConfig | None = None
    weight: float = Field(1.0, gt=0, description="Share of the lines, relative to the other sources.")

    @model_validator(mode="after")
    def _one_kind(self) -> SourceConfig:
        if sum(kind is not None for kind in (self.lmdb, self.annotations, self.synth)) != 1:
            raise ValueError("a source is one of `lmdb: PATH`, `annotations: FILE` and `synth: {...}`")
        if self.images is not None and self.annotations is None:
            raise ValueError("`images` belongs to `annotations`")
        if self.labels != LabelsConfig() and self.annotations is None:
            raise ValueError("`labels` belongs to `annotations`")
        return self


class DataConfig(Settings):
    """The lines to train and validate on, and how they are loaded."""

    train: tuple[SourceConfig, ...] = ()
    valid: tuple[Path, ...] = Field((), description="LMDBs or other labelled lines to validate on.")
    valid_images: Path | None = Field(
        None,
        description="Folder that the paths in annotation files of `valid` start from; by default theirs.",
    )
    valid_labels: LabelsConfig = Field(LabelsConfig(), description="How those of `valid` are read.")
    workers: int = Field(2, ge=0, description="Processes that decode or render ahead.")
    cache_mb: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Memory for decoded lines of stored sources, kept from epoch to epoch: the first lines "
        "that fit. Workers share it where they are forked, else each has its part.",
    )


class Config(Settings):
    """The whole tree of a training run."""

    model: AnyModel = CtcConfig()
    image: ImageConfig = ImageConfig()
    charset: CharsetConfig = CharsetConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    batch: BatchConfig = BatchConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    train: TrainConfig = TrainConfig()
    validate_: ValidateConfig = Field(ValidateConfig(), alias="validate")
    precision: PrecisionConfig = PrecisionConfig()

    @model_validator(mode="before")
    @classmethod
    def _image_of_the_family(cls, tree: Any) -> Any:
        """Image settings that are not given are those of the family."""
        if not isinstance(tree, dict) or (family := family_of(tree.get("model", {}))) is None:
            return tree
        image = tree.get("image", {})
        return {**tree, "image": {**family.IMAGE, **image}} if isinstance(image, dict) else tree

    @model_validator(mode="after")
    def _height_of_the_family(self) -> Config:
        if fault := height_fault(self.model, self.image.height_px):
            raise ValueError(fault)
        return self


SECTIONS = frozenset(field.alias or name for name, field in Config.model_fields.items())
"""The keys at the top of a config."""


def read_tree(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds, unchecked; an empty file holds an empty one.

    Raises:
        ConfigError: The file is missing, no YAML, or no mapping.
    """
    return _read_tree(path)[0]


def _read_tree(path: Path) -> tuple[dict[str, Any], str]:
    """The mapping of a file, and its text."""
    try:
        text = read_within(path, MAX_BYTES).decode("utf-8-sig")
        tree = parse_yaml(text) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"No config at {path}.", "Write one with `vocr autoconf --data LMDB --out FILE`."
        ) from None
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {reason_of(error)}.",
            "Correct the file, or write one with `vocr autoconf`.",
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path} holds no settings.", "A config is a YAML mapping with sections such as `model:`."
        )
    return tree, text


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a YAML config and applies `a.b=c` overrides, the later ones winning.

    Raises:
        ConfigError: The file is missing, no YAML, or another program's; a key is unknown (the nearest is
            named) or stands twice, or a value is out of range.
    """
    tree, text = _read_tree(path)
    refuse_foreign(tree, str(path), SECTIONS)
    if repeated := repeated_key(text):
        key, first, second = repeated
        where = "twice" if first == second else f"in line {first}, too"
        raise ConfigError(f"{path}, line {second}: `{key}` stands {where}.", "Leave one of the two out.")
    for override in overrides:
        _set(tree, override)
    return parse_config(tree, str(path))


def with_overrides(config: Config, overrides: tuple[str, ...], origin: str) -> Config:
    """A config with `a.b=c` overrides applied, the later ones winning; `origin` names it in errors.

    Raises:
        ConfigError: A key is unknown (the nearest is named) or a value is out of range.
    """
    tree = config.model_dump(mode="json", by_alias=True)
    for override in overrides:
        _set(tree, override)
    return parse_config(tree, origin)


def parse_config(tree: dict[str, Any], origin: str) -> Config:
    """Checks a tree of settings; `origin` names it in errors.

    Raises:
        ConfigError: A key is unknown (the nearest is named) or a value is out of range.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [explain(item, Config, tree) for item in error.errors()]
        raise ConfigError(
            f"{origin}: {'; '.join(problems)}",
            "Correct these settings; `vocr inspect FILE` shows a config in full.",
        ) from None


def dump_config(config: Settings) -> str:
    """The tree as YAML, every value written out."""
    return yaml.safe_dump(
        config.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True, width=110
    )


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override} has no `=`.", "Write --set section.key=value.")
    *parents, last = key.strip().split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: `{parent}` is not a section.", "Write --set section.key=value.")
        tree = child
    try:
        tree[last] = parse_yaml(value)
    except ValueError:
        raise ConfigError(
            f"--set {key}: {value!r} is no YAML value.", "Quote it: --set 'key=\"value\"'."
        ) from None
