"""The file that a model's name stands for, and how it is to be read: looked up once, then passed on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.models.spec import ModelSpec, is_onnx, resolve_model


@dataclass(frozen=True)
class ModelSource:
    """A model's file, which has weights.

    Attributes:
        spec: What the model's name stands for.
        config: VietOCR's YAML of a .pth file, or the name of one of VietOCR's; None: one beside it, or what
            the weights tell.
    """

    spec: ModelSpec
    config: str | Path | None = None

    @property
    def name(self) -> str:
        """As the user gave it: the name of an embedded model, or a path. Errors name the model so."""
        return self.spec.name

    @property
    def path(self) -> Path:
        """The file."""
        return self.spec.path

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file, which describes itself and holds the whole model."""
        return self.spec.kind == "ONNX model"

    @property
    def int8_path(self) -> Path:
        """Where the int8 companion of the model lies, if it has one."""
        return self.path.with_name(f"{self.path.stem}.int8.onnx")

    def int8_companion(self) -> Path:
        """Gives the int8 companion of the model.

        Raises:
            ModelError: There is none.
        """
        if not self.int8_path.is_file():
            raise ModelError(
                f"{self.name} has no int8 file: {self.int8_path} is missing.",
                f"Write it: vocr export {self.name} {self.int8_path} --calibrate DATA"
                + (f" --config {self.config}" if self.config else ""),
            )
        return self.int8_path


def find_source(name_or_path: str | Path, config: str | Path | None = None) -> ModelSource:
    """Finds the file of an embedded model, a .safetensors, .onnx or VietOCR .pth file.

    Args:
        name_or_path: Of the model.
        config: As for `ModelSource`.

    Raises:
        ModelError: There is no such model, or the name is that of a config.
        ConfigError: `config` is given for an ONNX file, which needs none, or the name is that of a YAML file
            that is missing or cannot be read.
    """
    if config is not None and is_onnx(name_or_path):
        raise ConfigError(f"{name_or_path} describes itself.", "Leave the config out: .pth files need one.")
    spec = resolve_model(name_or_path)
    spec.weights_path()  # refuses a config
    return ModelSource(spec, config)
