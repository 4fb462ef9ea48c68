"""A VietOCR YAML as a training run: its settings, its data, the weights it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig
from vocr_cli.core.errors import DataError
from vocr_cli.core.models.vietocr.yaml_config import VietocrYaml, named_configs, read_vietocr_yaml


@dataclass(frozen=True)
class VietocrRun:
    """What a VietOCR YAML asks for.

    Attributes:
        config: The settings, the paths of the data among them.
        init: The local weights that it names; None: there are none.
        init_note: Why the run does not start from the weights that are named; empty: it does, or none are.
        notes: What was understood in an old shape or left aside.
    """

    config: Config
    init: str | None
    init_note: str
    notes: tuple[str, ...]


def vietocr_run(name_or_path: Path, own_train: bool = False, own_valid: bool = False) -> VietocrRun:
    """Reads a VietOCR YAML, or one of VietOCR's by its name, for training.

    Paths start from the YAML's folder; those that do not exist there, from the current folder.

    Args:
        name_or_path: The file or name.
        own_train: The caller has training data: the file's are not looked for.
        own_valid: The same of validation data.

    Raises:
        ConfigError: The file cannot be used.
        DataError: The annotation file that it names is missing.
    """
    settings = read_vietocr_yaml(name_or_path)
    path = named_configs().get(str(name_or_path), name_or_path)
    data: dict[str, Any] = {}
    if settings.train_annotation is not None and not own_train:
        file, images = _annotations(settings, settings.train_annotation, "train_annotation", path.parent)
        data["train"] = (SourceConfig(annotations=file, images=images),)
    if settings.valid_annotation is not None and not own_valid:
        file, images = _annotations(settings, settings.valid_annotation, "valid_annotation", path.parent)
        data |= {"valid": (file,), "valid_images": images}
    config = settings.config.model_copy(
        update={"data": DataConfig.model_validate(settings.config.data.model_dump() | data)}
    )
    init, why_not = _weights(settings.sections, path.parent)
    return VietocrRun(config, init, why_not, settings.notes)


def _annotations(settings: VietocrYaml, annotation: Path, key: str, folder: Path) -> tuple[Path, Path]:
    """An annotation file, and the folder that its image paths start from."""
    folders = (folder, Path())
    base = next((start for start in folders if (start / annotation).is_file()), None)
    if base is None:
        tried = " or ".join(dict.fromkeys(str(start / annotation) for start in folders))
        raise DataError(
            f"The {key} of {settings.origin} is not there: no file {tried}.",
            "Correct `dataset.data_root` and the annotation's path, or name data with --data and --valid.",
        )
    root = settings.images or Path()
    images = next((start / root for start in (base, *folders) if (start / root).is_dir()), base / root)
    return base / annotation, images


def _weights(tree: dict[str, Any], folder: Path) -> tuple[str | None, str]:
    """The local file among the weights that a YAML names, `pretrain` before `weights`; if none, why."""
    names = list(_weight_names(tree))
    for name in names:
        for start in (folder, Path()):
            if not _is_url(name) and (start / name).is_file():
                return str(start / name), ""
    url = next((name for name in names if _is_url(name)), None)
    if url is not None:
        return None, (
            f"Starts from random weights: nothing is downloaded. To go on from VietOCR's, fetch {url} "
            "and pass it with --init FILE."
        )
    if names:
        return None, f"Starts from random weights: {names[0]} does not exist. --init FILE names a model."
    return None, ""


def _weight_names(tree: dict[str, Any]) -> Iterator[str]:
    pretrain = tree.get("pretrain")
    if isinstance(pretrain, dict):  # as in old files
        values = [pretrain.get("cached"), pretrain.get("id_or_url")]
    else:
        values = [pretrain]
    for value in (*values, tree.get("weights")):
        if isinstance(value, str) and value:
            yield value


def _is_url(name: str) -> bool:
    return "://" in name
