"""What the name of a model stands for: the one place where that is decided. Loads no torch."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.models.zip_size import refuse_inflation

ModelKind = Literal["vocr model", "VietOCR weights", "ONNX model", "config", "VietOCR config"]

CONFIG_SUFFIXES = frozenset({".yaml", ".yml"})
_ASSETS = Path(__file__).parents[2] / "assets"
MODEL_KINDS: dict[str, ModelKind] = {
    ".safetensors": "vocr model",
    ".onnx": "ONNX model",
    ".pth": "VietOCR weights",
    ".pt": "VietOCR weights",
    ".ckpt": "VietOCR weights",
}
"""By suffix, in small letters; a file with another one is taken for VietOCR's weights."""

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
"""How files that torch saves begin: today's, and those of before torch 1.6."""


@dataclass(frozen=True)
class ModelSpec:
    """What a model's name stands for.

    Attributes:
        name: As it was given.
        kind: Which format the file has, and whose it is.
        path: The file.
    """

    name: str
    kind: ModelKind
    path: Path

    @property
    def is_embedded(self) -> bool:
        """Whether the model ships with the package."""
        return self.path.parent == _ASSETS

    @property
    def is_config(self) -> bool:
        """Whether the file describes a model, and has no weights of it."""
        return self.kind in ("config", "VietOCR config")

    def weights_path(self) -> Path:
        """The file, which has weights.

        Raises:
            ModelError: It is a config, a checkpoint of a run, an image, or something else without weights.
        """
        if self.is_config:
            raise ModelError(f"{self.name} is a config: it has no weights.", known_models())
        if self.path.suffix.lower() not in MODEL_KINDS:
            _refuse_what_torch_did_not_save(self.path)
        if self.kind == "VietOCR weights" and is_checkpoint(self.path):
            best = self.path.with_name("best.safetensors")
            later = "" if best.is_file() else " It is written at the first validation."
            raise ModelError(
                f"{self.name} is a checkpoint of `vocr train`, which only its run goes on from.",
                f"Name the model of its best validation: {best}.{later}",
            )
        return self.path


def embedded_models() -> dict[str, Path]:
    """Name and file of every model that ships with the package."""
    return {path.stem: path for path in sorted(_ASSETS.glob("*.safetensors"))}


def resolve_model(name_or_path: str | Path) -> ModelSpec:
    """Finds out what a name stands for; suffixes may be written in capitals.

    Args:
        name_or_path: The name of an embedded model or of one of VietOCR's configs; a YAML file of vocr's or
            of VietOCR's; a model file, .safetensors, .onnx, or with any other suffix VietOCR's weights.

    Raises:
        ModelError: There is no such model; the embedded ones are listed.
        ConfigError: The YAML file is missing or cannot be read.
    """
    name, path = str(name_or_path), Path(name_or_path)
    embedded = embedded_models()
    if name in embedded:
        return ModelSpec(name, "vocr model", embedded[name])
    if is_config(name_or_path):
        return resolve_config(name_or_path)
    if path.is_file():
        return ModelSpec(name, MODEL_KINDS.get(path.suffix.lower(), "VietOCR weights"), path)
    if path.is_dir():
        raise _folder_is_no_model(path)
    if is_onnx(path):
        raise ModelError(
            f"No model at {path}.", "Check the path, or write it with `vocr export MODEL OUT.onnx`."
        )
    from vocr_cli.core.models.vietocr.yaml_config import named_configs
    from vocr_cli.core.models.vietocr.yaml_rules.refusals import nearest_name

    near = nearest_name(name, [*embedded, *named_configs()])
    raise ModelError(f"No model {name!r}.", near + known_models())


def _folder_is_no_model(path: Path) -> ModelError:
    """Says what a folder is that was named as a model."""
    best = path / "checkpoints" / "best.safetensors"
    if best.is_file():
        return ModelError(f"{path} is the folder of a run.", f"Name its model: {best}.")
    if (path / "best.safetensors").is_file():
        return ModelError(f"{path} is a folder of checkpoints.", f"Name the model: {path / best.name}.")
    what = "a database of lines" if (path / "data.mdb").is_file() else "a folder"
    return ModelError(f"{path} is {what}, no model.", known_models())


def _refuse_what_torch_did_not_save(path: Path) -> None:
    """Raises where a file with an unknown suffix is an image, a list of labels, or something else."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return  # whoever reads it says why it cannot be read
    if head[:1] == _PICKLE or head == _ZIP:
        return
    what = "an image" if is_image_name(path.name) else "a file of another kind"
    raise ModelError(f"{path} is {what}, no model.", known_models())


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint that `vocr train` goes on from; nothing in it is executed."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        refuse_inflation(path)
        with zipfile.ZipFile(path) as file:
            lists = [name for name in file.namelist() if name.endswith("/data.pkl")]
            pickled = file.read(lists[0]) if lists else b""
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, zlib.error):  # damaged, or packed
        return False
    return b"charset" in pickled and (b"loop_state" in pickled or b"average_steps" in pickled)


def resolve_config(name_or_path: str | Path) -> ModelSpec:
    """Finds out whose a config is: the name of one of VietOCR's, or a YAML file with any suffix.

    Raises:
        ConfigError: The file is missing or cannot be read.
    """
    from vocr_cli.core.config.tree import read_tree  # loads what reading with a model does not need
    from vocr_cli.core.models.vietocr.yaml_config import named_configs
    from vocr_cli.core.models.vietocr.yaml_rules.known_keys import is_vietocr
    from vocr_cli.core.models.vietocr.yaml_rules.refusals import missing_config

    name = str(name_or_path)
    if name in named_configs():
        return ModelSpec(name, "VietOCR config", named_configs()[name])
    path = Path(name_or_path)
    if not path.exists():
        raise missing_config(name_or_path, named_configs())
    if path.suffix.lower() in MODEL_KINDS and path.is_file():
        raise _weights_are_no_config(path)
    return ModelSpec(name, "VietOCR config" if is_vietocr(read_tree(path)) else "config", path)


def _weights_are_no_config(path: Path) -> ConfigError:
    """Says what weights are for that were named as a config."""
    if is_checkpoint(path):
        folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        return ConfigError(
            f"{path} is a checkpoint, not a config.", f"Go on with its run: vocr train {folder} --resume"
        )
    return ConfigError(
        f"{path} holds weights, and is no config.",
        f"Name the config, and start from the weights: vocr train CONFIG --init {path}",
    )


def find_model(name_or_path: str | Path) -> Path:
    """The file with the weights of a model.

    Raises:
        ModelError: There is no such model, or the name is that of a config.
        ConfigError: The name is that of a YAML file that is missing or cannot be read.
    """
    return resolve_model(name_or_path).weights_path()


def is_config(name_or_path: str | Path) -> bool:
    """Whether a name is that of a config: one of VietOCR's, or a YAML file, which may be missing."""
    suffix = Path(name_or_path).suffix.lower()
    if suffix in CONFIG_SUFFIXES or suffix in MODEL_KINDS:
        return suffix in CONFIG_SUFFIXES
    from vocr_cli.core.models.vietocr.yaml_config import named_configs

    return str(name_or_path) in named_configs()


def is_onnx(name_or_path: str | Path) -> bool:
    """Whether a name is that of an ONNX file, which may be missing."""
    return MODEL_KINDS.get(Path(name_or_path).suffix.lower()) == "ONNX model"


def not_loadable(path: Path) -> ModelError:
    """The error of a command that needs the weights by name, and was given an ONNX file."""
    return ModelError(
        f"{path} is an ONNX file: it can be read with and inspected, no more.",
        "Give the model that it was written from.",
    )


def known_models() -> str:
    """What a model may be named by, as the remedy of an error."""
    names = ", ".join(embedded_models()) or "none in this build"
    return (
        f"Give the name of an embedded model ({names}), a .safetensors file written by vocr, "
        "or VietOCR's .pth."
    )
