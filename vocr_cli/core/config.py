"""The settings tree: typed, frozen, checked. YAML in and out."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.text import VIETNAMESE_CHARSET, UnknownPolicy

COLUMN_PX = 4
"""Width in px, at model height, of one output column of the `ctc` family."""


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)


class ImageConfig(Settings):
    """How a line image becomes a tensor. Saved inside every model file."""

    height_px: int = Field(
        40, ge=16, le=128, multiple_of=8, description="Every line is scaled to this height."
    )
    channels: Literal[1, 3] = Field(1, description="1: grey, 3: RGB.")
    min_width_px: int = Field(32, ge=8, description="Narrower lines are stretched to this width.")
    max_width_px: int = Field(2400, ge=64, description="Wider lines are squeezed to this width and flagged.")
    width_multiple_px: int = Field(
        8, ge=1, description="Widths are rounded up to a multiple, so that exact-width batches fill."
    )
    resample: Literal["bilinear", "bicubic", "lanczos"] = Field("bilinear", description="Pillow's filter.")
    polarity: Literal["as-is", "dark-on-light"] = Field(
        "dark-on-light", description="dark-on-light: a line whose ground is darker than its ink is inverted."
    )


class CtcConfig(Settings):
    """The `ctc` family: a 3×3 convolution trunk, a short transformer, one CTC layer."""

    family: Literal["ctc"] = "ctc"
    channels: tuple[int, int, int] = Field(
        (32, 64, 128), description="Trunk channels at 1/2, 1/4 and 1/8 of the height."
    )
    blocks: tuple[int, int, int] = Field(
        (0, 2, 1), description="Residual blocks at 1/2, 1/4 and 1/8 of the height."
    )
    hidden: int = Field(192, multiple_of=16, description="Width of the transformer.")
    column_blocks: int = Field(2, ge=0, description="Convolutions along the line before the transformer.")
    attention_layers: int = Field(1, ge=0, description="Transformer layers.")
    heads: int = Field(2, ge=1, description="Attention heads; must divide `hidden`.")
    feed_ratio: int = Field(2, ge=1, description="Feed-forward width over `hidden`.")
    dropout: float = Field(0.1, ge=0, lt=1)


class CharsetConfig(Settings):
    """What can be read."""

    characters: str = Field(VIETNAMESE_CHARSET, description="Every character once, NFC.")
    unknown: UnknownPolicy = Field(
        "error", description="What to do with a label that holds another character."
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
    seed: int = 0


class SourceConfig(Settings):
    """One training source: an LMDB or rendered lines."""

    lmdb: Path | None = None
    synth: SynthConfig | None = None
    weight: float = Field(1.0, gt=0, description="Share of the lines, relative to the other sources.")

    @model_validator(mode="after")
    def _one_kind(self) -> SourceConfig:
        if (self.lmdb is None) == (self.synth is None):
            raise ValueError("a source is either `lmdb: PATH` or `synth: {...}`")
        return self


class DataConfig(Settings):
    """Where lines come from."""

    train: tuple[SourceConfig, ...] = ()
    valid: tuple[Path, ...] = Field((), description="LMDBs to validate on.")
    workers: int = Field(2, ge=0, description="Processes that decode or render ahead.")


class AugmentConfig(Settings):
    """Changes to stored lines while training (rendered lines have their own degradations)."""

    strength: float = Field(0.5, ge=0, le=1, description="0: off.")


class BatchConfig(Settings):
    """How many lines make a step."""

    pixels: int = Field(400_000, ge=1_000, description="Lines × padded width × height, at most.")
    max_lines: int = Field(128, ge=1, description="Lines, at most.")
    bucket_px: int = Field(32, ge=1, description="Lines whose widths agree to this share a batch.")


class OptimConfig(Settings):
    """AdamW."""

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = Field(1.0, ge=0, description="0: off.")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Moving average of the weights; 0: off.")


class ScheduleConfig(Settings):
    """Learning rate over the run. Progress is the larger of steps and minutes, each over its limit."""

    name: Literal["cosine", "onecycle", "constant"] = "cosine"
    warmup_steps: int = Field(300, ge=0)
    final_lr_share: float = Field(
        0.01, ge=0, le=1, description="The rate at the end, as a share of `optim.lr`."
    )
    onecycle_peak_share: float = Field(0.1, gt=0, lt=1, description="Where OneCycle peaks (VietOCR: 0.1).")


class TrainConfig(Settings):
    """How long, and what is kept."""

    max_steps: int = Field(20_000, ge=1)
    max_minutes: float = Field(0, ge=0, description="0: no limit.")
    seed: int = 0
    log_every_steps: int = Field(20, ge=1)
    checkpoint_every_minutes: float = Field(5, gt=0)


class ValidateConfig(Settings):
    """When to look, and when to stop."""

    every_steps: int = Field(500, ge=1)
    max_lines: int = Field(2_000, ge=0, description="A fixed subset; 0: all.")
    patience: int = Field(
        0, ge=0, description="Stop after so many validations without a better CER; 0: never."
    )


class PrecisionConfig(Settings):
    """Numbers while training."""

    amp: Literal["auto", "bf16", "fp16", "off"] = Field(
        "auto", description="auto: bf16 where the hardware has it."
    )
    channels_last: bool = True


class Config(Settings):
    """The whole tree of a training run."""

    model: CtcConfig = CtcConfig()
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


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a YAML config and applies `a.b=c` overrides, the later ones winning.

    Raises:
        ConfigError: The file is missing or no YAML; a key is unknown (the nearest is named) or a value is
            out of range.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"No config at {path}.", "Write one with `vocr autoconf --data LMDB --out FILE`."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {error}", "Correct the file, or write one with `vocr autoconf`."
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path} holds no settings.", "A config is a YAML mapping with sections such as `model:`."
        )
    for override in overrides:
        _set(tree, override)
    return parse_config(tree, str(path))


def parse_config(tree: dict[str, Any], origin: str) -> Config:
    """Checks a tree of settings; `origin` names it in errors.

    Raises:
        ConfigError: A key is unknown (the nearest is named) or a value is out of range.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [_explain(item) for item in error.errors()]
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
        tree[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {key}: {value!r} is no YAML value.", "Quote it: --set 'key=\"value\"'."
        ) from None


def _explain(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"`{place}`: {item['msg']}"
    known = _keys_at(item["loc"][:-1])
    near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
    return f"unknown key `{place}`, {hint}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    settings: Any = Config
    for part in location:
        if isinstance(part, int):
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
    return [field.alias or name for name, field in settings.model_fields.items()]


def _types_in(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation] if not inner else [kind for part in inner for kind in _types_in(part)]
