"""The settings of a run, out of a config file, the options of a command, and single overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import Config, SourceConfig, load_config, with_overrides
from vocr_cli.core.data.loader.lines import holds_annotations
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.spec import resolve_config
from vocr_cli.core.models.vietocr.yaml_run import vietocr_run


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
) -> RunSettings:
    """Reads a config of ours or of VietOCR's. Overrides win over sections, which win over the file.

    Args:
        path: A YAML file, or the name of a config of VietOCR's.
        sections: Values of `data` and `train`, by name.
        overrides: Single settings as `optim.lr=1e-3`.
        use_init: Whether weights that VietOCR's config names are wanted.

    Raises:
        ConfigError: A file or a setting cannot be used.
    """
    settings = _read_file(path, sections["data"], use_init)
    config = settings.config
    for section, values in sections.items():
        changed = getattr(config, section).model_copy(update=dict(values))
        config = config.model_copy(update={section: changed})
    origin = "--set" if overrides else str(path)  # the file itself has been checked
    return RunSettings(with_overrides(config, tuple(overrides), origin), settings.init, settings.notes)


def _read_file(path: Path, data: Mapping[str, Any], use_init: bool) -> RunSettings:
    if resolve_config(path).kind == "config":
        return RunSettings(load_config(path))
    run = vietocr_run(path, "train" in data, "valid" in data)
    notes = (*run.notes, run.init_note if use_init else "")
    return RunSettings(run.config, run.init if use_init else None, tuple(text for text in notes if text))


def data_section(data: Sequence[Path], valid: Sequence[Path], images: Path | None) -> dict[str, Any]:
    """Returns what paths on a command line say of the section `data`.

    Args:
        data: Databases or annotation files to train on; none: the config's.
        valid: The same, to be validated on.
        images: The folder that the paths in annotation files start from; None: theirs.

    Raises:
        ConfigError: There are images, and no annotation file.
    """
    if images is not None and not any(map(holds_annotations, [*data, *valid])):
        raise ConfigError(
            "--images belongs to annotation files.", "Name one with --data or --valid, or leave --images out."
        )
    section: dict[str, Any] = {}
    if data:
        section["train"] = tuple(
            SourceConfig(annotations=path, images=images)
            if holds_annotations(path)
            else SourceConfig(lmdb=path)
            for path in data
        )
    if valid:
        section |= {"valid": tuple(valid), "valid_images": images}
    return section
