"""A VietOCR YAML as a training run: its settings, its data, the weights it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig, read_tree
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
    said = read_vietocr_yaml(name_or_path)
    path = named_configs().get(str(name_or_path), name_or_path)
    data: dict[str, Any] = {}
    if said.train_annotation is not None and not own_train:
        file, images = _annotations(said, said.train_annotation, "train_annotation", path.parent)
        data["train"] = (SourceConfig(annotations=file, images=images),)
    if said.valid_annotation is not None and not own_valid:
        file, images = _annotations(said, said.valid_annotation, "valid_annotation", path.parent)
        data |= {"valid": (file,), "valid_images": images}
    config = said.config.model_copy(
        update={"data": DataConfig.model_validate(said.config.data.model_dump() | data)}
    )
    init, why_not = _weights(read_tree(path), path.parent)
    return VietocrRun(config, init, why_not, said.notes)


def _annotations(said: VietocrYaml, annotation: Path, key: str, folder: Path) -> tuple[Path, Path]:
    """An annotation file, and the folder that its image paths start from."""
    places = (folder, Path())
    base = next((place for place in places if (place / annotation).is_file()), None)
    if base is None:
        looked = " or ".join(dict.fromkeys(str(place / annotation) for place in places))
        raise DataError(
            f"The {key} of {said.origin} is not there: no file {looked}.",
            "Correct `dataset.data_root` and the annotation's path, or name data with --data and --valid.",
        )
    root = said.images or Path()
    images = next((place / root for place in (base, *places) if (place / root).is_dir()), base / root)
    return base / annotation, images


def _weights(tree: dict[str, Any], folder: Path) -> tuple[str | None, str]:
    """The local file among the weights that a YAML names, `pretrain` before `weights`; if none, why."""
    named = list(_named_weights(tree))
    for name in named:
        for place in (folder, Path()):
            if not _is_url(name) and (place / name).is_file():
                return str(place / name), ""
    url = next((name for name in named if _is_url(name)), None)
    if url is not None:
        return None, (
            f"Starts from random weights: nothing is downloaded. To go on from VietOCR's, fetch {url} "
            "and pass it with --init FILE."
        )
    if named:
        return None, f"Starts from random weights: {named[0]} does not exist. --init FILE names a model."
    return None, ""


def _named_weights(tree: dict[str, Any]) -> Iterator[str]:
    pretrain = tree.get("pretrain")
    if isinstance(pretrain, dict):  # as in old files
        found = [pretrain.get("cached"), pretrain.get("id_or_url")]
    else:
        found = [pretrain]
    for value in (*found, tree.get("weights")):
        if isinstance(value, str) and value:
            yield value


def _is_url(name: str) -> bool:
    return "://" in name
