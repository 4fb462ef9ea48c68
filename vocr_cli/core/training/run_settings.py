"""The settings of a run, out of a config file, the options of a command, and single overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.config.families import AnyModel
from vocr_cli.core.config.tree import Config, LabelsConfig, SourceConfig, load_config, with_overrides
from vocr_cli.core.data.loader.lines import is_listed
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.spec import resolve_config
from vocr_cli.core.models.vietocr.yaml_run import vietocr_run
from vocr_cli.core.training.initial_weights import load_init


@dataclass(frozen=True)
class RunSettings:
    """The resolved settings of a run.

    Attributes:
        config: Our config, whatever the file was.
        init: Weights to start from that the file names; None: it names none, or they are not wanted.
        notes: What is worth knowing of a config of VietOCR's.
    """

    config: Config
    init: str | None = None
    notes: tuple[str, ...] = ()


def read_run_settings(
    path: Path,
    *,
    sections: Mapping[str, Mapping[str, Any]],
    overrides: Sequence[str] = (),
    use_init: bool = True,
    init: str | None = None,
    begun: Path | None = None,
) -> RunSettings:
    """Reads a config of ours or of VietOCR's. Overrides win over sections, which win over the file.

    Where the file says no word about the model, it is that of the weights to start from, if these are of the
    same family; overrides of its single settings change that one. So it is with characters that none names.

    Args:
        path: A YAML file, or the name of a config of VietOCR's.
        sections: Values of `data` and `train`, by name.
        overrides: Single settings as `optim.lr=1e-3`.
        use_init: Whether weights that VietOCR's config names are wanted.
        init: Weights that a new run starts from.
        begun: The config of the run that goes on, whose model and characters are those of its weights.

    Raises:
        ConfigError: A file or a setting cannot be used.
        ModelError: There are no such weights.
    """
    settings = _read_file(path, sections["data"], use_init)
    config = settings.config
    if init is not None:
        config = _as_of_weights(config, init, overrides)
    elif begun is not None and begun.is_file():
        own = load_config(begun)
        config = _filled(config, own.model, own.charset.characters, _left_open(config, overrides))
    for section, values in sections.items():
        changed = getattr(config, section).model_copy(update=dict(values))
        config = config.model_copy(update={section: changed})
    origin = "--set" if overrides else str(path)  # the file itself has been checked
    return RunSettings(with_overrides(config, tuple(overrides), origin), settings.init, settings.notes)


def check_training_data(config: Config, path: Path) -> None:
    """Refuses a run without training data, in the words of its config, at `path`.

    Raises:
        ConfigError: There are none.
    """
    if not config.data.train:
        key = "data.train" if resolve_config(path).kind == "config" else "dataset.train_annotation"
        raise ConfigError(f"{path} names no training data.", f"Set `{key}`, or pass --data LMDB.")


def _as_of_weights(config: Config, init: str, overrides: Sequence[str]) -> Config:
    """What a config leaves open, as the weights have it: an unmentioned charset would make them forget."""
    left_open = _left_open(config, overrides)
    if not left_open:
        return config
    start = load_init(init, config)
    return _filled(config, start.config, start.charset.characters, left_open)


def _left_open(config: Config, overrides: Sequence[str]) -> set[str]:
    """Which of `model` and `charset` neither a config nor an override sets as a whole."""
    keys = {override.partition("=")[0].strip() for override in overrides}
    left = set()
    if "model" not in config.model_fields_set and not keys & {"model", "model.family"}:
        left.add("model")
    named = "characters" in config.charset.model_fields_set or keys & {"charset", "charset.characters"}
    return left if named else left | {"charset"}


def _filled(config: Config, model: AnyModel, characters: str, left_open: set[str]) -> Config:
    if model.family != config.model.family:
        return config
    changed: dict[str, Any] = {"model": model} if "model" in left_open else {}
    if "charset" in left_open:
        changed["charset"] = config.charset.model_copy(update={"characters": characters})
    return config.model_copy(update=changed)


def _read_file(path: Path, data: Mapping[str, Any], use_init: bool) -> RunSettings:
    if resolve_config(path).kind == "config":
        return RunSettings(load_config(path))
    run = vietocr_run(path, "train" in data, "valid" in data)
    notes = (*run.notes, run.init_note if use_init else "")
    return RunSettings(run.config, run.init if use_init else None, tuple(text for text in notes if text))


def data_section(
    data: Sequence[Path], valid: Sequence[Path], options: SourceOptions, valid_split: str = ""
) -> dict[str, Any]:
    """Returns what a command line says of the section `data`.

    Args:
        data: Databases or other labelled lines to train on; none: the config's.
        valid: The same, to be validated on.
        options: How those that are no databases are read; their split is that to train on.
        valid_split: The split of those to be validated on.

    Raises:
        ConfigError: There are options, and nothing that they belong to.
    """
    if valid_split and not any(map(is_listed, valid)):
        raise ConfigError("--valid-split belongs to the data sets of --valid.", "Leave it out.")
    if options.given and not any(map(is_listed, [*data, *valid])):
        raise ConfigError(
            f"--{sorted(options.given)[0]} belongs to lists, tables and folders of lines, not to databases.",
            "Name one with --data or --valid, or leave the option out.",
        )
    if options.split and not any(map(is_listed, data)):
        raise ConfigError(
            "--split belongs to the data sets of --data.", "For those of --valid: --valid-split."
        )
    labels = LabelsConfig(
        columns=",".join(f"{kind}={name}" for kind, name in vars(options.columns).items() if name),
        separator=options.separator,
        header=options.header,
        split=options.split,
    )
    section: dict[str, Any] = {}
    if data:
        section["train"] = tuple(
            SourceConfig(annotations=path, images=options.images, labels=labels)
            if is_listed(path)
            else SourceConfig(lmdb=path)
            for path in data
        )
    if valid:
        section |= {
            "valid": tuple(valid),
            "valid_images": options.images,
            "valid_labels": labels.model_copy(update={"split": valid_split}),
        }
    return section
